"""Writes what `bench transfer` has found into `docs/results/transfer.md`: `python -m robostack.bench.transfer_tables`.

The page has a pair of comments `<!-- results: KEY -->` and `<!-- end -->` for each task, and `<!-- worlds: KEY -->` for
what `robostack transfer` left in folders below `runs/transfer/KEY`; what is between them is replaced, the rest is kept.
The learning curves go beside it, as `transfer_curves.png`.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hardware.errors import ConfigError
from robostack.bench.avg_learning import finished
from robostack.bench.curves import Curves, draw_curves
from robostack.bench.transfer import RESULTS, by_method, interval
from robostack.bench.transfer_courses import COURSES, METHODS, Course, course_of, identity
from robostack.files import write_text
from robostack.statistics import wilson_interval

PAGE = Path("docs/results/transfer.md")
PICTURE = "transfer_curves.png"
NAMES: Mapping[str, str] = {
    "none": "none: nominal dynamics",
    "uniform": "uniform on the whole range",
    "autodr": "AutoDR",
    "lsdr": "LSDR",
    "doraemon": "DORAEMON",
}
HEAD = (
    "| method | best policy: success [%] | last policy: success [%] | each seed: best / last [%] | final entropy [nat] "
    "| steps per CPU-second |",
    "|---|---|---|---|---|---|",
)


def belonging(lines: Iterable[Mapping[str, Any]], course: Course) -> list[Mapping[str, Any]]:
    """The results that were made with the course's settings, whatever their seeds; the newest of each run."""
    found: dict[tuple[str, int], Mapping[str, Any]] = {}
    for line in lines:
        method, seed = str(line["method"]), int(line["seed"])
        if identity(course, method, seed).items() <= line.items():
            found[method, seed] = line
    return [found[key] for key in sorted(found, key=lambda key: (METHODS.index(key[0]), key[1]))]


def table(lines: Iterable[Mapping[str, Any]]) -> str:
    """One row per method."""
    rows = list(HEAD)
    for method, group in by_method(lines).items():
        seeds = ", ".join(f"{percent(line['best'])} / {percent(line['final'])}" for line in group)
        entropies = [line["entropy"] for line in group]
        entropy = "a point" if None in entropies else f"{sum(entropies) / len(entropies):.2f}"
        speed = sum(line["steps"] / line["cpu_s"] for line in group) / len(group)
        cells = [NAMES[method], _rate(group, "best"), _rate(group, "final"), seeds, entropy, f"{speed:,.0f}"]
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def percent(judged: Mapping[str, Any]) -> str:
    """Success of one policy in per cent."""
    return f"{100.0 * judged['success']:.0f}"


def _rate(group: list[Mapping[str, Any]], which: str) -> str:
    """Success with its 95 % interval, which ends at 0 and 100 %."""
    mean, half = interval(group, which)
    low, high = max(0.0, mean - half), min(1.0, mean + half)
    if len(group) == 1:
        low, high = wilson_interval(int(group[0][which]["successes"]), int(group[0][which]["episodes"]))
    return f"{100.0 * mean:.1f} ({100.0 * low:.0f} to {100.0 * high:.0f})"


def section(key: str, folder: Path = RESULTS) -> str:
    """The table of a task and what belongs to it."""
    course = course_of(key)
    lines = belonging(finished(folder / key / "results.jsonl"), course)
    if not lines:
        return f"No run has finished yet: `robostack bench transfer --task {key}`."
    count, seeds = len(lines), len({line["seed"] for line in lines})
    wanted = len(METHODS) * len(course.seeds)
    hours = sum(line["cpu_s"] for line in lines) / 3600.0
    said = (
        f"{count} of {wanted} runs, {seeds} seed(s); {course.steps:,} steps per run, an update of the distribution "
        f"every {course.block:,}; {course.final_episodes} episodes per policy; {hours:.1f} CPU-hours together."
    )
    return f"{said}\n\n{table(lines)}"


def worlds(key: str, folder: Path = RESULTS) -> str:
    """One row for each policy that `robostack transfer` judged, one column for each world."""
    found = [json.loads(path.read_text()) for path in sorted((folder / key).glob("**/result.json"))]
    if not found:
        return f"Not measured yet: `robostack transfer ... --output-dir {folder / key}/NAME`."
    names = [name for name in found[0]["worlds"] if any("success" in one["worlds"].get(name, {}) for one in found)]
    rows = [f"| policy | {' | '.join(names)} |", f"|---{'|---' * len(names)}|"]
    for one in found:
        cells = [_world(one["worlds"].get(name, {})) for name in names]
        rows.append(f"| {_policy(one['policy'])} | {' | '.join(cells)} |")
    return "\n".join(rows)


def _policy(source: str) -> str:
    """What a policy is called: its method, or "hand-written"."""
    method = next((name for name in METHODS if f"/{name}-" in source), None)
    return NAMES[method] if method else {"scripted": "hand-written"}.get(source, f"`{source}`")


def _world(judged: Mapping[str, Any]) -> str:
    if "success" not in judged:
        return "not run"
    low, high = judged["success_ci95"]
    share = f"{100.0 * judged['success']:.1f} % ({100.0 * low:.0f} to {100.0 * high:.0f})"
    return f"{share} of {judged['episodes']}"


def fill(page: str, folder: Path = RESULTS) -> str:
    """The page with its tables made anew.

    Raises:
        ConfigError: it has no place for a table.
    """
    pattern = re.compile(r"(<!-- (results|worlds): (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)
    write = {"results": section, "worlds": worlds}
    filled, count = pattern.subn(lambda found: f"{found[1]}{write[found[2]](found[3], folder)}\n{found[4]}", page)
    if not count:
        raise ConfigError("the page has no place for results: <!-- results: swingup --> and <!-- end -->")
    return filled


def curves(lines: Iterable[Mapping[str, Any]], course: Course) -> Curves:
    """Steps, and success on the whole range there of each seed [%]; LSDR's own steps lie between."""
    steps = np.arange(course.block, course.steps + 1, course.block)
    known = [np.array([[point[0], 100.0 * point[1]] for point in line["curve"]]) for line in lines]
    return steps, [np.interp(steps, points[:, 0], points[:, 1]).tolist() for points in known]


def draw(path: Path, folder: Path = RESULTS) -> None:
    """One panel per task that has results: success while training."""
    panels = {}
    for key, course in COURSES.items():
        groups = by_method(belonging(finished(folder / key / "results.jsonl"), course))
        if groups:
            panels[course.task] = {NAMES[method]: curves(group, course) for method, group in groups.items()}
    if panels:
        draw_curves(panels, path, "success on the whole range [%]")


def write(page: Path = PAGE, folder: Path = RESULTS) -> None:
    """Fill the page, and draw the picture beside it."""
    write_text(page, fill(page.read_text(encoding="utf-8"), folder))
    draw(page.parent / PICTURE, folder)


if __name__ == "__main__":
    write(Path(sys.argv[1]) if len(sys.argv) > 1 else PAGE)
