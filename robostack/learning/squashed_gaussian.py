"""a = tanh(u), u = mu + e^{l/2} eps: drawing, log-probability and the gradient of AVG's actor loss through the draw."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from robostack.learning.networks import Vector

Variance = Literal["variance", "std"]

LOG_MIN, LOG_MAX = -20.0, 2.0
"""Bounds of the head l."""
_HALF_LOG_TWO_PI = 0.5 * math.log(2.0 * math.pi)
_LOG_TWO = math.log(2.0)


class SquashedGaussian:
    """One draw from the policy, kept for the update.

    Args:
        num_actions: dimension of the action.
        convention: whether l is the logarithm of the variance (as published) or of the standard deviation.
    """

    def __init__(self, num_actions: int, convention: Variance = "variance") -> None:
        self.factor = 0.5 if convention == "variance" else 1.0
        """Standard deviation = exp(factor l)."""
        self.noise: Vector = np.zeros(num_actions)
        """eps, standard normal, (num_actions,); whoever draws fills it in first."""
        self.deviation: Vector = np.ones(num_actions)
        self.action: Vector = np.zeros(num_actions)
        """tanh(u), in (-1, 1), (num_actions,)."""
        self.log_probability = 0.0
        self._free: NDArray[np.bool_] = np.ones(num_actions, dtype=bool)

    def draw(self, heads: Vector) -> None:
        """Draw from the heads (mu, l), (2 num_actions,), with the eps in `noise`: sets `action` and its probability."""
        size, noise = self.noise.size, self.noise
        mu, log = heads[:size].astype(np.float64), heads[size:].astype(np.float64)
        clamped = np.minimum(np.maximum(log, LOG_MIN), LOG_MAX)
        self._free = clamped == log
        np.exp(self.factor * clamped, out=self.deviation)
        u = mu + self.deviation * noise
        np.tanh(u, out=self.action)
        # log(1 - tanh(u)^2) = 2 (log 2 - u - softplus(-2u)), which does not underflow.
        correction = 2.0 * (_LOG_TWO - u - np.logaddexp(0.0, -2.0 * u))
        gaussian = -0.5 * noise * noise - self.factor * clamped - _HALF_LOG_TWO_PI
        self.log_probability = float(np.sum(gaussian - correction))

    def loss_gradient(self, slope: Vector, alpha: float) -> Vector:
        """Gradient of alpha log pi(a|s) - Q(s, a) by the heads, (2 num_actions,).

        Args:
            slope: dQ/da at the drawn action, (num_actions,).
            alpha: entropy coefficient.
        """
        by_u = 2.0 * alpha * self.action - (1.0 - self.action**2) * slope
        by_log = self.factor * (by_u * self.noise * self.deviation - alpha)
        return np.concatenate([by_u, np.where(self._free, by_log, 0.0)])
