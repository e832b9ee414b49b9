"""LSDR: a Gaussian over the dynamics that follows the policy's returns, drawn towards the whole range.

Mozifian, Gamboa Higuera, Meger and Dudek, Learning Domain Randomization Distributions for Training Robust Locomotion
Policies, IROS 2020, arXiv 1906.00410. The objective is E_p[return] - weight KL(uniform || p); its gradient by the
distribution is estimated from the returns of episodes drawn from p (score function), that of the divergence computed.

Two choices are this project's own: p is cut off at the bounds, because dynamics beyond them may be impossible, and the
step is a natural gradient of limited divergence, because returns of different tasks differ by orders of magnitude.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import expm

from hardware.arrays import FloatArray
from hardware.errors import CheckpointError, ConfigError
from sim.dynamics import DynamicsParameter
from sim.randomization.distribution import (
    DistributionEntry,
    Samples,
    described,
    require_episodes,
    require_parameters,
    require_state,
)
from sim.randomization.truncated_gaussian import TruncatedGaussian
from sim.randomization.unit_cube import UnitCube

_DEVIATIONS = (0.005, 2.0)
"""Smallest and largest deviation along any axis, as a share of the range: beyond, nothing is left or changes."""


@dataclass(frozen=True)
class LsdrConfig:
    """How the Gaussian learns."""

    weight: float = 1.0
    """Weight of the divergence from the uniform, in units of return; published runs swept 0.0001 to 10."""
    learning_rate: float = 1.0
    """Factor on the natural gradient."""
    step_divergence: float = 0.1
    """Largest Kullback-Leibler divergence of one update, bounds disregarded [nat]."""
    start_deviation: float = 0.1
    """Standard deviation at the start, as a share of each parameter's range; the mean is nominal."""

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        checks = {
            "weight must not be negative": 0.0 <= self.weight < np.inf,
            "learning_rate must be positive": 0.0 < self.learning_rate < np.inf,
            "step_divergence must be positive": 0.0 < self.step_divergence < np.inf,
            "start_deviation must lie in [0.005, 2]": _DEVIATIONS[0] <= self.start_deviation <= _DEVIATIONS[1],
        }
        for message, holds in checks.items():
            if not holds:
                raise ConfigError(f"LSDR: {message}")


class LsdrDistribution:
    """A Gaussian with full covariance, cut off at the bounds; see `sim.randomization.distribution`.

    A parameter whose bounds are equal is a constant and counts neither in the density nor in the entropy.

    Args:
        parameters: what is drawn.
        config: how it learns.

    Raises:
        ConfigError: a parameter is not sound, or none has room between its bounds.
    """

    def __init__(self, parameters: Sequence[DynamicsParameter], config: LsdrConfig | None = None) -> None:
        self.parameters = require_parameters(parameters)
        self.config = config or LsdrConfig()
        self._cube = UnitCube(self.parameters, "LSDR")
        mean = self._cube.nominal
        self._density = self._gaussian(mean, self.config.start_deviation**2 * np.eye(len(mean)))

    @property
    def mean(self) -> dict[str, float]:
        """Mean before cutting of every parameter that is not a constant, in its unit."""
        return dict(zip(self._cube.names, self._cube.values(self._density.mean).tolist(), strict=True))

    def sample(self, rng: np.random.Generator, count: int) -> Samples:
        """Draw `count` sets of parameters, each (count,)."""
        return self._cube.samples(self._density.sample(rng, count))

    def log_prob(self, values: Mapping[str, FloatArray]) -> FloatArray:
        """Logarithm of the joint density, (count,); minus infinity outside the bounds."""
        return self._cube.log_prob(values, self._density.log_prob)

    def entropy(self) -> float:
        """Entropy [nat]; at most the sum of the logarithms of the widths, that of the uniform."""
        return self._density.entropy() + self._cube.log_volume

    def update(
        self, values: Mapping[str, FloatArray], returns: FloatArray, success: NDArray[np.bool_] | None = None
    ) -> Mapping[str, float]:
        """One natural gradient step from episodes drawn from the current distribution.

        Equal returns (all successes, all failures) say nothing; the step then only widens.

        Returns:
            mean_return: of the batch; entropy [nat]; divergence: of the step, bounds disregarded [nat].

        Raises:
            ConfigError: no episode, or lengths that differ.
            UnknownNameError: a parameter is missing or unknown.
            NonFiniteError: a value or return is not finite.
            LimitViolationError: a value lies outside its bounds.
        """
        episodes = require_episodes(self.parameters, values, returns, success)
        unit = self._cube.points(episodes.matrix)
        density, weight = self._density, self.config.weight
        # Scores are moments of y, (unit - mean) = L y. Subtracting the mean return removes their expectation.
        y = np.linalg.solve(density.factor, (unit - density.mean).T).T
        advantage = (episodes.returns - episodes.returns.mean()) / len(y)
        uniform_first, uniform_second = self._uniform_moments()
        first, second = density.moments
        slope = advantage @ y + weight * (uniform_first - first)
        curvature = (y.T * advantage) @ y + weight * (uniform_second - second)
        # Natural gradient of (mean, covariance): mean + t L slope, L exp(t curvature) L^T.
        size = float(slope @ slope + 0.5 * np.sum(curvature**2))
        length = self.config.learning_rate
        if size > 0.0:
            length = min(length, np.sqrt(2.0 * self.config.step_divergence / size))
        mean = np.clip(density.mean + length * density.factor @ slope, 0.0, 1.0)
        self._density = self._gaussian(mean, density.factor @ expm(length * curvature) @ density.factor.T)
        return {
            "mean_return": float(episodes.returns.mean()),
            "entropy": self.entropy(),
            "divergence": 0.5 * length**2 * size,
        }

    def state(self) -> dict[str, Any]:
        """What was learned, ready for JSON."""
        return {
            **described("lsdr", self.parameters),
            "mean": self._density.mean.tolist(),
            "factor": self._density.factor.tolist(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from a `state`.

        Raises:
            CheckpointError: it was saved from another distribution or other parameters, or is damaged.
        """
        require_state(state, "lsdr", self.parameters)
        try:
            mean, factor = np.array(state["mean"], dtype=np.float64), np.array(state["factor"], dtype=np.float64)
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"the saved LSDR distribution is damaged: {error!r}") from error
        if mean.shape != self._density.mean.shape or factor.shape != self._density.factor.shape:
            raise CheckpointError("the saved LSDR distribution is damaged: mean or covariance have the wrong size")
        self._density = TruncatedGaussian(mean, factor @ factor.T, np.zeros(len(mean)), np.ones(len(mean)))
        self._density.factor = factor  # rather than one that is equal up to rounding

    def _uniform_moments(self) -> tuple[FloatArray, FloatArray]:
        """Expectations of y and y y^T if the parameters were uniform on the bounds."""
        count = len(self._density.mean)
        inverse = np.asarray(np.linalg.inv(self._density.factor), dtype=np.float64)
        first = inverse @ (np.full(count, 0.5) - self._density.mean)
        return first, inverse @ inverse.T / 12.0 + np.outer(first, first)

    def _gaussian(self, mean: FloatArray, covariance: FloatArray) -> TruncatedGaussian:
        variances, axes = np.linalg.eigh(0.5 * (covariance + covariance.T))
        variances = np.clip(variances, _DEVIATIONS[0] ** 2, _DEVIATIONS[1] ** 2)
        matrix = (axes * variances) @ axes.T
        return TruncatedGaussian(mean, 0.5 * (matrix + matrix.T), np.zeros(len(mean)), np.ones(len(mean)))


DISTRIBUTION = DistributionEntry(
    distribution="sim.randomization.lsdr:LsdrDistribution",
    config="sim.randomization.lsdr:LsdrConfig",
    summary="LSDR: a Gaussian that follows the returns",
)
