"""Demonstrations by a task's hand-written policy in simulation, with the unevenness of a person."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hardware.arrays import FloatArray
from hardware.errors import ConfigError
from robostack.contract import contract_of
from robostack.data.features import (
    ACTION,
    DONE,
    IMAGES,
    INFO,
    REWARD,
    STATE,
    SUCCESS,
    Feature,
    image_feature,
    vector_feature,
)
from robostack.data.writer import DatasetWriter
from robostack.env import RobotEnv, bounds
from robostack.make import make_env
from robostack.policies.policy import Policy
from robostack.tasks.task import Task, Term

DISTURBANCE = INFO + "disturbance"
"""Column of what was added to the action on its way to the robot."""
ATTEMPTS_MAX = 50
"""Failures in a row after which recording gives up."""


@dataclass(frozen=True)
class RecordingConfig:
    """How the scripted operator behaves."""

    episodes: int = 50
    """Successful episodes to record; failed ones are not kept."""
    seed: int = 0
    """Of starts, goals, dynamics and the operator."""
    speed_spread: float = 0.0
    """Each episode moves at 1 - u of the script's speed, u uniform up to this."""
    tremor: float = 0.0
    """Standard deviation of the operator's own unevenness, as a fraction of the largest action; it is recorded."""
    disturbance: float = 0.0
    """The same, but added on the way to the robot: recorded is what leads back, so that recoveries are shown."""
    correlation_s: float = 0.3
    """Time over which both are correlated [s]."""
    randomize: bool = True
    """Draw the dynamics anew for each episode."""
    image_size: int | None = None
    """Width and height of the images of the task's cameras, recorded too [px]; None: no images."""

    def __post_init__(self) -> None:
        """Check ranges.

        Raises:
            ConfigError: a value is out of range.
        """
        if self.episodes < 1 or not 0.0 <= self.speed_spread < 1.0:
            raise ConfigError("episodes must be at least 1 and speed_spread lie in [0, 1)")
        if min(self.tremor, self.disturbance) < 0.0 or self.correlation_s <= 0.0:
            raise ConfigError("tremor and disturbance must not be negative, correlation_s must be positive")


def record_scripted(
    task: Task, root: Path, config: RecordingConfig, on_episode: Callable[[int, bool], None] | None = None
) -> int:
    """Record demonstrations of `task` as a dataset; a dataset that is there is continued up to `episodes`.

    The disturbance is the noise injection of DART (Laskey et al. 2017): the robot meets states beside the script's
    path, and the action recorded there is the one that leads back.

    Args:
        task: what to show.
        root: folder of the dataset.
        config: how.
        on_episode: called after each attempt with the number of episodes kept and whether it was a success.

    Returns:
        Number of attempts that failed and were not kept.

    Raises:
        ConfigError: the task has no scripted policy, or it fails too often.
        DatasetError: the dataset cannot be written.
    """
    policy = task.scripted()
    if policy is None:
        raise ConfigError(f"task '{task.name}' has no scripted policy to demonstrate it")
    env = make_env(task, randomize=config.randomize, seed=config.seed, image_size=config.image_size)
    features, rate_hz = features_of(task, config.image_size), 1.0 / task.control_period_s
    failures, tries = 0, 0
    writer = DatasetWriter(root, fps=rate_hz, features=features, robot_type=task.spec.name, contract=contract_of(task))
    with writer:
        while writer.num_episodes < config.episodes:
            # Seeded one by one, so that a recording that was interrupted becomes the same as one that was not.
            rng = np.random.default_rng([config.seed, writer.num_episodes, tries])
            success = _episode(env, policy, writer, config, rng)
            if success:
                writer.finish_episode()
                tries = 0
            else:
                writer.discard_episode()
                failures, tries = failures + 1, tries + 1
            if on_episode is not None:
                on_episode(writer.num_episodes, success)
            if tries > ATTEMPTS_MAX:
                raise ConfigError(f"{tries} attempts at '{task.name}' in a row failed; lower tremor and disturbance")
    return failures


def features_of(task: Task, image_size: int | None = None) -> dict[str, Feature]:
    """The columns of a dataset of `task`; images are kept as they are, without a video's losses."""

    def names(terms: tuple[Term, ...]) -> tuple[str, ...]:
        return tuple(f"{term.name}.{element}" for term in terms for element in term.elements)

    cameras = task.cameras if image_size is not None else ()
    return {
        **{IMAGES + name: image_feature(int(image_size or 0), int(image_size or 0), video=False) for name in cameras},
        STATE: vector_feature(*names(task.observation)),
        ACTION: vector_feature(*names(task.action)),
        REWARD: Feature("float32", (1,), None),
        DONE: Feature("bool", (1,), None),
        SUCCESS: Feature("bool", (1,), None),
        DISTURBANCE: vector_feature(*names(task.action)),
    }


def _episode(
    env: RobotEnv, policy: Policy, writer: DatasetWriter, config: RecordingConfig, rng: np.random.Generator
) -> bool:
    """Act once; returns whether the task was accomplished."""
    task = env.task
    low, high = bounds(task.action)
    moving = np.array([term.unit != "1" for term in task.action for _ in term.elements])
    speed = np.where(moving, 1.0 - config.speed_spread * rng.random(), 1.0)
    tremor = _Drift(config.tremor * (high - low) / 2.0 * moving, task.control_period_s / config.correlation_s, rng)
    push = _Drift(config.disturbance * (high - low) / 2.0 * moving, task.control_period_s / config.correlation_s, rng)
    observation, info = env.reset(seed=int(rng.integers(2**31)))
    policy.reset()
    ended = False
    while not ended:
        seen = observation if isinstance(observation, dict) else {"state": observation}
        action = np.clip(policy.act(seen["state"]) * speed + tremor.next(), low, high)
        disturbance = np.clip(action + push.next(), low, high) - action
        following, reward, terminated, truncated, info = env.step(action + disturbance)
        ended = terminated or truncated
        images = {IMAGES + name: image for name, image in seen.items() if name != "state"}
        frame = {STATE: seen["state"], ACTION: action, REWARD: reward, DONE: ended, SUCCESS: bool(info["success"])}
        writer.add({**frame, **images, DISTURBANCE: disturbance}, task.name)
        observation = following
    return bool(info["success"])


class _Drift:
    """Noise with a memory: x' = k x + sqrt(1 - k^2) sigma n, k = exp(-period / correlation time)."""

    def __init__(self, sigma: FloatArray, period: float, rng: np.random.Generator) -> None:
        self._sigma, self._keep, self._rng = sigma, float(np.exp(-period)), rng
        self._value = sigma * rng.standard_normal(len(sigma))

    def next(self) -> FloatArray:
        """The next value, (n,)."""
        fresh = self._sigma * self._rng.standard_normal(len(self._sigma))
        self._value = self._keep * self._value + np.sqrt(1.0 - self._keep**2) * fresh
        return self._value
