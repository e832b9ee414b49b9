"""Draw the rewards of runs that learned on a robot: `python scripts/learning_curve.py RUN... --output FILE`."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

WINDOW_MIN = 0.5
"""Acting time over which rewards are averaged [min]."""


def rewards_of(run: Path) -> tuple[np.ndarray, np.ndarray]:
    """Acting time at each control step [min], and its reward; also of episodes that were aborted."""
    times, rewards, begun_s = [], [], 0.0
    for line in (run / "episodes.jsonl").read_text().splitlines():
        record = json.loads(line)
        times += [(begun_s + time_s) / 60.0 for time_s in record["steps"].get("time_s", [])]
        rewards += record["steps"].get("reward", [])
        begun_s += record["duration_s"]
    return np.array(times), np.array(rewards, dtype=np.float64)


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
            time_min, rewards = rewards_of(run)
            window = max(1, round(WINDOW_MIN * len(rewards) / time_min[-1]))
            mean = np.convolve(rewards, np.ones(window) / window, "valid")
            panel.plot(time_min[window - 1 :], mean, label=run.name.removeprefix(f"{task}-"))
        panel.set(title=task, xlabel="acting time [min]", ylabel="reward per control step")
        panel.legend(loc="lower right", fontsize=8)
        panel.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(arguments.output, dpi=110)


if __name__ == "__main__":
    main()
