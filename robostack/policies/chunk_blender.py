"""Which action holds now, when actions come in chunks that were computed from older observations."""

from __future__ import annotations

import math

import numpy as np

from hardware.arrays import FloatArray
from hardware.errors import ConfigError


class ChunkBlender:
    """A plan of future actions on one clock; a new chunk takes over where its own past ends.

    A chunk computed from an observation at time t holds action k for the time t + k period. When it arrives at t + d it
    is therefore entered at step round(d / period). Where the old plan still has actions, the new ones are faded in
    linearly over `blend_steps` steps: weights 1/(n + 1), 2/(n + 1) ... n/(n + 1), then 1. Every action is a convex
    combination of actions of the chunks, so that it keeps whatever bounds they keep.

    Elements of an action that are increments, displacements or velocities, mean a path only by their sum. What the new
    chunk asked for before the step at which it is entered, and the old plan did not do, is made up for from that step
    on, within the bounds; without it, every correction that falls into the delay would be lost.

    Args:
        period_s: time between two actions [s].
        blend_steps: n above; 0 switches over at once.
        increments: lowest and highest value of each element, (num_actions,); nan where it is no increment. None: no
            element is one.

    Raises:
        ConfigError: the period is not positive, or `blend_steps` is negative.
    """

    def __init__(
        self, period_s: float, blend_steps: int, increments: tuple[FloatArray, FloatArray] | None = None
    ) -> None:
        if not period_s > 0.0 or blend_steps < 0:
            raise ConfigError(f"period_s = {period_s} must be positive and blend_steps = {blend_steps} not negative")
        self.period_s, self.blend_steps, self._increments = period_s, blend_steps, increments
        self._plan: FloatArray | None = None
        self._begin_s = 0.0

    def reset(self) -> None:
        """Forget the plan."""
        self._plan = None

    @property
    def empty(self) -> bool:
        """Whether there is no plan yet."""
        return self._plan is None

    def offer(self, chunk: FloatArray, observed_s: float, now_s: float) -> bool:
        """Take over a chunk.

        Args:
            chunk: (..., horizon, num_actions).
            observed_s: time of the observation that it was computed from [s].
            now_s: time now [s].

        Returns:
            False if the chunk is refused because all of it lies in the past; the old plan then stays.
        """
        entered = max(self._index(now_s, observed_s), 0)
        if entered >= chunk.shape[-2]:
            return False
        fresh = np.array(chunk, dtype=np.float64)
        old = self._plan
        if old is not None:
            self._make_up(fresh, observed_s, entered)
            for place in range(self.blend_steps):
                step = entered + place
                old_step = self._index(observed_s + step * self.period_s, self._begin_s)
                if step >= fresh.shape[-2] or not 0 <= old_step < old.shape[-2]:
                    break
                weight = (place + 1) / (self.blend_steps + 1)
                fresh[..., step, :] = (1.0 - weight) * old[..., old_step, :] + weight * fresh[..., step, :]
        self._plan, self._begin_s = fresh, observed_s
        return True

    def _make_up(self, fresh: FloatArray, observed_s: float, entered: int) -> None:
        """Add what `fresh` asked for before step `entered`, less what was done, to its increments from there on."""
        if self._increments is None or entered == 0:
            return
        low, high = self._increments
        chosen = ~np.isnan(low)
        done = sum(self.at(observed_s + step * self.period_s) for step in range(entered))
        missing = (fresh[..., :entered, :].sum(axis=-2) - done)[..., chosen]
        for step in range(entered, fresh.shape[-2]):
            wanted = fresh[..., step, chosen] + missing
            bounded = np.clip(wanted, low[chosen], high[chosen])
            fresh[..., step, chosen], missing = bounded, wanted - bounded

    def at(self, now_s: float) -> FloatArray:
        """The action for the control period that begins at `now_s`; past the end of the plan, its last one.

        Raises:
            ConfigError: there is no plan.
        """
        if self._plan is None:
            raise ConfigError("no chunk has been offered; call offer() before at()")
        step = min(max(self._index(now_s, self._begin_s), 0), self._plan.shape[-2] - 1)
        action: FloatArray = self._plan[..., step, :]
        return action

    def remaining(self, now_s: float) -> int:
        """Number of actions that the plan still has, the one for `now_s` included; negative: how many are missing."""
        return 0 if self._plan is None else self._plan.shape[-2] - self._index(now_s, self._begin_s)

    def _index(self, time_s: float, begin_s: float) -> int:
        """The nearest step, so that a control loop that is a little early or late neither repeats nor skips one."""
        return math.floor((time_s - begin_s) / self.period_s + 0.5)
