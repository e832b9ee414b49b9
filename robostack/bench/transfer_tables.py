"""Writes what `bench transfer` has found into `docs/results/transfer.md`: `python -m robostack.bench.transfer_tables`.

The page has a pair of comments `<!-- results: KEY -->` and `<!-- end -->` for each task, and `<!-- worlds: KEY -->` for
what `robostack transfer` left in folders below `runs/transfer/KEY`; what is between them is replaced where there is
anything new, the rest is kept. Beside the page, the folder `transfer` keeps the results themselves (`KEY.jsonl`), so
that a table outlives the run folders, and `transfer_curves_KEY.png` shows the learning curves.
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
KEPT = "transfer"
"""Folder beside the page that keeps the results."""
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


def picture(key: str) -> str:
    """Name of the picture of a task's learning curves."""
    return f"transfer_curves_{key}.png"


def results(key: str, folder: Path, kept: Path) -> list[Mapping[str, Any]]:
    """The results of a task's course: those that the page keeps, and newer ones."""
    return belonging([*finished(kept / f"{key}.jsonl"), *finished(folder / key / "results.jsonl")], course_of(key))


def section(key: str, folder: Path, kept: Path) -> str:
    """The table of a task and what belongs to it; empty where no run has finished."""
    course, lines = course_of(key), results(key, folder, kept)
    if not lines:
        return ""
    count, seeds = len(lines), len({line["seed"] for line in lines})
    wanted = len(METHODS) * len(course.seeds)
    hours = sum(line["cpu_s"] for line in lines) / 3600.0
    said = (
        f"{count} of {wanted} runs, {seeds} seed(s); {course.steps:,} steps per run, an update of the distribution "
        f"every {course.block:,}; {course.final_episodes} episodes per policy; {hours:.1f} CPU-hours together."
    )
    shown = f"![Success on the whole range while training, without exploration]({picture(key)})"
    return f"{said}\n\n{table(lines)}\n\n{shown}"


def judged_worlds(key: str, folder: Path, kept: Path) -> list[Mapping[str, Any]]:
    """What `robostack transfer` said of a task's policies: what the page keeps, and newer ones of each policy."""
    new = [json.loads(path.read_text()) for path in sorted((folder / key).glob("**/result.json"))]
    lines = [*finished(kept / f"{key}_worlds.jsonl"), *new]
    return list({line["policy"]: line for line in lines}.values())


def worlds(key: str, folder: Path, kept: Path) -> str:
    """One row for each policy that `robostack transfer` judged, one column for each world; empty where none was."""
    found = judged_worlds(key, folder, kept)
    if not found:
        return ""
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


def fill(page: str, folder: Path, kept: Path) -> str:
    """The page with its tables made anew; a table of which nothing is known stays as it is.

    Args:
        page: its text.
        folder: where `bench transfer` and `robostack transfer` leave results.
        kept: where earlier ones are kept.

    Raises:
        ConfigError: it has no place for a table.
    """
    pattern = re.compile(r"(<!-- (results|worlds): (\S+) -->\n)(.*?)(<!-- end -->)", re.DOTALL)
    make = {"results": section, "worlds": worlds}

    def made(found: re.Match[str]) -> str:
        text = make[found[2]](found[3], folder, kept)
        return f"{found[1]}{text}\n{found[5]}" if text else found[0]

    filled, count = pattern.subn(made, page)
    if not count:
        raise ConfigError("the page has no place for results: <!-- results: swingup --> and <!-- end -->")
    return filled


def curves(lines: Iterable[Mapping[str, Any]], course: Course) -> Curves:
    """Steps, and success on the whole range there of each seed [%]; LSDR's own steps lie between."""
    every = course.evaluate_every or course.block
    steps = np.arange(every, course.steps + 1, every)
    known = [np.array([[point[0], 100.0 * point[1]] for point in line["curve"]]) for line in lines]
    return steps, [np.interp(steps, points[:, 0], points[:, 1]).tolist() for points in known]


def draw(path: Path, key: str, lines: Iterable[Mapping[str, Any]]) -> None:
    """Success while training on one task."""
    course = course_of(key)
    groups = {NAMES[method]: curves(group, course) for method, group in by_method(lines).items()}
    draw_curves({course.task: groups}, path, "success on the whole range [%]")


def keep(key: str, folder: Path, kept: Path) -> None:
    """Keep the results of a task in `kept`, one per line."""
    known = {key: results(key, folder, kept), f"{key}_worlds": judged_worlds(key, folder, kept)}
    for name, lines in known.items():
        if lines:
            kept.mkdir(parents=True, exist_ok=True)
            write_text(kept / f"{name}.jsonl", "".join(f"{json.dumps(line)}\n" for line in lines))


def write(page: Path = PAGE, folder: Path = RESULTS) -> None:
    """Fill the page, keep the results, and draw the pictures beside it."""
    kept = page.parent / KEPT
    write_text(page, fill(page.read_text(encoding="utf-8"), folder, kept))
    for key in COURSES:
        keep(key, folder, kept)
        if lines := results(key, folder, kept):
            draw(page.parent / picture(key), key, lines)


if __name__ == "__main__":
    write(Path(sys.argv[1]) if len(sys.argv) > 1 else PAGE)
