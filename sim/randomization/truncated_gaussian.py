"""A Gaussian cut off at bounds: exact draws, density, entropy and moments, with any covariance.

The probability inside the bounds has no closed form. It is integrated in the coordinates y of mean + L y with L L^T the
covariance, one after the other, at fixed low-discrepancy points (Genz 1992, Numerical Computation of Multivariate
Normal Probabilities), so that results are the same in every run.
"""

from __future__ import annotations

import functools
import math

import numpy as np
from scipy.special import ndtr, ndtri
from scipy.stats import qmc

from hardware.arrays import FloatArray
from hardware.errors import ConfigError

_POINTS_LOG2 = 12
_ROUNDS = 2000


class TruncatedGaussian:
    """A Gaussian on a box.

    Args:
        mean: mean before cutting, (d,).
        covariance: covariance before cutting, (d, d).
        low: lower bounds, (d,).
        high: upper bounds, (d,).

    Raises:
        ConfigError: `covariance` is not symmetric and positive definite, or a number is not finite.
    """

    def __init__(self, mean: FloatArray, covariance: FloatArray, low: FloatArray, high: FloatArray) -> None:
        self.mean, self.low, self.high = mean, low, high
        if not (np.isfinite(mean).all() and np.isfinite(covariance).all()):
            raise ConfigError("mean and covariance of a Gaussian over dynamics must be finite")
        if not np.allclose(covariance, covariance.T, rtol=1e-9, atol=0.0):
            raise ConfigError("the covariance of a Gaussian over dynamics must be symmetric")
        try:
            self.factor = np.asarray(np.linalg.cholesky(covariance), dtype=np.float64)
        except np.linalg.LinAlgError as error:
            raise ConfigError("the covariance of a Gaussian over dynamics must be positive definite") from error
        scale = np.diag(self.factor)
        # No coordinate can have more probability between its bounds than with the Gaussian in the middle of them.
        self._log_largest = float(np.log(2.0 * ndtr(0.5 * (high - low) / scale) - 1.0).sum())
        self._log_scale = float(np.log(scale).sum()) + 0.5 * len(mean) * math.log(2.0 * math.pi)

    def sample(self, rng: np.random.Generator, count: int) -> FloatArray:
        """Draw `count` points by rejection, (count, d).

        Raises:
            ConfigError: the Gaussian has next to no probability inside the bounds.
        """
        found = np.empty((0, len(self.mean)))
        for _ in range(_ROUNDS):
            if len(found) >= count:
                return found[:count]
            y, log_weight = self._inside(rng.random((max(2 * count, 64), len(self.mean))))
            kept = np.log(rng.random(len(y))) < log_weight - self._log_largest
            found = np.concatenate([found, np.clip(self.mean + y[kept] @ self.factor.T, self.low, self.high)])
        raise ConfigError("a Gaussian over dynamics has next to no probability inside the bounds: widen them")

    def log_prob(self, points: FloatArray) -> FloatArray:
        """Logarithm of the density at `points` (..., d), (...); minus infinity outside the bounds."""
        inside = ((points >= self.low) & (points <= self.high)).all(axis=-1)
        y = np.linalg.solve(self.factor, (points - self.mean)[..., None])[..., 0]
        density = -0.5 * (y**2).sum(axis=-1) - self._log_scale - self.log_probability
        return np.where(inside, density, -np.inf)

    def entropy(self) -> float:
        """Differential entropy [nat]."""
        return self.log_probability + self._log_scale + 0.5 * float(np.trace(self.moments[1]))

    @functools.cached_property
    def log_probability(self) -> float:
        """Logarithm of the probability inside the bounds before cutting."""
        _, log_weight = self._points
        return float(np.log(np.mean(np.exp(log_weight - log_weight.max()))) + log_weight.max())

    @functools.cached_property
    def moments(self) -> tuple[FloatArray, FloatArray]:
        """Expectations of y (d,) and of y y^T (d, d) after cutting; 0 and the identity if the bounds are far."""
        y, log_weight = self._points
        weight = np.exp(log_weight - log_weight.max())
        weight /= weight.sum()
        return weight @ y, (y.T * weight) @ y

    @functools.cached_property
    def _points(self) -> tuple[FloatArray, FloatArray]:
        return self._inside(qmc.Sobol(len(self.mean), rng=np.random.default_rng(0)).random_base2(_POINTS_LOG2))

    def _inside(self, unit: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Points y (count, d) inside the bounds from points on the unit cube, and logarithms of their weights."""
        y, log_weight = np.zeros_like(unit), np.zeros(len(unit))
        for index in range(unit.shape[1]):
            centre = self.mean[index] + y[:, :index] @ self.factor[index, :index]
            lower = ndtr((self.low[index] - centre) / self.factor[index, index])
            upper = ndtr((self.high[index] - centre) / self.factor[index, index])
            share = np.clip(lower + unit[:, index] * (upper - lower), 1e-300, 1.0 - 1e-16)
            y[:, index] = ndtri(share)
            log_weight += np.log(np.maximum(upper - lower, 1e-300))
        return y, log_weight
