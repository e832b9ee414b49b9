"""A mixture of independent Gaussians cut off at bounds: a smooth density around given points."""

from __future__ import annotations

import math

import numpy as np
from scipy.special import logsumexp, ndtr, ndtri

from hardware.arrays import FloatArray

_DRAWS = 8192


class TruncatedMixture:
    """Equally deviating Gaussians around points, each cut off at the bounds.

    Args:
        centres: means before cutting, (count, d), inside the bounds.
        deviations: standard deviations before cutting, (count, d) or (d,).
        shares: probability of each, (count,), summing to 1.
        low: lower bounds, (d,).
        high: upper bounds, (d,).
    """

    def __init__(
        self, centres: FloatArray, deviations: FloatArray, shares: FloatArray, low: FloatArray, high: FloatArray
    ) -> None:
        self._centres, self._low, self._high = centres, low, high
        self._deviations = np.broadcast_to(deviations, centres.shape)
        self._shares = shares / shares.sum()
        self._lower = ndtr((low - centres) / self._deviations)
        self._upper = ndtr((high - centres) / self._deviations)

    def sample(self, rng: np.random.Generator, count: int) -> FloatArray:
        """Draw `count` points, (count, d)."""
        which = rng.choice(len(self._shares), count, p=self._shares)
        lower, upper = self._lower[which], self._upper[which]
        y = ndtri(lower + rng.random(lower.shape) * (upper - lower))
        return np.clip(self._centres[which] + self._deviations[which] * y, self._low, self._high)

    def log_prob(self, points: FloatArray) -> FloatArray:
        """Logarithm of the density at `points` (count, d), (count,); minus infinity outside the bounds."""
        inside = ((points >= self._low) & (points <= self._high)).all(axis=-1)
        scale = np.log(self._deviations * (self._upper - self._lower)).sum(axis=-1)
        scale += 0.5 * self._centres.shape[1] * math.log(2.0 * math.pi)
        # One part after the other: all at once would need count x parts x d numbers.
        parts = [
            math.log(share) - 0.5 * (((points - centre) / deviation) ** 2).sum(axis=-1) - part_scale
            for share, centre, deviation, part_scale in zip(
                self._shares, self._centres, self._deviations, scale, strict=True
            )
            if share > 0.0
        ]
        return np.where(inside, logsumexp(np.stack(parts), axis=0), -np.inf)

    def entropy(self) -> float:
        """Differential entropy [nat], as the mean over 8192 draws that are the same in every run."""
        return -float(self.log_prob(self.sample(np.random.default_rng(0), _DRAWS)).mean())
