"""What the demonstration found: one table, one JSON file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from robostack.statistics import bootstrap_median, wilson_interval
from robostack.visualization.episodes import ReachTrace

COLUMNS = ("", "success", "final error [mm]", "time to reach [s]")


def robot_figures(traces: Sequence[ReachTrace], episodes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Figures of reaches on the robot, with the keys of `robostack.evaluation.EvaluationResult.figures`.

    A reach that was broken off, also before its first step, counts as one that failed; `aborted` says how many were.

    Args:
        traces: of the reaches that got as far as a first step.
        episodes: records of all reaches.
    """
    count, successes = len(episodes), sum(bool(episode["success"]) for episode in episodes)
    error, error_low, error_high = bootstrap_median([1e3 * float(trace.error_m[-1]) for trace in traces])
    found: dict[str, Any] = {
        "episodes": count,
        "successes": successes,
        "aborted": sum(str(episode["reason"]).startswith("aborted") for episode in episodes),
        "success": successes / count if count else 0.0,
        "success_ci95": list(wilson_interval(successes, count)),
        "final_error_mm": error,
        "final_error_mm_ci95": [error_low, error_high],
    }
    times = [float(episode["duration_s"]) for episode in episodes if episode["success"]]
    if times:
        median, low, high = bootstrap_median(times)
        found |= {"time_to_reach_s": median, "time_to_reach_s_ci95": [low, high]}
    return found


def table_row(name: str, figures: Mapping[str, Any]) -> tuple[str, ...]:
    """One row of the table: each figure with its 95 % interval."""
    low, high = figures["success_ci95"]
    success = f"{figures['successes']} of {figures['episodes']} ({100 * low:.0f}-{100 * high:.0f} %)"
    if figures.get("aborted"):
        success += f", {figures['aborted']} broken off"
    return (name, success, _with_interval(figures, "final_error_mm", 1), _with_interval(figures, "time_to_reach_s", 2))


def loop_rows(report: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What the driver reports of its loop and its safety filter, one row per figure."""
    loop = report["loop"]
    lateness = " / ".join(f"{loop[f'lateness_{key}_ms']:.2f}" for key in ("p50", "p99", "max"))
    rows = [
        ("loop lateness p50 / p99 / max [ms]", lateness),
        ("overruns", f"{loop['overruns']} of {loop['cycles']} cycles"),
    ]
    interventions: Mapping[str, int] = loop["interventions"]
    named = ", ".join(f"{reason} {count}" for reason, count in sorted(interventions.items()) if count)
    return [*rows, ("filter interventions [cycles]", named or "none")]


def _with_interval(figures: Mapping[str, Any], key: str, digits: int) -> str:
    if key not in figures:
        return "-"
    low, high = figures[f"{key}_ci95"]
    return f"{figures[key]:.{digits}f} ({low:.{digits}f}-{high:.{digits}f})"
