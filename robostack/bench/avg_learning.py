"""What learners from single steps learn on Gymnasium's own tasks, over several seeds.

Keys with the prefix `parity_`: AVG with the settings published for each task; with `stream_`: stream AC(lambda) with
one setting for all tasks. The others: the intentional actor-critic, likewise.

A run is one task and one seed. Each finished run is one line of `runs/avg-learning/results.jsonl`; started again, the
benchmark goes on with the runs that are missing.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import tempfile
from collections.abc import Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hardware.config import plain
from robostack.bench.bench import BenchEntry, Measured
from robostack.bench.stock_gymnasium import stock_contract, stock_env
from robostack.files import append_line
from robostack.learning.avg import AvgConfig
from robostack.learning.intentional import IntentionalConfig
from robostack.learning.learner import LEARNERS, Transition
from robostack.learning.stream_ac import StreamAcConfig

RESULTS = Path("runs/avg-learning/results.jsonl")
SEEDS = (0, 1, 2, 3, 4)
PROCESSES = 2
WINDOWS = 10
"""Parts of a run; its result is the mean return of the episodes that end in the last."""


@dataclass(frozen=True)
class Course:
    """What is learned, how long, and with what."""

    figure: str
    """Key of the result, without `_mean`."""
    task: str
    """Gymnasium's name of the task."""
    steps: int
    """Steps learned from."""
    config: AvgConfig | IntentionalConfig | StreamAcConfig
    """Settings of the learner."""
    learner: str = "avg"
    """Registry name of the learner."""


def published(actor: float, critic: float, alpha: float) -> AvgConfig:
    """Settings as published: plain clipping, features without epsilon, returns that run on over time limits."""
    return AvgConfig(
        actor_learning_rate=actor,
        critic_learning_rate=critic,
        entropy_coefficient=alpha,
        map_actions=False,
        reset_return_on_truncation=False,
    )


HOPPING, RUNNING = published(1.1e-5, 7.7e-5, 0.3), published(6.3e-3, 8.7e-3, 0.07)
ONE, STREAM = IntentionalConfig(), StreamAcConfig()
COURSES = (
    Course("parity_halfcheetah_150k", "HalfCheetah-v4", 150_000, RUNNING),
    Course("parity_hopper_200k", "Hopper-v4", 200_000, HOPPING),
    Course("parity_ant_500k", "Ant-v4", 500_000, RUNNING),
    Course("parity_walker2d_500k", "Walker2d-v4", 500_000, HOPPING),
    Course("parity_humanoid_500k", "Humanoid-v4", 500_000, RUNNING),
    Course("halfcheetah_150k", "HalfCheetah-v4", 150_000, ONE, "intentional"),
    Course("hopper_200k", "Hopper-v4", 200_000, ONE, "intentional"),
    Course("ant_500k", "Ant-v4", 500_000, ONE, "intentional"),
    Course("walker2d_500k", "Walker2d-v4", 500_000, ONE, "intentional"),
    Course("humanoid_500k", "Humanoid-v4", 500_000, ONE, "intentional"),
    Course("stream_halfcheetah_150k", "HalfCheetah-v4", 150_000, STREAM, "stream-ac"),
    Course("stream_hopper_200k", "Hopper-v4", 200_000, STREAM, "stream-ac"),
)
AIMS = {"halfcheetah_150k": 1800.0, "hopper_200k": 1000.0}
"""Mean returns aimed at with one setting for all tasks."""
REFERENCE = {"parity_halfcheetah_150k": (1070.0, 1216.0), "parity_hopper_200k": (308.0, 339.0)}
"""What the published code and a copy of it reached in the last window, lowest and highest of two or three seeds."""


def learn(course: Course, seed: int) -> dict[str, Any]:
    """Learn once; returns the line for the results: what was run, mean return per window, episodes, rejected steps."""
    env = stock_env(course.task)
    learner: Any = LEARNERS.load(course.learner).open(stock_contract(course.task, env), course.config, seed)
    observation, _ = env.reset(seed=seed)
    returns: list[list[float]] = [[] for _ in range(WINDOWS)]
    metrics: Mapping[str, float] = {}
    for step in range(course.steps):
        action = learner.act(observation)
        following, reward, terminated, truncated, info = env.step(action)
        learner.observe(Transition(observation, action, reward, following, terminated, truncated))
        metrics = learner.update()
        observation = following
        if terminated or truncated:
            returns[step * WINDOWS // course.steps].append(float(info["episode"]["r"]))
            observation, _ = env.reset()
    env.close()
    means = [float(np.mean(window)) if window else None for window in returns]
    episodes = sum(map(len, returns))
    return {**identity(course, seed), "returns": means, "episodes": episodes, "rejected": metrics.get("rejected", 0.0)}


def identity(course: Course, seed: int) -> dict[str, Any]:
    """What tells one run from all others."""
    settings = {name: value for name, value in plain(course.config).items() if name != "kernel"}
    names = {"figure": course.figure, "task": course.task, "steps": course.steps, "learner": course.learner}
    return {**names, "settings": settings, "seed": seed}


def finished(path: Path) -> list[dict[str, Any]]:
    """The whole lines of the results; a torn last one is left out."""
    lines = []
    for line in path.read_text().splitlines() if path.is_file() else ():
        try:
            lines.append(json.loads(line))
        except ValueError:
            continue
    return lines


def complete(courses: Iterable[Course], seeds: Iterable[int], path: Path) -> list[dict[str, Any]]:
    """Do the runs that are missing in `path`, two at a time; returns the results of all, in order."""
    wanted = [(course, seed) for course in courses for seed in seeds]
    have = finished(path)
    missing = [(course, seed) for course, seed in wanted if _find(have, course, seed) is None]
    if missing:
        if path.is_file() and not path.read_text().endswith("\n"):
            append_line(path, "")  # ends the torn line
        # The matrices are small: a second thread in a process would only wait. Set before numpy is loaded there.
        os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
        with ProcessPoolExecutor(PROCESSES, multiprocessing.get_context("spawn")) as pool:
            for done in as_completed([pool.submit(learn, course, seed) for course, seed in missing]):
                append_line(path, json.dumps(done.result()))
        have = finished(path)
    return [found for course, seed in wanted if (found := _find(have, course, seed)) is not None]


def _find(lines: list[dict[str, Any]], course: Course, seed: int) -> dict[str, Any] | None:
    wanted = json.loads(json.dumps(identity(course, seed)))
    return next((line for line in lines if wanted.items() <= line.items()), None)


def figures_of(lines: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """Mean and standard deviation over seeds of each course's last window."""
    by_figure: dict[str, list[float]] = {}
    for line in lines:
        if line["returns"][-1] is not None:
            by_figure.setdefault(line["figure"], []).append(line["returns"][-1])
    figures = {}
    for figure, values in by_figure.items():
        figures[f"{figure}_mean"] = float(np.mean(values))
        figures[f"{figure}_std"] = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
    return figures


def run(quick: bool) -> Measured:
    """All courses; the quick form learns 3,000 steps of one with one seed, beside the results of others."""
    if quick:
        with tempfile.TemporaryDirectory() as folder:
            short = Course("parity_hopper_3k", "Hopper-v4", 3_000, HOPPING)
            lines = complete((short,), SEEDS[:1], Path(folder) / RESULTS.name)
        return Measured(figures_of(lines), False, SEEDS[:1])
    lines = complete(COURSES, SEEDS, RESULTS)
    figures = figures_of(lines)
    met = all(figures.get(f"{name}_mean", -np.inf) >= low for name, low in AIMS.items())
    met = met and all(figures.get(f"{name}_mean", -np.inf) >= low for name, (low, _) in REFERENCE.items())
    notes = (
        "mean return of the episodes that end in the last tenth of a run, explored actions; mean and std over seeds",
        "parity: AVG with the settings published for each task; stream: stream AC(lambda) with one setting for all; "
        "else the intentional actor-critic with one setting for all",
        f"runs and their settings: {RESULTS}",
        f"steps refused because something was not finite: {sum(line['rejected'] for line in lines):.0f}",
    )
    return Measured(figures, met, SEEDS, notes)


BENCH = BenchEntry(
    summary="AVG, intentional actor-critic and stream AC: mean return on stock Gymnasium tasks, over five seeds",
    run=run,
    aims={
        **{f"{name}_mean": f">= {low:g}" for name, low in AIMS.items()},
        **{f"{name}_mean": f">= {low:g}, as the published code" for name, (low, _) in REFERENCE.items()},
    },
)
