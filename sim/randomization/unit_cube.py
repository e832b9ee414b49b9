"""The unit cube that distributions over bounded parameters are defined on: 0 is a lower bound, 1 an upper one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from hardware.arrays import FloatArray
from hardware.errors import ConfigError
from sim.dynamics import DynamicsParameter
from sim.randomization.distribution import Samples, columns


class UnitCube:
    """One axis for every parameter that has room between its bounds, in order; the others are constants.

    Args:
        parameters: what is drawn.
        subject: what the error names.

    Raises:
        ConfigError: none has room between its bounds.
    """

    def __init__(self, parameters: Sequence[DynamicsParameter], subject: str) -> None:
        self.parameters = tuple(parameters)
        self._low = np.array([parameter.low for parameter in self.parameters], dtype=np.float64)
        width = np.array([parameter.high for parameter in self.parameters], dtype=np.float64) - self._low
        self._free = width > 0.0
        if not self._free.any():
            raise ConfigError(f"{subject} needs at least one dynamics parameter with room between its bounds")
        self._width = width[self._free]
        self.names = tuple(item.name for item, free in zip(self.parameters, self._free, strict=True) if free)
        """Names of the axes, (d,)."""
        self.log_volume = float(np.log(self._width).sum())
        """Entropy of the uniform distribution on all parameters that are not constants [nat]."""

    @property
    def nominal(self) -> FloatArray:
        """Where the nominal values lie, (d,)."""
        return self.points(np.array([parameter.nominal for parameter in self.parameters], dtype=np.float64))

    def points(self, matrix: FloatArray) -> FloatArray:
        """Where sets of parameters in their units, (..., parameters), lie, (..., d)."""
        found: FloatArray = (matrix - self._low)[..., self._free] / self._width
        return found

    def values(self, points: FloatArray) -> FloatArray:
        """Parameters that are not constants, in their units, for points (..., d), the same shape."""
        return self._low[self._free] + self._width * points

    def samples(self, points: FloatArray) -> Samples:
        """Sets of parameters for points (count, d), by name, each (count,)."""
        drawn = np.tile(self._low, (len(points), 1))
        drawn[:, self._free] += self._width * points
        return {parameter.name: drawn[:, index] for index, parameter in enumerate(self.parameters)}

    def log_prob(self, values: Mapping[str, FloatArray], density: Callable[[FloatArray], FloatArray]) -> FloatArray:
        """Logarithm of the joint density of parameters, (count,); minus infinity where a constant differs.

        Args:
            values: by name, each (count,).
            density: logarithm of the density on the cube, (count, d) -> (count,).
        """
        offset = columns(self.parameters, values) - self._low
        constant = (offset[..., ~self._free] == 0.0).all(axis=-1)
        return np.where(constant, density(offset[..., self._free] / self._width) - self.log_volume, -np.inf)
