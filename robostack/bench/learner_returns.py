"""What SAC and PPO learn on Gymnasium's Hopper and HalfCheetah, beside stable-baselines3 in the same process.

Hours of computing: every finished run is one line of `runs/learner-returns/results.jsonl`, and a run that is there is
not repeated.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

from hardware.config import load_config, plain
from hardware.registry import load_object
from robostack.bench.avg_learning import finished
from robostack.bench.bench import BenchEntry, Measured
from robostack.bench.stock_gymnasium import stock_contract
from robostack.files import append_line
from robostack.learning.learner import LEARNERS

RESULTS = Path("runs/learner-returns/results.jsonl")
SEEDS = (0, 1)
WINDOWS = 10
"""Parts of a run for which the mean return is kept."""
EPISODES = 20
"""Episodes without exploration at the end of a run; their mean is its result."""
EQUAL = 0.9
"""Share of the peer's return from which on returns count as equal: two seeds differ by more."""
STARTS = 10_000
"""Random steps before SAC learns, as the peer's tuned settings for these tasks have it."""
PEER_SETTINGS: Mapping[str, dict[str, Any]] = {"sac": {"learning_starts": STARTS}, "ppo": {}}
"""What is changed from stable-baselines3's defaults; PPO also has its VecNormalize, as in its tuned settings."""


@dataclass(frozen=True)
class Course:
    """One algorithm on one task."""

    task: str
    """Gymnasium's name."""
    learner: str
    """Registry name of the learner."""
    steps: int
    """Environment steps."""
    settings: Mapping[str, Any]
    """What is changed from the learner's defaults."""

    @property
    def figure(self) -> str:
        """Key of the result ("sac_hopper")."""
        return f"{self.learner}_{self.task.partition('-')[0].lower()}"


COURSES = (
    Course("Hopper-v5", "sac", 100_000, {"learning_starts": STARTS}),
    Course("HalfCheetah-v5", "sac", 100_000, {"learning_starts": STARTS}),
    Course("Hopper-v5", "ppo", 1_000_000, {}),
    Course("HalfCheetah-v5", "ppo", 1_000_000, {}),
)
Learned = tuple[Callable[[Any], Any], list[tuple[int, float]]]
"""A policy, and step and return of each episode."""


def learn(course: Course, seed: int, maker: str) -> dict[str, Any]:
    """Learn once with `maker` ("robostack" or "sb3"); returns the line for the results."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when torch is loaded, which opening a learner does
    from robostack.learning.gymnasium_training import evaluate_gymnasium

    begun_s = time.process_time()
    act, episodes = (_ours if maker == "robostack" else _peer)(course, seed)
    cpu_s = time.process_time() - begun_s
    windows: list[list[float]] = [[] for _ in range(WINDOWS)]
    for step, total in episodes:
        windows[min((step - 1) * WINDOWS // course.steps, WINDOWS - 1)].append(total)
    final = evaluate_gymnasium(course.task, act, EPISODES, seed=10_000)
    return {
        **identity(course, seed, maker),
        "return": float(np.mean(final)),
        "returns": [float(np.mean(window)) if window else None for window in windows],
        "episodes": len(episodes),
        "cpu_s": cpu_s,
    }


def identity(course: Course, seed: int, maker: str) -> dict[str, Any]:
    """What tells one run from all others."""
    settings = dict(course.settings) if maker == "robostack" else PEER_SETTINGS[course.learner]
    names = {"figure": course.figure, "task": course.task, "steps": course.steps, "maker": maker}
    return {**names, "settings": settings, "seed": seed}


def _ours(course: Course, seed: int) -> Learned:
    from robostack.learning.gymnasium_training import train_gymnasium

    entry = LEARNERS.load(course.learner)
    cls: Any = load_object(entry.config)
    config = load_config(cls, {**plain(cls()), **course.settings})
    env = gymnasium.make(course.task)
    learner = entry.open(stock_contract(course.task, env), config, seed)
    env.close()
    episodes: list[tuple[int, float]] = []
    train_gymnasium(
        course.task, learner, course.steps, seed, on_episode=lambda step, ended: episodes.append((step, ended.total))
    )
    return lambda observation: learner.act(observation, explore=False), episodes


def _peer(course: Course, seed: int) -> Learned:
    """The same with stable-baselines3."""
    sb3: Any = importlib.import_module("stable_baselines3")
    envs: Any = importlib.import_module("stable_baselines3.common.vec_env")
    monitor: Any = importlib.import_module("stable_baselines3.common.monitor")
    watched = monitor.Monitor(gymnasium.make(course.task))
    env = envs.DummyVecEnv([lambda: watched])
    if course.learner == "ppo":
        env = envs.VecNormalize(env)
    algorithm: Any = {"sac": sb3.SAC, "ppo": sb3.PPO}[course.learner]
    model = algorithm("MlpPolicy", env, seed=seed, device="cpu", **PEER_SETTINGS[course.learner])
    model.learn(course.steps)
    ends = np.cumsum(watched.get_episode_lengths())

    def act(observation: Any) -> Any:
        seen = env.normalize_obs(observation) if course.learner == "ppo" else observation
        return model.predict(seen, deterministic=True)[0]

    return act, [(int(step), float(total)) for step, total in zip(ends, watched.get_episode_rewards(), strict=True)]


def makers() -> tuple[str, ...]:
    """Whose learners can be run here."""
    return ("robostack", "sb3") if importlib.util.find_spec("stable_baselines3") else ("robostack",)


def complete(courses: Iterable[Course], seeds: Iterable[int], path: Path) -> list[dict[str, Any]]:
    """Do the runs that are missing in `path`, one after the other; returns the results of all."""
    wanted = [(course, seed, maker) for course in courses for seed in seeds for maker in ("robostack", "sb3")]
    if path.is_file() and not path.read_text().endswith("\n"):
        append_line(path, "")  # ends a torn line
    for course, seed, maker in wanted:
        if _find(finished(path), course, seed, maker) is None and maker in makers():
            append_line(path, json.dumps(learn(course, seed, maker)))
    have = finished(path)
    return [found for entry in wanted if (found := _find(have, *entry)) is not None]


def _find(lines: list[dict[str, Any]], course: Course, seed: int, maker: str) -> dict[str, Any] | None:
    wanted = json.loads(json.dumps(identity(course, seed, maker)))
    return next((line for line in lines if wanted.items() <= line.items()), None)


def figures_of(lines: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """Mean return over seeds and steps per CPU-second of each course, ours and (`sb3_...`) the peer's."""
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for line in lines:
        prefix = "" if line["maker"] == "robostack" else "sb3_"
        groups.setdefault(f"{prefix}{line['figure']}", []).append(line)
    figures = {}
    for name, group in groups.items():
        figures[f"{name}_return_mean"] = float(np.mean([line["return"] for line in group]))
        figures[f"{name}_steps_per_cpu_s"] = float(np.mean([line["steps"] / line["cpu_s"] for line in group]))
    return figures


def met(figures: Mapping[str, float]) -> bool:
    """Whether every course has its peer, equals it in return and is not slower."""
    names = [course.figure for course in COURSES]
    if any(f"{prefix}{name}_return_mean" not in figures for name in names for prefix in ("", "sb3_")):
        return False
    return all(
        figures[f"{name}_return_mean"] >= EQUAL * figures[f"sb3_{name}_return_mean"]
        and figures[f"{name}_steps_per_cpu_s"] >= figures[f"sb3_{name}_steps_per_cpu_s"]
        for name in names
    )


def run(quick: bool) -> Measured:
    """All courses; the quick form learns 2,000 steps of one with one seed."""
    if quick:
        with tempfile.TemporaryDirectory() as folder:
            short = Course("Hopper-v5", "sac", 2_000, {"learning_starts": 1_900, "hidden": [32, 32]})
            lines = complete((short,), SEEDS[:1], Path(folder) / RESULTS.name)
        return Measured(figures_of(lines), False, SEEDS[:1])
    lines = complete(COURSES, SEEDS, RESULTS)
    figures = figures_of(lines)
    notes = (
        f"mean return of {EPISODES} episodes without exploration after the last step, over {len(SEEDS)} seeds",
        f"sb3: stable-baselines3 {'here' if 'sb3' in makers() else 'is not installed, its runs are missing'}",
        f"runs, their settings and learning curves: {RESULTS}",
    )
    return Measured(figures, met(figures), SEEDS, notes)


BENCH = BenchEntry(
    summary="SAC and PPO: mean return on Hopper and HalfCheetah, beside stable-baselines3",
    run=run,
    aims={f"{course.figure}_return_mean": f">= {EQUAL} x sb3_{course.figure}_return_mean" for course in COURSES},
)
