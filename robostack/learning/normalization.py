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
        self.weight: FloatArray = np.array([1e-4])
        """Number of observations seen, (1,)."""
        self.mean: FloatArray = np.zeros(size)
        self.variance: FloatArray = np.ones(size)

    @property
    def count(self) -> float:
        """Number of observations seen."""
        return float(self.weight[0])

    @count.setter
    def count(self, value: float) -> None:
        self.weight[0] = value

    def update(self, observation: FloatArray) -> None:
        """Take in one observation, (size,)."""
        total = self.count + 1.0
        difference = observation - self.mean
        self.mean += difference / total
        self.variance += difference * difference / total
        self.variance *= self.count / total
        self.count = total

    def update_batch(self, observations: FloatArray) -> None:
        """Take in several observations at once, (n, size) (Chan, Golub and LeVeque 1979)."""
        added = len(observations)
        if added == 0:
            return
        total = self.count + added
        difference = np.mean(observations, axis=0) - self.mean
        self.variance *= self.count / total
        self.variance += np.var(observations, axis=0) * (added / total)
        self.variance += difference * difference * (self.count * added / total**2)
        self.mean += difference * (added / total)
        self.count = total

    def scale(self) -> FloatArray:
        """What an observation is divided by, (size,)."""
        scale: FloatArray = np.sqrt(self.variance + self.epsilon)
        return scale

    def normalize(self, observation: FloatArray) -> FloatArray:
        """(observation - mean) / scale, (size,)."""
        return (observation - self.mean) / self.scale()


class RunningMoments:
    """Welford's mean and population variance of a scalar (Knuth, The Art of Computer Programming 2, 4.2.2).

    Args:
        state: where count, mean and sum of squared differences from the mean are kept, (3,); default: an own array.
    """

    def __init__(self, state: FloatArray | None = None) -> None:
        self.state = state if state is not None else np.zeros(3)

    def push(self, value: float) -> None:
        """Take in one value."""
        count, mean, deviation = self.state.tolist()
        difference = value - mean
        mean += difference / (count + 1.0)
        self.state[:] = count + 1.0, mean, deviation + difference * (value - mean)

    @property
    def count(self) -> int:
        """Number of values."""
        return int(self.state[0])

    @property
    def mean(self) -> float:
        """Their mean; 0 before the first."""
        return float(self.state[1])

    @property
    def variance(self) -> float:
        """Population variance; 0 before the first value."""
        return float(self.state[2] / self.state[0]) if self.state[0] else 0.0
