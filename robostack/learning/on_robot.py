"""Learning on a robot: a learner as a policy that learns while it acts, within a budget of time.

Each control cycle is: read, learn from what the last action led to, act, send. The update stands before the action
because an incremental learner differentiates through the very draw that was executed, which the next draw overwrites;
the budget bounds how long the action waits for it. An update that would take longer than that is skipped and counted:
its transition is then not learned from, and the next one is a sample of its own. What the learner is told is the
action that it intended; limits and safety filter belong to the dynamics that it learns about, as in the paper.

No deep-learning framework here; a learner may need one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from controllers.histogram import DurationHistogram
from hardware.arrays import Array
from hardware.clock import Clock, SystemClock
from hardware.errors import ConfigError
from robostack.learning.learner import Learner, Transition

QUANTILE = 0.99
GAIN = 0.5


class RunningQuantile:
    """A high quantile of durations that come one at a time: steps up where one exceeds it, little steps down otherwise.

    The steps are those of stochastic approximation (Robbins and Monro 1951) for a quantile, in the logarithm: up by
    gain * quantile, down by gain * (1 - quantile), in balance where the quantile is right.

    Args:
        quantile: share of durations that lie below.
        gain: size of the steps.
    """

    def __init__(self, quantile: float = QUANTILE, gain: float = GAIN) -> None:
        self.value_s = 0.0
        """The estimate [s]; 0 before the first duration."""
        self._up, self._down = math.exp(gain * quantile), math.exp(-gain * (1.0 - quantile))

    def add(self, duration_s: float) -> None:
        """Take in one duration [s] > 0."""
        if self.value_s == 0.0:
            self.value_s = duration_s
        elif duration_s > self.value_s:
            self.value_s *= self._up
        else:
            self.relax()

    def relax(self) -> None:
        """One step down without a duration: an estimate that forbids to measure must not stay for ever."""
        self.value_s *= self._down


class OnRobotLearner:
    """A learner as policy of a `robostack.runner.EpisodeRunner`.

    Args:
        learner: what acts and learns.
        update_budget: share of the time left before the next cycle that an update may take, (0, 1].
        clock: measures updates.

    Raises:
        ConfigError: the budget is out of range.
    """

    def __init__(self, learner: Learner, update_budget: float = 0.25, clock: Clock | None = None) -> None:
        if not 0.0 < update_budget <= 1.0:
            raise ConfigError(f"update_budget = {update_budget} must lie in (0, 1]")
        self.learner, self.update_budget = learner, update_budget
        self.clock: Clock = clock if clock is not None else SystemClock()
        self.estimate = RunningQuantile()
        """Time that an update will hardly exceed."""
        self.update_time = DurationHistogram()
        self.cycles = 0
        """Transitions that were offered."""
        self.learned = 0
        """Transitions learned from."""
        self.skipped = 0
        """Transitions not learned from, because the cycle might have been missed."""
        self.corrected = 0
        """Transitions in which somebody took over, which are not learned from."""
        self.metrics: Mapping[str, float] = {}
        """What the last update reported."""

    def reset(self) -> None:
        """The learner has no memory of an episode besides what its transitions tell it."""

    def act(self, observation: Array) -> Array:
        """The action to explore with.

        Raises:
            NonFiniteError: the observation is not finite.
        """
        return self.learner.act(observation, explore=True)

    def experience(self, transition: Transition, deadline_s: float) -> None:
        """Learn from what the last action led to, if there is time; see `robostack.runner.Experiences`."""
        begun_s = self.clock.now()
        self.cycles += 1
        if transition.source == "intervention":  # not its own draw: an incremental learner cannot differentiate it
            self.corrected += 1
            return
        if self.estimate.value_s > self.update_budget * (deadline_s - begun_s):
            self.skipped += 1
            self.estimate.relax()
            return
        self.learner.observe(transition)
        self.metrics = self.learner.update()
        took_s = self.clock.now() - begun_s
        self.learned += 1
        self.update_time.add(took_s)
        self.estimate.add(took_s)

    def figures(self) -> dict[str, Any]:
        """Flat figures of this session, unit in the key."""
        times = self.update_time
        return {
            "cycles": self.cycles,
            "learned": self.learned,
            "skipped": self.skipped,
            "corrected": self.corrected,
            "rejected": int(self.metrics.get("rejected", 0.0)),
            "update_p50_ms": 1e3 * times.percentile(0.5),
            "update_p99_ms": 1e3 * times.percentile(0.99),
            "update_max_ms": 1e3 * times.max_s,
        }
