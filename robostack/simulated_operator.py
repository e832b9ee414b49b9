"""An operator for simulations: waits until the policy makes no progress, then shows a few steps and lets go again.

The advice that persons are given (Luo et al., arXiv 2410.21845, section IV): corrections are short and specific,
frequent at the beginning and rare at the end, and do not carry the task to its end, because a policy whose successes
are all somebody else's overestimates the states before.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, cast, runtime_checkable

import numpy as np

from hardware.arrays import Array, FloatArray
from hardware.errors import ConfigError
from hardware.records import RobotState
from robostack.env import bounds
from robostack.evaluation import HasDistance
from robostack.policies.policy import Policy
from robostack.tasks.task import Episode, Task


@runtime_checkable
class HasWay(Protocol):
    """A task that measures all that is left to do, where its distance stands still for a part of that."""

    def way_left(self, state: RobotState, episode: Episode) -> Array:
        """What is left of the way, (...,) [m]."""
        ...


@dataclass(frozen=True)
class SimulatedOperatorConfig:
    """When the operator takes over, and for how long."""

    patience_steps: int = 12
    """Steps without progress after which the operator takes over."""
    progress_m: float = 0.004
    """What is left of the way must shrink by this much to count as progress [m]."""
    length_steps: tuple[int, int] = (4, 10)
    """Shortest and longest correction."""
    pause_steps: int = 12
    """Steps for which the policy is left alone after a correction."""
    taper_steps: float = 4_000.0
    """Chance of reacting to a standstill: exp(-steps so far / this); overlooked, it is looked at again after
    `pause_steps`."""
    tremor: float = 0.1
    """Standard deviation of the operator's unevenness, as a fraction of half an action's range."""

    def __post_init__(self) -> None:
        """Check ranges.

        Raises:
            ConfigError: a value is out of range.
        """
        shortest, longest = self.length_steps
        if not 1 <= shortest <= longest or self.patience_steps < 1 or self.pause_steps < 0:
            raise ConfigError(
                "the operator: 1 <= shortest <= longest length_steps, patience_steps >= 1, pause_steps >= 0"
            )
        if not self.taper_steps > 0.0 or min(self.tremor, self.progress_m) < 0.0:
            raise ConfigError("the operator: taper_steps must be positive, tremor and progress_m not negative")


class SimulatedOperator:
    """A `Corrector` that acts as the task's hand-written policy does, deterministic for a seed.

    Args:
        task: has a scripted policy, and `way_left` or `distance`.
        config: when and how long.
        seed: of lengths, lapses and tremor.

    Raises:
        ConfigError: the task lacks one of these.
    """

    def __init__(self, task: Task, config: SimulatedOperatorConfig | None = None, seed: int = 0) -> None:
        self.config = config if config is not None else SimulatedOperatorConfig()
        script = task.scripted()
        if script is None:
            raise ConfigError(f"task '{task.name}' has no scripted policy that could correct another")
        self.script: Policy = script
        self._way = _way_of(task)
        self._rng = np.random.default_rng(seed)
        self._low, self._high = bounds(task.action)
        # Elements without a unit are switches: a tremor would flip them.
        self._moving = np.array([term.unit != "1" for term in task.action for _ in term.elements])
        self.steps, self.corrected, self.corrections = 0, 0, 0
        """Steps seen, steps corrected, corrections begun."""
        self.reset()

    def reset(self) -> None:
        """An episode begins: nothing is held against the policy yet."""
        self.script.reset()
        self._best_m, self._stalled, self._left, self._pause = float("inf"), 0, 0, 0

    def correct(self, observation: Array, action: Array, state: RobotState, episode: Episode) -> Array | None:
        """As `Corrector.correct`."""
        self.steps += 1
        self._watch(float(np.asarray(self._way(state, episode)).item()))
        if self._left == 0:
            return None
        self._left -= 1
        self.corrected += 1
        if self._left == 0:
            self._pause, self._stalled = self.config.pause_steps, 0
        return self._shown(np.asarray(observation, dtype=np.float64))

    @property
    def share(self) -> float:
        """Share of all steps so far that were corrected."""
        return self.corrected / max(self.steps, 1)

    def _watch(self, way_m: float) -> None:
        """Notice progress; take over where there is none."""
        if way_m <= self._best_m - self.config.progress_m:
            self._best_m, self._stalled = way_m, 0
        else:
            self._stalled += 1
        if self._left > 0:
            return
        if self._pause > 0:
            self._pause -= 1
            self._stalled = 0
        elif self._stalled >= self.config.patience_steps:
            if self._rng.random() < np.exp(-self.steps / self.config.taper_steps):
                self._left = int(self._rng.integers(*self.config.length_steps, endpoint=True))
                self.corrections += 1
                self._best_m = way_m  # what counts is the way from here
            else:
                self._pause, self._stalled = self.config.pause_steps, 0

    def _shown(self, observation: FloatArray) -> FloatArray:
        tremor = self.config.tremor * 0.5 * (self._high - self._low) * self._rng.standard_normal(len(self._low))
        shown = np.asarray(self.script.act(observation), dtype=np.float64) + tremor * self._moving
        return np.clip(shown, self._low, self._high)


def _way_of(task: Task) -> Callable[[RobotState, Episode], Array]:
    if isinstance(task, HasWay):
        return cast(HasWay, task).way_left
    if isinstance(task, HasDistance):
        return cast(HasDistance, task).distance
    raise ConfigError(f"task '{task.name}' measures no distance, by which an operator could see that it stands still")
