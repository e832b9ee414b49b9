"""Gives a learner episodes of its task's hand-written policy, as demonstrations to start from."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from hardware.arrays import Array
from hardware.errors import ConfigError
from robostack.env import bounds
from robostack.learning.experience import many
from robostack.learning.learner import Learner, Transition
from robostack.make import make_env
from robostack.policies.policy import Policy
from robostack.tasks.task import Task
from sim.randomization.fixed import FixedDistribution
from sim.randomization.uniform import UniformDistribution

TOGETHER = 50
"""Simulations stepped together, at most."""
NOISE = 0.1
"""Standard deviation of what is added to the actions, as a share of half their range: shows how to get back."""


def demonstrate(learner: Learner, task: Task, episodes: int, seed: int, randomize: bool = False) -> float:
    """Let the task's hand-written policy act and the learner watch.

    Args:
        learner: takes the steps, with the source "demo".
        task: the task.
        episodes: how many at least.
        seed: of starts, goals, dynamics and the noise on the actions.
        randomize: draw the dynamics of each episode from their whole range; else they are nominal.

    Returns:
        Share of the episodes that succeeded. Those that failed are given too.

    Raises:
        ConfigError: the task has no hand-written policy, or the learner keeps no demonstrations.
    """
    if not hasattr(learner, "demos"):
        raise ConfigError("this learner learns from its own actions only; to be shown others', choose rlpd or sac")
    scripted = task.scripted()
    if scripted is None:
        raise ConfigError(f"task '{task.name}' has no scripted policy to demonstrate it; leave demonstrations out")
    count = min(episodes, TOGETHER)
    drawn = (UniformDistribution if randomize else FixedDistribution)(task.dynamics) if task.dynamics else False
    env = make_env(task, count, randomize=drawn, seed=seed)
    experience = many(env, _Demonstrator(learner, scripted, task, seed))
    experience.start()
    ended: list[bool] = []
    while len(ended) < episodes:
        ended += [episode.success for episode in experience.step()]
    return float(np.mean(ended))


class _Demonstrator:
    """The hand-written policy in a learner's place; what it does reaches the learner as demonstration."""

    def __init__(self, learner: Learner, scripted: Policy, task: Task, seed: int) -> None:
        self._learner, self._scripted = learner, scripted
        self._low, self._high = bounds(task.action)
        self._rng = np.random.default_rng(seed)
        self.config = getattr(learner, "config", None)
        """The learner's, which says what its critic is shown."""
        scripted.reset()

    def act(self, observation: Array, explore: bool = True) -> Array:
        """The policy's action with noise, within bounds."""
        action = self._scripted.act(observation)
        noise = NOISE * 0.5 * (self._high - self._low) * self._rng.standard_normal(action.shape)
        return np.clip(action + noise, self._low, self._high)

    def observe(self, transition: Transition) -> None:
        """Hand it on as a demonstration."""
        self._learner.observe(dataclasses.replace(transition, source="demo"))

    def update(self) -> Mapping[str, float]:
        """Nothing to learn."""
        return {}

    def save(self, folder: Path) -> None:
        """Nothing to save."""

    def load(self, folder: Path) -> None:
        """Nothing to load."""
