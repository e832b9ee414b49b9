"""A squashed Gaussian policy run by numpy with its noise: what an actor explores with, far from the learner."""

from __future__ import annotations

import numpy as np

from hardware.arrays import Array, FloatArray
from hardware.errors import CheckpointError
from robostack.checkpoint import SavedPolicy
from robostack.policies.mlp import MlpPolicy

LOG_MIN, LOG_MAX = -20.0, 2.0
"""Bounds of the head l, as `robostack.learning.squashed_gaussian`."""


class ExploringPolicy:
    """a = clip(center + half tanh(mu + exp(factor l) eps), low, high); without noise it is `MlpPolicy`.

    Args:
        saved: arrays and configuration of a multi-layer perceptron, with `spread.kernel`, `spread.bias` and
            `spread_factor` of its second head l.

    Raises:
        CheckpointError: an array is missing, has the wrong shape, or is not finite.
    """

    def __init__(self, saved: SavedPolicy) -> None:
        self.mean = MlpPolicy(saved)
        try:
            self.kernel, self.bias = saved.arrays["spread.kernel"], saved.arrays["spread.bias"]
            self.factor = float(saved.config["network"]["spread_factor"])
        except KeyError as error:
            raise CheckpointError(f"the policy lacks {error}: it cannot explore. Train again.") from error
        weight, bias = self.mean.layers[-1]
        if self.kernel.shape != weight.shape or self.bias.shape != bias.shape:
            raise CheckpointError(f"the second head is {self.kernel.shape}, the first {weight.shape}")
        for name, array in saved.arrays.items():
            if not np.all(np.isfinite(array)):
                raise CheckpointError(f"the policy's {name} is not finite")
        self._levels = None if self.mean.gripper is None else self.mean.gripper.levels

    def act(self, observation: Array) -> FloatArray:
        """The action without noise, (..., num_actions)."""
        return self.mean.act(observation)

    def explore(self, observation: Array, rng: np.random.Generator) -> FloatArray:
        """An action drawn from the policy, (..., num_actions).

        Raises:
            NonFiniteError: the observation or the result is not finite.
        """
        noise = rng.standard_normal((*np.shape(observation)[:-1], len(self.bias)), dtype=np.float32)
        return self.mean.act(observation, lambda hidden: self._deviation(hidden) * noise)

    def uniform(self, rng: np.random.Generator) -> FloatArray:
        """A uniformly random action within the bounds, (num_actions,); a gripper takes one of its levels."""
        mean = self.mean
        drawn: FloatArray = rng.uniform(mean.low, mean.high)
        if mean.gripper is not None and self._levels is not None:
            column = mean.gripper.column
            drawn[column] = mean.center[column] + mean.half[column] * rng.choice(self._levels)
        return drawn

    def _deviation(self, hidden: FloatArray) -> FloatArray:
        spread: FloatArray = np.exp(self.factor * np.clip(hidden @ self.kernel.T + self.bias, LOG_MIN, LOG_MAX))
        return spread
