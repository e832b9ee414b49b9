"""Writes what `bench learner-returns` has found into a page: `python -m robostack.bench.learner_returns_page`.

The page, `docs/results/learner.md`, has `<!-- returns -->` and `<!-- end -->`; what is between them is replaced, the
rest is kept. The learning curves go beside it, as `learner_curves.png`.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hardware.errors import ConfigError
from robostack.bench.avg_learning import finished
from robostack.bench.curves import Curves, draw_curves
from robostack.bench.learner_returns import COURSES, EPISODES, RESULTS, SEEDS, WINDOWS, Course
from robostack.files import write_text

PAGE = Path("docs/results/learner.md")
PICTURE = "learner_curves.png"
MAKERS: Mapping[str, str] = {"robostack": "robostack", "sb3": "stable-baselines3"}
Line = Mapping[str, Any]


def runs(lines: Sequence[Line], course: Course, maker: str) -> list[Line]:
    """The runs of one course by one maker, the newest of each seed, by seed."""
    found = {line["seed"]: line for line in lines if (line["figure"], line["maker"]) == (course.figure, maker)}
    return [found[seed] for seed in sorted(found)]


def table(lines: Sequence[Line]) -> str:
    """One row per course and maker: return without exploration, return late in learning, speed."""
    rows = [
        "| learner, task, steps | | return: mean | by seed | last tenth of learning: mean | steps per CPU-second |",
        "|---|---|---|---|---|---|",
    ]
    for course in COURSES:
        name = f"{course.learner.upper()}, {course.task}, {course.steps:,}"
        for maker, label in MAKERS.items():
            group = runs(lines, course, maker)
            if not group:
                rows.append(f"| {name} | {label} | not run | | | |")
                continue
            late = [line["returns"][-1] for line in group if line["returns"][-1] is not None]
            cells = [
                name,
                label,
                f"{np.mean([line['return'] for line in group]):,.0f}",
                ", ".join(f"{line['return']:,.0f}" for line in group),
                f"{np.mean(late):,.0f}" if late else "",
                f"{np.mean([line['steps'] / line['cpu_s'] for line in group]):,.0f}",
            ]
            rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def section(lines: Sequence[Line]) -> str:
    """The table, and how much of it there is."""
    wanted = len(COURSES) * len(SEEDS) * len(MAKERS)
    count = sum(len(runs(lines, course, maker)) for course in COURSES for maker in MAKERS)
    hours = sum(line["cpu_s"] for line in lines) / 3600.0
    said = f"{count} of {wanted} runs, {hours:.1f} CPU-hours; return without exploration: {EPISODES} episodes per run."
    picture = f"![Return while learning, mean of each tenth of the steps]({PICTURE})"
    return f"{said}\n\n{table(lines)}\n\n{picture}"


def fill(page: str, lines: Sequence[Line]) -> str:
    """The page with its table made anew.

    Raises:
        ConfigError: it has no place for it.
    """
    pattern = re.compile(r"(<!-- returns -->\n).*?(<!-- end -->)", re.DOTALL)
    filled, count = pattern.subn(lambda found: f"{found[1]}{section(lines)}\n{found[2]}", page)
    if not count:
        raise ConfigError("the page has no place for returns: <!-- returns --> and <!-- end -->")
    return filled


def curves(lines: Sequence[Line], course: Course, maker: str) -> Curves:
    """Steps at the middle of each tenth, and the mean return there of each seed."""
    middle = (np.arange(WINDOWS) + 0.5) * course.steps / WINDOWS
    group = runs(lines, course, maker)
    return middle, [[np.nan if value is None else value for value in line["returns"]] for line in group]


def write(page: Path = PAGE, results: Path = RESULTS) -> None:
    """Fill the page, and draw the picture beside it."""
    lines = finished(results)
    write_text(page, fill(page.read_text(encoding="utf-8"), lines))
    panels = {
        f"{course.learner.upper()}, {course.task}": {
            label: curves(lines, course, maker) for maker, label in MAKERS.items()
        }
        for course in COURSES
        if any(runs(lines, course, maker) for maker in MAKERS)
    }
    draw_curves(panels, page.parent / PICTURE, "return, mean of a tenth")


if __name__ == "__main__":
    write(Path(sys.argv[1]) if len(sys.argv) > 1 else PAGE)
