"""Draw the returns of runs that learned on a robot: `python scripts/learning_curve.py RUN... --output FILE`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

WINDOW = 10
"""Episodes over which the line is averaged."""


def returns_of(run: Path) -> tuple[np.ndarray, np.ndarray]:
    """Acting time at the end of each finished episode [min], and its return."""
    ends, returns, acted_s = [], [], 0.0
    for line in (run / "episodes.jsonl").read_text().splitlines():
        record = json.loads(line)
        acted_s += record["duration_s"]
        if not record["reason"].startswith("aborted"):
            ends.append(acted_s / 60.0)
            returns.append(record["total_reward"])
    return np.array(ends), np.array(returns)


def main() -> None:
    """One panel per task, one line per run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path, help="run folders, called <task>-<learner>")
    parser.add_argument("--output", type=Path, required=True, help="picture to write")
    arguments = parser.parse_args()
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    tasks: dict[str, list[Path]] = {}
    for run in arguments.runs:
        tasks.setdefault(run.name.rsplit("-", 1)[0], []).append(run)
    figure, panels = pyplot.subplots(1, len(tasks), figsize=(5.5 * len(tasks), 3.6), squeeze=False)
    for panel, (task, runs) in zip(panels[0], tasks.items(), strict=True):
        for run in runs:
            time_min, returns = returns_of(run)
            (dots,) = panel.plot(time_min, returns, ".", markersize=4, alpha=0.4)
            window = min(WINDOW, len(returns))
            mean = np.convolve(returns, np.ones(window) / window, "valid")
            name = run.name.removeprefix(f"{task}-")
            panel.plot(time_min[window - 1 :], mean, color=dots.get_color(), label=f"{name}, mean of {window} episodes")
        panel.set(title=task, xlabel="acting time [min]", ylabel="return of an episode, with exploration")
        panel.legend(loc="lower right", fontsize=8)
        panel.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(arguments.output, dpi=110)


if __name__ == "__main__":
    main()
