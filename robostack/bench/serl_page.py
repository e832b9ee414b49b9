"""Writes the page of the benchmark `serl` from its results: `python -m robostack.bench.serl_page docs/results`.

Into the folder go `serl.md` and `serl_curves.png`; runs that are missing are left out and said to be missing.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from robostack.bench.avg_learning import finished
from robostack.bench.serl import CORRECTIONS, FIGURES, FOLDER, OPERATOR, RESULTS, SEEDS, TRIALS, WAYS, Way
from robostack.files import write_text
from robostack.machine import machine, versions

LABELS: Mapping[Way, str] = {"rl_alone": "RLPD", "rl": "RLPD with corrections", "bc": "cloning"}
Line = Mapping[str, Any]

HEAD = """# Learning with demonstrations and corrections: picking a cube, inserting a peg

Commands: `robostack bench serl --json`, then `python -m robostack.bench.serl_page docs/results`, which writes this page
and its picture from `{results}`. Tasks `panda-pick-cube` and `panda-peg-insert`: state observations, sparse reward
(1 at success, else 0), 10 Hz, at most 10 s per episode, start of the tool, cube and hole drawn anew in every episode.
{demos} demonstrations per seed, by the uneven scripted operator of [imitation](imitation.md); they are the same for all
three ways of learning. Seeds {seeds}; {count} of {wanted} runs are here.

* **RLPD**: the learner `rlpd` with the settings that `robostack/learning/presets.py` has for the task; half of every
  batch from the demonstrations.
* **RLPD with corrections**: the same, and a simulated operator takes over for {shortest} to {longest} steps when
  {patience} steps brought no progress, then leaves it alone for {pause} steps, and reacts ever less often (its chance
  falls as exp(-steps / {taper:g})). Corrected steps count among the environment steps, and go to both replays.
* **Cloning**: behaviour cloning of chunks with the settings that `robostack imitate` has by itself.

Success: of {trials} episodes without exploration and without help, on a simulation of their own, from seeds that
nothing was chosen by. Every 1,000 environment steps a promising policy is evaluated on {trials} other episodes;
learning ends when such an evaluation and a second one both reach 95, at the latest after 20,000 steps. "Steps to 95"
are the steps until then. Steps of evaluations are not counted.
"""

READING = """## What it says

Learning from 20 demonstrations and its own steps reaches the aim on both tasks with every seed, where cloning the same
demonstrations does not. Corrections by this operator make little difference here: both tasks are within reach of
exploration once demonstrations are in every batch, and the operator helps where a policy stands still, not where a
person would. In HIL-SERL's table the task where corrections decide is one that is never solved without them; there is
none such here. Three seeds tell no difference of a thousand steps from chance.

The settings for picking a cube were found on seed 0, whose demonstrations and weights are therefore not unseen; seeds 1
and 2 are. Evaluations while learning ran 100 simulations side by side on the peg and in the first run with a cube,
later one episode after the other: other draws from the same starts.
"""
SETTINGS = """## How the settings came about

On seed 0 without corrections, in a loop of the same kind, one run each, so that small differences mean nothing.
Inserting a peg worked with the first settings tried. On picking a cube, share of successes in training (with
exploration) and, in brackets, successes of an evaluation:

| what | at 4,000 steps | at 5,000 | later |
|---|---|---|---|
| learning rates 3e-4, target rate 0.005, gripper's critic | 30 % | 35 % (33) | 13,000: 85 % (83); 14,000: 90 % (94) |
| the same, but the gripper a continuous action | 20 % | 45 % (42) | 6,000: 65 % |
| the same, target rate 0.01 | 30 % | 65 % (66) | |
| 8 updates per step, target rate 0.01, gripper's critic | 50 % | 45 % (12) | 7,000: 20 % |
| learning rates 1e-3, target rate 0.01, gripper's critic (chosen) | 80 % | 95 % (83) | 8,000: 100 % (88) |
| the same, target entropy -1 per action | 55 % | 55 % (69) | |

First successes came after about 12,000 updates of the critics at rates of 3e-4, at 4 updates per step as at 8: more
updates found the cube earlier, and learning then fell back. Larger rates helped at no cost. Until late the policy's
mean, which is what is evaluated, does worse than the policy with its noise; why was not traced.
"""


def table(lines: Sequence[Line], task: str) -> str:
    """One row per way of learning: each seed's result, and medians."""
    rows = [
        "| | success, of 100: median | by seed | steps to 95: median | by seed | first success alone [steps] "
        "| corrected steps | CPU [s] | wall [s] |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for way in WAYS:
        group = sorted((line for line in lines if (line["task"], line["way"]) == (task, way)), key=_seed)
        if not group:
            rows.append(f"| {LABELS[way]} | not run |" + " |" * 7)
            continue
        rates = [100.0 * line["successes"] / line["trials"] for line in group]
        cells = [LABELS[way], f"**{np.median(rates):g}**", _listed(rates)]
        if way == "bc":
            cells += ["", "", "", "", _mean(group, "cpu_s"), ""]
        else:
            corrected = sum(line["corrected"] for line in group) / sum(line["steps"] for line in group)
            reached = [line["steps_to_enough"] for line in group]
            cells += [_median(reached), _listed(reached), _listed([line["first_success"] for line in group])]
            cells += [
                f"{100.0 * corrected:.1f} %" if way == "rl" else "0",
                _mean(group, "cpu_s"),
                _mean(group, "wall_s"),
            ]
        rows.append("| " + " | ".join(cells) + " |")
    return "\n".join(rows)


def _seed(line: Line) -> int:
    return int(line["seed"])


def _listed(values: Sequence[float | None]) -> str:
    return ", ".join("never" if value is None else f"{value:g}" for value in values)


def _median(values: Sequence[float | None]) -> str:
    found = float(np.median([np.inf if value is None else value for value in values]))
    return f"{found:g}" if np.isfinite(found) else "not within 20,000"


def _mean(group: Sequence[Line], key: str) -> str:
    return f"{np.mean([line[key] for line in group]):.0f}"


def page(lines: Sequence[Line]) -> str:
    """The whole page, in Markdown."""
    shortest, longest = CORRECTIONS.length_steps
    text = HEAD.format(
        results=FOLDER / RESULTS,
        demos=OPERATOR.episodes,
        seeds=", ".join(map(str, SEEDS)),
        count=len(lines),
        wanted=len(SEEDS) * len(FIGURES) * len(WAYS),
        shortest=shortest,
        longest=longest,
        patience=CORRECTIONS.patience_steps,
        pause=CORRECTIONS.pause_steps,
        taper=CORRECTIONS.taper_steps,
        trials=TRIALS,
    )
    parts = [text, *(f"## {task}\n\n{table(lines, task)}\n" for task in FIGURES)]
    parts.append(
        "![Success in training and in evaluations over environment steps](serl_curves.png)\n\n"
        "Lines: share of successes among the last 20 episodes of training, with exploration and, where there is any,\n"
        "help; thin by seed, thick the mean. Dots: evaluations without either. Dashed: cloning, median of the seeds.\n"
    )
    parts.append(
        "CPU and wall times are of learning, without evaluations, on one thread, beside other work on the same cores; "
        f"they are rough.\nMachine and versions: {_machine()}.\n"
    )
    return "\n".join([*parts, READING, SETTINGS])


def _machine() -> str:
    found = machine()
    shown = ("python", "numpy", "mujoco", "torch", "onnxruntime")
    named = ", ".join(f"{name} {version}" for name, version in versions().items() if name in shown)
    return f"{found['cpu']}, {found['cores']} cores, {found['os']}; {named}"


def draw(lines: Sequence[Line], path: Path) -> None:
    """The learning curves, one panel per task."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, panels = pyplot.subplots(1, len(FIGURES), figsize=(9.0, 3.4), layout="constrained", sharey=True)
    for panel, task in zip(panels, FIGURES, strict=True):
        for number, way in enumerate(WAYS):
            group = [line for line in lines if (line["task"], line["way"]) == (task, way)]
            color, label = f"C{number}", f"{LABELS[way]} ({len(group)} seeds)"
            if way == "bc":
                if group:
                    level = np.median([line["successes"] / line["trials"] for line in group])
                    panel.axhline(100.0 * level, color=color, linestyle="--", linewidth=1.0, label=label)
                continue
            for line in group:
                steps, _, training, _, _ = (
                    np.array(column, dtype=float) for column in zip(*line["curve"], strict=True)
                )
                panel.plot(steps / 1e3, 100.0 * training, color=color, alpha=0.35, linewidth=0.9)
                judged = [point for point in line["curve"] if point[4] is not None]
                successes = [100.0 * point[4] / line["trials"] for point in judged]
                panel.plot([point[0] / 1e3 for point in judged], successes, "o", color=color, markersize=3.0)
            if group:
                panel.plot(*mean_curve(group), color=color, linewidth=1.8, label=label)
        panel.set(title=task, xlabel="environment steps [1000]", ylim=(-3.0, 103.0))
        panel.grid(alpha=0.3)
        if panel.lines:
            panel.legend(fontsize=7, loc="lower right")
    panels[0].set_ylabel("success [%]")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110, metadata={"Software": None})
    pyplot.close(figure)


def mean_curve(group: Sequence[Line]) -> tuple[list[float], list[float]]:
    """Thousands of steps, and the mean success in training [%]; a run that has ended goes on with its last value."""
    steps = sorted({point[0] for line in group for point in line["curve"]})
    runs = [{point[0]: point[2] for point in line["curve"]} for line in group]
    means = [
        float(np.mean([run[max(known for known in run if known <= step)] for run in runs if min(run) <= step]))
        for step in steps
    ]
    return [step / 1e3 for step in steps], [100.0 * mean for mean in means]


def write(folder: Path, results: Path = FOLDER / RESULTS) -> None:
    """Write page and picture into `folder`."""
    lines = finished(results)
    write_text(folder / "serl.md", page(lines))
    draw(lines, folder / "serl_curves.png")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
