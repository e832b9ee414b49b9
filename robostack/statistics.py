"""Intervals that a result is reported with."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from hardware.errors import ConfigError

Z_95 = 1.959963984540054
"""97.5 % quantile of the standard normal distribution."""


def wilson_interval(successes: int, trials: int, z: float = Z_95) -> tuple[float, float]:
    """Confidence interval of a success rate (Wilson 1927, JASA 22, 209-212); sensible also at 0 and at all successes.

    Args:
        successes: number of successes.
        trials: number of trials.
        z: quantile of the standard normal distribution; the default gives 95 %.

    Returns:
        Lower and upper bound; (0, 1) without trials.

    Raises:
        ConfigError: the numbers are not 0 <= successes <= trials.
    """
    if not 0 <= successes <= trials:
        raise ConfigError(f"{successes} successes of {trials} trials is not possible")
    if trials == 0:
        return 0.0, 1.0
    rate, spread = successes / trials, z * z / trials
    center = (rate + spread / 2.0) / (1.0 + spread)
    half = math.sqrt(rate * (1.0 - rate) * spread + spread * spread / 4.0) / (1.0 + spread)
    return max(0.0, center - half), min(1.0, center + half)


def bootstrap_median(
    values: ArrayLike, level: float = 0.95, resamples: int = 2000, seed: int = 0
) -> tuple[float, float, float]:
    """Median with its percentile bootstrap interval (Efron 1979, Annals of Statistics 7, 1-26).

    Args:
        values: the sample, (n,).
        level: of the interval.
        resamples: number of samples drawn with replacement.
        seed: of the draws; the same sample gives the same interval.

    Returns:
        Median, lower and upper bound; all nan without values.
    """
    sample = np.asarray(values, dtype=np.float64)
    if sample.size == 0:
        return math.nan, math.nan, math.nan
    draws = np.random.default_rng(seed).integers(sample.size, size=(resamples, sample.size))
    medians = np.median(sample[draws], axis=1)
    low, high = np.quantile(medians, [(1.0 - level) / 2.0, (1.0 + level) / 2.0])
    return float(np.median(sample)), float(low), float(high)
