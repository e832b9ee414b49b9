"""What `robostack bench transfer` trains: tasks, budgets, and each method's settings."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hardware.errors import UnknownNameError

METHODS = ("none", "uniform", "autodr", "lsdr", "doraemon")
"""Ways to draw the dynamics in training, in the order of the tables."""
DISTRIBUTIONS: Mapping[str, str] = {method: method for method in METHODS} | {"none": "fixed"}
"""Registry name of each method's distribution."""
HISTORY = 6
"""Observations of the actor: the current one and five before it, with five actions (DORAEMON's published code)."""


@dataclass(frozen=True)
class Course:
    """Training on one task, the same for every method but for how the dynamics are drawn."""

    key: str
    """Short name, also of the folder of the results."""
    task: str
    """Registry name of the task."""
    steps: int
    """Environment steps of one run."""
    block: int
    """Steps between updates of the distribution; each is followed by an evaluation."""
    seeds: tuple[int, ...]
    """One run of each method per seed."""
    learner: str = "sac"
    """Registry name of the learner."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Settings of the learner."""
    distributions: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Settings of the distribution by method."""
    lsdr_episodes: int = 20
    """Episodes that LSDR judges its distribution by before each update; their steps count among `steps`."""
    success_return: float | None = None
    """An episode of at least this return succeeded; None: the task says which did."""
    episode_s: float = 0.0
    """Time limit of an episode [s]; 0: the task's."""
    simulations: int = 5
    """Simulations stepped together."""
    history: int = HISTORY
    """Observations that the actor sees, with the actions between them."""
    evaluate_every: int = 0
    """Steps between evaluations on the whole range, which choose the best policy and do not count among `steps`; 0:
    after each update."""
    evaluate_episodes: int = 100
    """Episodes of each evaluation."""
    final_episodes: int = 500
    """Further episodes, the same for all policies, that the last and the best policy are judged by."""
    published: bool = False
    """Whether budget and settings are those of the publication."""


_COMMON: dict[str, Any] = {"hidden": [128, 128], "updates_per_step": 0.2}
"""Two layers of 128 for actor and critics, 0.2 gradient steps per environment step (DORAEMON's published code)."""
_QUICK: dict[str, Any] = {
    **_COMMON,
    "batch_size": 128,
    "actor_learning_rate": 5e-4,
    "critic_learning_rate": 1e-3,
    "temperature_learning_rate": 5e-4,
    "initial_temperature": 0.1,
    "target_rate": 0.02,
}
"""What makes most of a small number of gradient steps: values spread faster, batches are smaller."""

SWINGUP = Course(
    key="swingup",
    task="cartpole-swingup",
    steps=600_000,
    block=20_000,
    seeds=(0, 1, 2),
    settings={**_QUICK, "average_rate": 5e-4},
    distributions={
        "autodr": {"low_return": 150.0, "high_return": 250.0, "step": 0.08, "episodes": 5},
        "lsdr": {"weight": 100.0},
        "doraemon": {"step_divergence": 0.1},
    },
    simulations=10,
    evaluate_every=40_000,
)
"""Returns lie between 0 and 500; a pole that comes up within four seconds and stays earns more than 250. What is judged
is an average of the actor over about the last 2,000 updates."""
HOPPER = Course(
    key="hopper",
    task="hopper",
    steps=1_500_000,
    block=50_000,
    seeds=(0,),
    learner="ppo",
    settings={"hidden": [64, 64], "steps_per_update": 4096, "minibatch": 256},
    distributions={
        "autodr": {"low_return": 600.0, "high_return": 800.0, "step": 0.15, "episodes": 2},
        "lsdr": {"weight": 100.0},
        "doraemon": {"step_divergence": 0.3},
    },
    success_return=800.0,
    episode_s=4.0,
    simulations=16,
    evaluate_every=100_000,
)
"""A return of 800, which asks for not falling and 0.6 m/s, instead of the published 1,600."""
PANDA_PUSH = Course(
    key="panda-push",
    task="panda-push",
    steps=600_000,
    block=20_000,
    seeds=(0,),
    learner="dagger",
    settings={"hidden": [128, 128], "updates_per_step": 0.1, "expert_steps": 6_000},
    distributions={
        "autodr": {"low_return": -100.0, "high_return": 0.0, "step": 0.2, "episodes": 2},
        "lsdr": {"weight": 100.0},
        "doraemon": {"step_divergence": 0.5},
    },
    simulations=20,
    history=1,
    evaluate_every=100_000,
)
"""Imitates the hand-written policy in the states that its own policy reaches, with dynamics that each method draws; the
first 20 episodes are the script's. Steps of 0.5 nat: so DORAEMON can come to the whole range in half of the run."""

COURSES: Mapping[str, Course] = {course.key: course for course in (SWINGUP, HOPPER, PANDA_PUSH)}
"""Reduced budgets, by key."""
_PUBLISHED: Mapping[str, tuple[int, float, float]] = {
    "swingup": (2_500_000, 5e-4, 0.1),
    "hopper": (15_000_000, 5e-4, 0.005),
    "panda-push": (5_000_000, 1e-3, 0.1),
}
"""Steps, learning rate and DORAEMON's largest divergence per update, as published; one update per 100,000 steps."""


def _rates(rate: float) -> dict[str, float]:
    names = ("actor_learning_rate", "critic_learning_rate", "temperature_learning_rate")
    return dict.fromkeys(names, rate)


def course_of(key: str, published: bool = False) -> Course:
    """The course called `key`, with a reduced budget or the published one.

    Raises:
        UnknownNameError: there is none.
    """
    if key not in COURSES:
        raise UnknownNameError("task of bench transfer", key, COURSES)
    course = COURSES[key]
    if not published:
        return course
    steps, rate, divergence = _PUBLISHED[key]
    distributions = {method: dict(course.distributions.get(method, {})) for method in METHODS}
    distributions["autodr"] |= {"episodes": 20, "step": 0.0498}
    distributions["doraemon"] = {"step_divergence": divergence}
    return dataclasses.replace(
        course,
        steps=steps,
        block=100_000,
        seeds=tuple(range(10)),
        settings={**_COMMON, **_rates(rate), "critic_activation": "tanh"},
        distributions=distributions,
        lsdr_episodes=100,
        learner="sac",
        simulations=5,
        history=HISTORY,
        success_return=None,
        evaluate_every=0,
        published=True,
    )


def identity(course: Course, method: str, seed: int) -> dict[str, Any]:
    """What tells one run from all others, as JSON holds it."""
    settings = {
        name: value
        for name, value in dataclasses.asdict(course).items()
        if name not in ("key", "seeds", "distributions", "lsdr_episodes", "final_episodes")
    }
    own = {"method": method, "seed": seed, "distribution": dict(course.distributions.get(method, {}))}
    if method == "lsdr":
        own["lsdr_episodes"] = course.lsdr_episodes
    found: dict[str, Any] = json.loads(json.dumps({**settings, **own}))
    return found


def run_name(course: Course, method: str, seed: int) -> str:
    """Name of the folder of a run; other settings, another folder."""
    text = json.dumps(identity(course, method, seed), sort_keys=True)
    return f"{method}-{seed}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
