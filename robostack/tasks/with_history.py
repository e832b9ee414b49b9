"""Any task with a memory: its observation, and the last observations and actions before it.

What randomised dynamics do to a robot shows in how it answered the last actions, so a policy that is given them can
tell which dynamics it meets (Peng et al. 2018, arXiv 1710.06537). The memory lies in the episode, as every task's does,
so that training, evaluation and the physical robot keep it in the same way.
"""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING, Any

import numpy as np

from controllers.reference import BaseReference, JointReference
from hardware.arrays import Array, namespace
from hardware.errors import ConfigError
from hardware.records import RobotState
from hardware.registry import load_object
from robostack.tasks.task import TASKS, Episode, Outcome, Start, Task, Term

if TYPE_CHECKING:
    from robostack.policies.policy import Policy

SEEN, DONE, NOW = "history/observation", "history/action", "history/now"
"""Names in the episode: past observations and actions, newest last, and the observation that is newest."""


class WithHistory(Task):
    """The observation followed by the `length` - 1 observations before it and the actions between, newest first.

    At the start of an episode the past is the first observation, over and over, with actions of zero.

    Args:
        task: the task.
        length: observations given, the newest included; at least 2.

    Raises:
        ConfigError: there is nothing to remember.
    """

    def __init__(self, task: Task, length: int) -> None:
        if length < 2:
            raise ConfigError(
                f"a history of {length} observation(s) is no memory; give 2 or more, or the task as it is"
            )
        self.inner, self.length = task, length
        self.name = f"{task.name}-history{length}"
        self.spec, self.model, self.dynamics = task.spec, task.model, task.dynamics
        self.control_period_s, self.timestep_s = task.control_period_s, task.timestep_s
        self.episode_s, self.ends_on_success = task.episode_s, task.ends_on_success
        self.action, self.impedance, self.cameras = task.action, task.impedance, task.cameras
        if (distance := getattr(task, "distance", None)) is not None:  # optional, see robostack.evaluation.HasDistance
            self.distance: Any = distance
        past = [
            dataclasses.replace(term, name=f"{term.name}_{back}_ago")
            for back in range(1, length)
            for term in (*task.observation, *(_as_observed(term) for term in task.action))
        ]
        self.observation = (*task.observation, *past)

    def start(self, rng: np.random.Generator, count: int) -> Start:
        """As the task's."""
        return self.inner.start(rng, count)

    def begin(self, rng: np.random.Generator, state: RobotState) -> Episode:
        """As the task's, with a past in which nothing happened."""
        episode = self.inner.begin(rng, state)
        now = self.inner.observe(state, episode)
        xp = namespace(now)
        seen = xp.stack([now] * (self.length - 1), axis=-2)
        actions = sum(len(term.elements) for term in self.action)
        done = xp.zeros((*now.shape[:-1], self.length - 1, actions), dtype=now.dtype)
        return {**episode, SEEN: seen, DONE: done, NOW: now}

    def observe(self, state: RobotState, episode: Episode) -> Array:
        """The observation and the past, newest first, (..., num_observations)."""
        now = self.inner.observe(state, episode)
        xp = namespace(now)
        past = [
            part
            for back in range(1, self.length)
            for part in (episode[SEEN][..., -back, :], episode[DONE][..., -back, :])
        ]
        return xp.concat([now, *past], axis=-1)

    def reference(self, action: Array, state: RobotState, episode: Episode) -> JointReference | BaseReference:
        """As the task's."""
        return self.inner.reference(action, state, episode)

    def judge(self, action: Array, state: RobotState, episode: Episode) -> tuple[Outcome, Episode]:
        """As the task's; the observation acted on and the action enter the past."""
        outcome, after = self.inner.judge(action, state, episode)
        xp = namespace(action)
        after = {**episode, **after}
        after[SEEN] = xp.concat([episode[SEEN][..., 1:, :], episode[NOW][..., None, :]], axis=-2)
        after[DONE] = xp.concat([episode[DONE][..., 1:, :], action[..., None, :]], axis=-2)
        after[NOW] = self.inner.observe(state, after)
        return outcome, after

    def scripted(self) -> Policy | None:
        """As the task's, which reads the newest observation and is blind to the past behind it."""
        return self.inner.scripted()


def open_task(name: str, history: int = 1) -> Task:
    """The task called `name`.

    Args:
        name: its registry name, or "module:Class" of one that is not registered; "-history6" after it asks for a memory
            of 6 observations, as the names of tasks with a memory do.
        history: observations that a policy is given, for a name that does not say; 1: no memory.

    Raises:
        UnknownNameError: there is no such task.
        ConfigError: the memory is too short.
    """
    found = re.fullmatch(r"(.+)-history(\d+)", name)
    if found is not None and name not in TASKS.names():
        name, history = found[1], int(found[2])
    made: Any = load_object(name) if ":" in name else TASKS.load(name)
    task: Task = made()
    return task if history == 1 else WithHistory(task, history)


def _as_observed(term: Term) -> Term:
    """An action's term among the observations."""
    return dataclasses.replace(term, name=f"action_{term.name}")
