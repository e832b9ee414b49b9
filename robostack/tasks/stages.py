"""Any task in stages: each pays once per episode, in the step that first reaches it.

A long task with a reward at its end alone is learned slowly; a stage that pays at every step is where a policy stays
(Luo et al., arXiv 2410.21845, give each stage its own classifier). What has been reached is observed, so that the
value of a state does not depend on what a policy cannot know.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from controllers.reference import BaseReference, JointReference
from hardware.arrays import Array, namespace
from hardware.errors import ConfigError
from hardware.records import RobotState
from robostack.tasks.task import Episode, Outcome, Start, Task, Term

REACHED = "stages/reached"
"""Name in the episode: which stages have been reached, (..., num_stages), 0 or 1."""


@dataclass(frozen=True)
class Stage:
    """One stage."""

    name: str
    """Its name ("grasped")."""
    reached: Callable[[RobotState, Episode], Array]
    """Whether it is reached in a state, (...,) bool."""
    reward: float = 1.0
    """What it pays, once."""


class Staged(Task):
    """A task whose stages are rewarded besides what the task itself pays.

    Args:
        task: the task.
        stages: in order.
        ordered: whether a stage counts only after those before it.
        success: whose word counts: the task's own, or "all": every stage has been reached.

    Raises:
        ConfigError: there is no stage, or two have one name.
    """

    def __init__(
        self, task: Task, stages: Sequence[Stage], ordered: bool = False, success: Literal["task", "all"] = "task"
    ) -> None:
        names = tuple(stage.name for stage in stages)
        if not names or len(set(names)) < len(names):
            raise ConfigError(f"task '{task.name}' in stages: name one stage or more, each once, not {list(names)}")
        self.inner, self.stages, self.ordered, self.success = task, tuple(stages), ordered, success
        self.name = f"{task.name}-staged"
        self.spec, self.model, self.dynamics = task.spec, task.model, task.dynamics
        self.control_period_s, self.timestep_s = task.control_period_s, task.timestep_s
        self.episode_s, self.ends_on_success = task.episode_s, task.ends_on_success
        self.action, self.impedance, self.cameras = task.action, task.impedance, task.cameras
        self.observation = (*task.observation, Term("stages", names, "1", "", 0.0, 1.0))
        for optional in ("distance", "way_left"):  # see robostack.evaluation and robostack.simulated_operator
            if (measure := getattr(task, optional, None)) is not None:
                setattr(self, optional, measure)

    def start(self, rng: np.random.Generator, count: int) -> Start:
        """As the task's."""
        return self.inner.start(rng, count)

    def begin(self, rng: np.random.Generator, state: RobotState) -> Episode:
        """As the task's; no stage is reached, not even one that the start happens to be in."""
        episode = self.inner.begin(rng, state)
        xp = namespace(state.joint_position)
        shape = (*state.joint_position.shape[:-1], len(self.stages))
        return {**episode, REACHED: xp.zeros(shape, dtype=state.joint_position.dtype)}

    def observe(self, state: RobotState, episode: Episode) -> Array:
        """The observation, and which stages have been reached, (..., num_observations)."""
        xp = namespace(state.joint_position)
        return xp.concat([self.inner.observe(state, episode), episode[REACHED]], axis=-1)

    def reference(self, action: Array, state: RobotState, episode: Episode) -> JointReference | BaseReference:
        """As the task's."""
        return self.inner.reference(action, state, episode)

    def judge(self, action: Array, state: RobotState, episode: Episode) -> tuple[Outcome, Episode]:
        """As the task's, with the reward of every stage that this step is the first to reach."""
        outcome, after = self.inner.judge(action, state, episode)
        after = {**episode, **after}
        xp = namespace(state.joint_position)
        before = episode[REACHED]
        reached: list[Array] = []
        for number, stage in enumerate(self.stages):
            now = xp.astype(stage.reached(state, after), before.dtype)
            if self.ordered and reached:
                now = now * reached[-1]
            reached.append(xp.maximum(before[..., number], now))
        after[REACHED] = xp.stack(reached, axis=-1)
        fresh = after[REACHED] - before
        paid = sum(stage.reward * fresh[..., number] for number, stage in enumerate(self.stages))
        success = xp.all(after[REACHED] > 0.5, axis=-1) if self.success == "all" else outcome.success
        return Outcome(reward=outcome.reward + paid, success=success, terminated=outcome.terminated), after

    def scripted(self) -> Any:
        """The task's, which does not see the stages."""
        policy = self.inner.scripted()
        return None if policy is None else _Unseeing(policy, len(self.stages))


class _Unseeing:
    """A policy of the task without its stages."""

    def __init__(self, policy: Any, hidden: int) -> None:
        self.policy, self.hidden = policy, hidden

    def reset(self) -> None:
        """As the policy's."""
        self.policy.reset()

    def act(self, observation: Array) -> Array:
        """The policy's action for all but the last elements of the observation."""
        return self.policy.act(observation[..., : -self.hidden])
