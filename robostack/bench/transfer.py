"""Success on the whole range of unknown dynamics of policies that were trained with them drawn in different ways.

Hours of computing: every finished run is one line of `runs/transfer/<task>/results.jsonl`, and a run that is there is
not repeated; a run that was stopped goes on from its last checkpoint.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from hardware.registry import load_object
from robostack.bench.avg_learning import finished
from robostack.bench.bench import BenchEntry, Measured
from robostack.bench.transfer_courses import DISTRIBUTIONS, METHODS, Course, course_of, identity, run_name
from robostack.checkpoint import latest_checkpoint
from robostack.evaluation import EvaluationResult, evaluate_many
from robostack.files import append_line
from robostack.learning.learner import LEARNERS
from robostack.make import make_env
from robostack.policies.mlp import load_policy
from robostack.statistics import wilson_interval
from robostack.tasks.with_history import open_task
from sim.randomization.uniform import UniformDistribution

RESULTS = Path("runs/transfer")
FINAL_SEED = 1_000_000
"""Of the episodes that policies are judged by in the end; no evaluation during training uses it."""


NEAR = 0.05
"""How much lower than the best policy's the success of the last one may be."""


@dataclass(frozen=True)
class TransferBenchOptions:
    """What to train."""

    task: str = "swingup"
    """Task: swingup, hopper or panda-push."""
    methods: tuple[str, ...] = METHODS
    """Ways to draw the dynamics in training."""
    seeds: tuple[int, ...] = ()
    """Seeds; default: those of the task's course."""
    steps: int = 0
    """Environment steps of each run; 0: those of the course."""
    published: bool = False
    """Budgets, networks and seeds of the publication: days of computing."""


def learn(course: Course, method: str, seed: int, folder: Path) -> dict[str, Any]:
    """Train once, or go on; returns the line for the results."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when torch is loaded, which opening a learner does
    from robostack.learning.training import PROGRESS, TrainConfig, train

    run = folder / run_name(course, method, seed)
    dynamics, evaluate_every = open_task(course.task).dynamics, course.evaluate_every or course.block
    config = TrainConfig(
        task=course.task,
        output_dir=run,
        learner=course.learner,
        steps=course.steps,
        seed=seed,
        distribution=DISTRIBUTIONS[method],
        distribution_settings=dict(course.distributions.get(method, {})),
        distribution_every=course.block,
        distribution_episodes=course.lsdr_episodes if method == "lsdr" else 0,
        episode_s=course.episode_s,
        success_return=course.success_return,
        history=course.history,
        simulations=course.simulations,
        checkpoint_every=course.block,
        keep=1,
        report_every=evaluate_every,
        evaluate_every=evaluate_every,
        evaluate_episodes=course.evaluate_episodes,
        settings={**course.settings, **({"privileged": len(dynamics)} if _has_critic(course) else {})},
    )
    last = train(config, resume=(run / "config.yaml").is_file())
    reports = [json.loads(line) for line in (run / PROGRESS).read_text().splitlines()]
    best = json.loads((run / "best" / "evaluation.json").read_text())
    whole = UniformDistribution(dynamics).entropy()
    entropies = [report["metrics"].get("dynamics_entropy") for report in reports]
    line = {
        **identity(course, method, seed),
        "final": judge(course, last).figures(),
        "best": {**judge(course, run / "best").figures(), "steps": best["steps"]},
        "entropy": 0.0 if method == "uniform" else _difference(entropies[-1], whole),
        "curve": [
            [report["steps"], report["success"], _difference(entropy, whole), report["training_success"]]
            for report, entropy in zip(reports, entropies, strict=True)
        ],
        "cpu_s": reports[-1]["cpu_s"],
    }
    _keep_final(run)
    return line


def _has_critic(course: Course) -> bool:
    """Whether the course's learner has values, which may be shown the dynamics."""
    config: Any = load_object(LEARNERS.load(course.learner).config)
    return "privileged" in {field.name for field in dataclasses.fields(config)}


def judge(course: Course, folder: Path) -> EvaluationResult:
    """A saved policy on the whole range of the dynamics, in episodes that no choice was made by."""
    task = open_task(course.task, course.history)
    task.episode_s = course.episode_s or task.episode_s
    env = make_env(task, min(course.final_episodes, 100), seed=FINAL_SEED)
    result = evaluate_many(env, load_policy(folder).act, course.final_episodes)
    return result.judged_by(course.success_return)


def _difference(entropy: float | None, whole: float) -> float | None:
    return None if entropy is None or not math.isfinite(entropy) else entropy - whole


def _keep_final(run: Path) -> None:
    """Keep the last policy as `final`, and let go of the checkpoints, which hold the replay."""
    from robostack.learning.best_policy import keep_policy

    last = latest_checkpoint(run)
    keep_policy(last, run / "final", {"steps": int(last.name)})
    shutil.rmtree(run / "checkpoints")


def complete(course: Course, methods: Iterable[str], seeds: Iterable[int], folder: Path) -> list[dict[str, Any]]:
    """Do the runs that are missing in `folder`, one after the other; returns the results of all."""
    path = folder / "results.jsonl"
    wanted = [(method, seed) for seed in seeds for method in methods]
    if path.is_file() and not path.read_text().endswith("\n"):
        append_line(path, "")  # ends a torn line
    for method, seed in wanted:
        if _find(finished(path), course, method, seed) is None:
            append_line(path, json.dumps(learn(course, method, seed, folder)))
    have = finished(path)
    return [found for method, seed in wanted if (found := _find(have, course, method, seed)) is not None]


def _find(lines: list[dict[str, Any]], course: Course, method: str, seed: int) -> dict[str, Any] | None:
    wanted = identity(course, method, seed)
    return next((line for line in lines if wanted.items() <= line.items()), None)


def interval(group: list[Mapping[str, Any]], which: str) -> tuple[float, float]:
    """Mean success of a method's runs and half the width of its 95 % interval.

    Over several seeds it is Student's t interval of the mean over seeds, which contains what training leaves to chance;
    for one seed Wilson's, of this one policy.

    Args:
        group: results of one method.
        which: "final" or "best".
    """
    rates = [line[which]["success"] for line in group]
    mean = float(np.mean(rates))
    if len(rates) == 1:
        low, high = wilson_interval(int(group[0][which]["successes"]), int(group[0][which]["episodes"]))
        return mean, (high - low) / 2.0
    error = float(np.std(rates, ddof=1)) / math.sqrt(len(rates))
    return mean, float(stats.t.ppf(0.975, len(rates) - 1)) * error


def by_method(lines: Iterable[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    """Results grouped by method, in the order of `METHODS`."""
    groups: dict[str, list[Mapping[str, Any]]] = {method: [] for method in METHODS}
    for line in lines:
        groups[line["method"]].append(line)
    return {method: group for method, group in groups.items() if group}


def figures_of(lines: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """Success of the last and the best policy, final entropy less that of the uniform, and speed, by method."""
    figures: dict[str, float] = {}
    for method, group in by_method(lines).items():
        for which in ("final", "best"):
            figures[f"{method}_{which}_success"], figures[f"{method}_{which}_success_ci95"] = interval(group, which)
        entropies = [line["entropy"] for line in group if line["entropy"] is not None]
        if entropies:
            figures[f"{method}_final_entropy"] = float(np.mean(entropies))
        figures[f"{method}_steps_per_cpu_s"] = float(np.mean([line["steps"] / line["cpu_s"] for line in group]))
    return figures


def met(figures: Mapping[str, float]) -> bool:
    """Whether every method was run, DORAEMON's best policy is the best, and its last one is near that."""
    names = [f"{method}_best_success" for method in METHODS]
    if any(name not in figures for name in names):
        return False
    best, last = figures["doraemon_best_success"], figures["doraemon_final_success"]
    return best >= max(figures[name] for name in names) and best - last <= NEAR


def run(quick: bool, options: TransferBenchOptions) -> Measured:
    """All methods; the quick form trains two of them for 1,200 steps."""
    course = course_of(options.task, options.published)
    if quick:
        course = dataclasses.replace(
            course,
            steps=1_200,
            block=600,
            seeds=(0,),
            evaluate_every=0,
            evaluate_episodes=2,
            final_episodes=2,
            lsdr_episodes=1,
        )
        with tempfile.TemporaryDirectory() as folder:
            lines = complete(course, ("none", "lsdr"), course.seeds, Path(folder))
        return Measured(figures_of(lines), False, course.seeds)
    course = dataclasses.replace(course, steps=options.steps or course.steps, seeds=options.seeds or course.seeds)
    kept = RESULTS / course.key
    lines = complete(course, options.methods, course.seeds, kept)
    figures = figures_of(lines)
    notes = (
        f"{course.task}: {course.steps} steps per run, an update of the distribution every {course.block}; success "
        f"over dynamics uniform on the whole range, {course.final_episodes} episodes per policy, deterministic",
        "best: chosen by other episodes, after each update; _ci95: half the width of the 95 % interval, over seeds "
        "where there are several",
        "_final_entropy: less the entropy of the uniform on the whole range [nat]; absent for a point",
        f"runs, their settings and curves: {kept / 'results.jsonl'}",
    )
    return Measured(figures, met(figures), course.seeds, notes)


BENCH = BenchEntry(
    summary="success on unknown dynamics after training with none, uniform, AutoDR, LSDR and DORAEMON",
    run=run,
    options=TransferBenchOptions,
    aims={
        "doraemon_best_success": ">= that of every other method",
        "doraemon_final_success": f">= doraemon_best_success - {NEAR}",
    },
)
