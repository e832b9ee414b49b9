"""Running statistics in double precision."""

from __future__ import annotations

import numpy as np

from hardware.arrays import FloatArray


class RunningNormalizer:
    """Observations to zero mean and unit variance by all that was seen so far.

    One sample at a time, population variance; starts at mean 0, variance 1 with the weight of 1e-4 samples, as
    Gymnasium's NormalizeObservation does.

    Args:
        size: length of the observation.
        epsilon: added to the variance.
    """

    def __init__(self, size: int, epsilon: float = 1e-8) -> None:
        self.epsilon = epsilon
        self.count = 1e-4
        self.mean: FloatArray = np.zeros(size)
        self.variance: FloatArray = np.ones(size)

    def update(self, observation: FloatArray) -> None:
        """Take in one observation, (size,)."""
        total = self.count + 1.0
        difference = observation - self.mean
        self.mean += difference / total
        self.variance += difference * difference / total
        self.variance *= self.count / total
        self.count = total

    def scale(self) -> FloatArray:
        """What an observation is divided by, (size,)."""
        scale: FloatArray = np.sqrt(self.variance + self.epsilon)
        return scale

    def normalize(self, observation: FloatArray) -> FloatArray:
        """(observation - mean) / scale, (size,)."""
        return (observation - self.mean) / self.scale()


class RunningMoments:
    """Welford's mean and population variance of a scalar (Knuth, The Art of Computer Programming 2, 4.2.2)."""

    def __init__(self) -> None:
        self.count = 0
        self.mean = 0.0
        self.deviation = 0.0
        """Sum of squared differences from the mean."""

    def push(self, value: float) -> None:
        """Take in one value."""
        self.count += 1
        difference = value - self.mean
        self.mean += difference / self.count
        self.deviation += difference * (value - self.mean)

    @property
    def variance(self) -> float:
        """Population variance; 0 before the first value."""
        return self.deviation / self.count if self.count else 0.0
