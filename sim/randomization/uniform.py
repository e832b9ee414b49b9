"""Independent uniform distributions between the bounds of the parameters: plain domain randomisation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from hardware.arrays import FloatArray
from sim.dynamics import DynamicsParameter
from sim.randomization.distribution import DistributionEntry, Samples, columns, require_parameters


class UniformDistribution:
    """Every parameter uniform and independent between its bounds; see `sim.randomization.distribution`.

    A parameter whose bounds are equal is a constant and counts neither in the density nor in the entropy.

    Args:
        parameters: what is drawn.
        width: share of the way from the nominal value to each bound that is used, in [0, 1].

    Raises:
        ConfigError: a parameter is not sound.
        ValueError: `width` lies outside [0, 1].
    """

    def __init__(self, parameters: Sequence[DynamicsParameter], width: float = 1.0) -> None:
        if not 0.0 <= width <= 1.0:
            raise ValueError(f"width must lie in [0, 1], not {width}")
        self.parameters = require_parameters(parameters)
        nominal = np.array([parameter.nominal for parameter in self.parameters], dtype=np.float64)
        self._low = nominal + width * (np.array([parameter.low for parameter in self.parameters]) - nominal)
        self._high = nominal + width * (np.array([parameter.high for parameter in self.parameters]) - nominal)

    def sample(self, rng: np.random.Generator, count: int) -> Samples:
        """Draw `count` sets of parameters, each (count,)."""
        drawn = rng.uniform(self._low, self._high, (count, len(self.parameters)))
        return {parameter.name: drawn[:, index] for index, parameter in enumerate(self.parameters)}

    def log_prob(self, values: Mapping[str, FloatArray]) -> FloatArray:
        """Logarithm of the joint density, (count,)."""
        matrix = columns(self.parameters, values)
        inside = ((matrix >= self._low) & (matrix <= self._high)).all(axis=-1)
        return np.where(inside, -self.entropy(), -np.inf)

    def entropy(self) -> float:
        """Sum of the logarithms of the widths [nat]."""
        width = self._high - self._low
        return float(np.log(width[width > 0.0]).sum())

    def update(
        self, values: Mapping[str, FloatArray], returns: FloatArray, success: NDArray[np.bool_] | None = None
    ) -> Mapping[str, float]:
        """Nothing to learn."""
        return {}


DISTRIBUTION = DistributionEntry(
    distribution="sim.randomization.uniform:UniformDistribution",
    summary="Every parameter uniform between its bounds",
)
