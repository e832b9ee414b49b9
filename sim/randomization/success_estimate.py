"""How often episodes would succeed under a distribution from which they were not drawn: importance sampling."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from hardware.arrays import FloatArray
from sim.randomization import beta

Derivatives = tuple[float, FloatArray, FloatArray]
"""Value, gradient (n,), Hessian (n, n) by the shapes, flattened."""


@dataclass(frozen=True)
class Batch:
    """Episodes between two updates."""

    z: FloatArray
    """Parameters on the unit interval, (count, d), strictly inside."""
    success: NDArray[np.bool_]
    """Whether each episode succeeded, (count,)."""
    shapes: FloatArray
    """Beta shapes they were drawn from, (d, 2)."""

    @property
    def statistics(self) -> FloatArray:
        """Logarithms ln z and ln(1 - z) in the order of the flattened shapes, (count, 2 d)."""
        return np.stack([np.log(self.z), np.log1p(-self.z)], axis=-1).reshape(len(self.z), -1)


class PlainEstimate:
    """Mean of weight times success over one batch, weight = new density / density drawn from. May exceed 1.

    This is the estimate of the published code. It is unbiased at a fixed distribution, but optimistic at the one that
    an optimiser picks by it.
    """

    def __init__(self, batch: Batch) -> None:
        self._statistics = batch.statistics
        self._success = batch.success
        self._start = batch.shapes

    def value(self, shapes: FloatArray) -> float:
        """The estimate at `shapes` (d, 2)."""
        return float(self._weights(shapes)[self._success].sum() / len(self._success))

    def derivatives(self, shapes: FloatArray) -> Derivatives:
        """The estimate with gradient and Hessian."""
        weights = self._weights(shapes) * self._success / len(self._success)
        scores = self._statistics - beta.mean_statistics(shapes).ravel()
        hessian = (scores.T * weights) @ scores - weights.sum() * block_diagonal(beta.fisher(shapes))
        return float(weights.sum()), weights @ scores, hessian

    def standard_error(self, shapes: FloatArray) -> float:
        """Standard error of the estimate."""
        return float((self._weights(shapes) * self._success).std() / np.sqrt(len(self._success)))

    def effective_samples(self, shapes: FloatArray) -> float:
        """Kish's effective sample size (sum w)^2 / sum w^2."""
        weights = self._weights(shapes)
        return float(weights.sum() ** 2 / (weights**2).sum())

    def _weights(self, shapes: FloatArray) -> FloatArray:
        ratio = self._statistics @ (shapes - self._start).ravel()
        return np.exp(ratio - beta.log_partition(shapes) + beta.log_partition(self._start))


class MixtureEstimate:
    """Self-normalised estimate over several batches, minus a number of standard errors.

    Each episode is weighted by new density / density of the mixture that all batches together were drawn from (Veach
    and Guibas 1995, balance heuristic), which bounds the weights of steps back. The standard error is that of a ratio
    estimate: se^2 = sum w^2 (s - G)^2 / (sum w)^2 (Owen, Monte Carlo theory, methods and examples, 9.2).

    Args:
        batches: the batches; the last one was drawn from the current distribution.
        margin: standard errors subtracted.
    """

    def __init__(self, batches: Sequence[Batch], margin: float) -> None:
        self._margin = margin
        self._statistics = np.concatenate([batch.statistics for batch in batches])
        self._success = np.concatenate([batch.success for batch in batches])
        self._mixed = bool(self._success.any() and not self._success.all())
        shares = np.log([len(batch.z) / len(self._success) for batch in batches])
        densities = [
            self._statistics @ (batch.shapes - 1.0).ravel() - beta.log_partition(batch.shapes) for batch in batches
        ]
        self._log_mixture = logsumexp(np.stack(densities, axis=-1) + shares, axis=-1)

    def value(self, shapes: FloatArray) -> float:
        """The estimate at `shapes` (d, 2), standard errors subtracted. All successes give 1, all failures 0."""
        if not self._mixed:
            return float(self._success[0])
        mean, error = _ratio(self._sums(self._weights(shapes)))
        return mean - self._margin * error

    def derivatives(self, shapes: FloatArray) -> Derivatives:
        """As `value`, with gradient and Hessian."""
        size = shapes.size
        if not self._mixed:
            return float(self._success[0]), np.zeros(size), np.zeros((size, size))
        weights, x = self._weights(shapes), self._statistics
        sums = self._sums(weights)
        # Per sum (weights of successes, of failures; their squares): how each episode shares in it, (4, count).
        shares = np.stack([weights, weights, weights**2, weights**2])
        shares *= np.stack([self._success, ~self._success, self._success, ~self._success])
        shares /= np.exp(sums)[:, None]
        power = np.array([1.0, 1.0, 2.0, 2.0])
        means = shares @ x
        value, slope, curvature = _lower_bound(sums, self._margin)
        jacobian = power[:, None] * means
        spread = slope * power**2
        hessian = (x.T * (spread @ shares)) @ x - (means.T * spread) @ means + jacobian.T @ curvature @ jacobian
        return value, slope @ jacobian, hessian

    def standard_error(self, shapes: FloatArray) -> float:
        """Standard error of the ratio."""
        return _ratio(self._sums(self._weights(shapes)))[1] if self._mixed else 0.0

    def effective_samples(self, shapes: FloatArray) -> float:
        """Kish's effective sample size (sum w)^2 / sum w^2."""
        weights = self._weights(shapes)
        return float(weights.sum() ** 2 / (weights**2).sum())

    def _weights(self, shapes: FloatArray) -> FloatArray:
        """Weights up to a common factor, the largest 1."""
        log_weights = self._statistics @ (shapes - 1.0).ravel() - self._log_mixture
        return np.exp(log_weights - log_weights.max())

    def _sums(self, weights: FloatArray) -> FloatArray:
        """Logarithms of the sums of weights over successes and failures, then of their squares, (4,)."""
        tiny = np.finfo(np.float64).tiny
        success, failure = weights[self._success], weights[~self._success]
        sums = [success.sum(), failure.sum(), success @ success, failure @ failure]
        return np.log(np.maximum(sums, tiny))


def _ratio(sums: FloatArray) -> tuple[float, float]:
    """Mean and standard error from the four sums."""
    total = np.logaddexp(sums[0], sums[1])
    squares = np.logaddexp(sums[2] + 2.0 * sums[1], sums[3] + 2.0 * sums[0])
    return float(np.exp(sums[0] - total)), float(np.exp(0.5 * squares - 2.0 * total))


def _lower_bound(sums: FloatArray, margin: float) -> Derivatives:
    """Mean minus `margin` standard errors, with derivatives by the four sums."""
    mean, error = _ratio(sums)
    split = np.array([1.0, -1.0, 0.0, 0.0])
    mean_slope = mean * (1.0 - mean) * split
    mean_curvature = mean * (1.0 - mean) * (1.0 - 2.0 * mean) * np.outer(split, split)
    # ln error = M / 2 - 2 L, L = ln(e^y0 + e^y1), M = ln(e^(y2 + 2 y1) + e^(y3 + 2 y0)).
    first, second = np.array([0.0, 2.0, 1.0, 0.0]), np.array([2.0, 0.0, 0.0, 1.0])
    share = float(np.exp(sums[2] + 2.0 * sums[1] - np.logaddexp(sums[2] + 2.0 * sums[1], sums[3] + 2.0 * sums[0])))
    slope = 0.5 * (share * first + (1.0 - share) * second) - 2.0 * np.array([mean, 1.0 - mean, 0.0, 0.0])
    curvature = 0.5 * share * (1.0 - share) * np.outer(first - second, first - second)
    curvature -= 2.0 * mean * (1.0 - mean) * np.outer(split, split)
    error_slope, error_curvature = error * slope, error * (np.outer(slope, slope) + curvature)
    return mean - margin * error, mean_slope - margin * error_slope, mean_curvature - margin * error_curvature


def block_diagonal(blocks: FloatArray) -> FloatArray:
    """One matrix (2 d, 2 d) with `blocks` (d, 2, 2) on its diagonal."""
    count = len(blocks)
    matrix = np.zeros((count, 2, count, 2))
    index = np.arange(count)
    matrix[index, :, index, :] = blocks
    return matrix.reshape(2 * count, 2 * count)
