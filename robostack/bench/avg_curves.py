"""Draws the learning curves of the benchmark `avg-learning`: `python -m robostack.bench.avg_curves OUT.png`.

One panel per task: the mean return of each tenth of the runs, averaged over the seeds that have finished, with each
seed as a thin line.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from robostack.bench.avg_learning import RESULTS, WINDOWS, finished
from robostack.bench.curves import draw_curves

TASKS = ("HalfCheetah-v4", "Hopper-v4", "Ant-v4", "Walker2d-v4", "Humanoid-v4")
LEARNERS = {
    "avg": "AVG, tuned per task",
    "intentional": "intentional, one setting",
    "stream-ac": "stream AC, one setting",
}


def curves(
    lines: Sequence[Mapping[str, Any]], task: str, learner: str
) -> tuple[np.ndarray[Any, Any], list[list[float]]]:
    """Steps at the middle of each tenth, (10,), and the returns there of each seed; a tenth without an end is NaN."""
    chosen = [line for line in lines if line["task"] == task and line["learner"] == learner]
    steps = chosen[0]["steps"] if chosen else 0
    middle = (np.arange(WINDOWS) + 0.5) * steps / WINDOWS
    return middle, [[np.nan if value is None else value for value in line["returns"]] for line in chosen]


def draw(lines: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Write the picture."""
    panels = {task: {label: curves(lines, task, name) for name, label in LEARNERS.items()} for task in TASKS}
    draw_curves(panels, path, "return, mean of a tenth")


if __name__ == "__main__":
    draw(finished(RESULTS), Path(sys.argv[1]))
