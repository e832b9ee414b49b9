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
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(1, len(TASKS), figsize=(3.0 * len(TASKS), 3.0), layout="constrained")
    for panel, task in zip(panels, TASKS, strict=True):
        for number, (learner, label) in enumerate(LEARNERS.items()):
            steps, seeds = curves(lines, task, learner)
            for seed in seeds:
                panel.plot(steps / 1000, seed, color=f"C{number}", alpha=0.25, linewidth=0.8)
            if seeds:
                panel.plot(steps / 1000, np.nanmean(seeds, axis=0), color=f"C{number}", label=f"{label} ({len(seeds)})")
        panel.set(title=task, xlabel="steps [1000]")
        panel.grid(alpha=0.3)
        if panel.lines:
            panel.legend(fontsize=6, loc="upper left")
    panels[0].set_ylabel("return, mean of a tenth")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110, metadata={"Software": None})
    pyplot.close(figure)


if __name__ == "__main__":
    draw(finished(RESULTS), Path(sys.argv[1]))
