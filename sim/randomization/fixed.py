"""A point: every simulation has the same dynamics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from hardware.arrays import FloatArray
from hardware.errors import UnknownNameError
from sim.dynamics import DynamicsParameter
from sim.randomization.distribution import DistributionEntry, Samples, columns, require_parameters


class FixedDistribution:
    """Every parameter at one value; see `sim.randomization.distribution`.

    Args:
        parameters: what is set.
        values: values by name; the others are nominal. Values outside a parameter's bounds are allowed, to evaluate
            beyond what was trained on.

    Raises:
        ConfigError: a parameter is not sound.
        UnknownNameError: `values` names something that is not among the parameters.
    """

    def __init__(self, parameters: Sequence[DynamicsParameter], values: Mapping[str, float] | None = None) -> None:
        self.parameters = require_parameters(parameters)
        known = {parameter.name: parameter.nominal for parameter in self.parameters}
        for name in values or {}:
            if name not in known:
                raise UnknownNameError("dynamics parameter", name, known)
        self._values = {**known, **(values or {})}

    def sample(self, rng: np.random.Generator, count: int) -> Samples:
        """The same set `count` times, each (count,)."""
        return {name: np.full(count, value) for name, value in self._values.items()}

    def log_prob(self, values: Mapping[str, FloatArray]) -> FloatArray:
        """0 at the point, minus infinity elsewhere: the logarithm of a probability, as a point has no density."""
        point = np.array(list(self._values.values()))
        return np.where((columns(self.parameters, values) == point).all(axis=-1), 0.0, -np.inf)

    def entropy(self) -> float:
        """Minus infinity."""
        return -np.inf

    def update(
        self, values: Mapping[str, FloatArray], returns: FloatArray, success: NDArray[np.bool_] | None = None
    ) -> Mapping[str, float]:
        """Nothing to learn."""
        return {}


DISTRIBUTION = DistributionEntry(
    distribution="sim.randomization.fixed:FixedDistribution",
    summary="The nominal dynamics, always",
)
