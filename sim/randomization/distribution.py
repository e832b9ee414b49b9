"""What a distribution over dynamics parameters offers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np

from hardware.arrays import FloatArray
from hardware.errors import ConfigError, UnknownNameError
from sim.dynamics import DynamicsParameter

Samples = dict[str, FloatArray]
"""Name of the parameter -> values (count,), in the parameter's unit."""


class Distribution(Protocol):
    """A distribution over dynamics parameters, drawn from at every reset; some learn from how episodes went."""

    parameters: tuple[DynamicsParameter, ...]
    """What is drawn."""

    def sample(self, rng: np.random.Generator, count: int) -> Samples:
        """Draw `count` sets of parameters, each (count,)."""
        ...

    def log_prob(self, values: Mapping[str, FloatArray]) -> FloatArray:
        """Natural logarithm of the joint density of `values`, (count,); minus infinity outside the support."""
        ...

    def entropy(self) -> float:
        """Differential entropy of the joint distribution [nat]; minus infinity for a point."""
        ...

    def update(self, values: Mapping[str, FloatArray], returns: FloatArray) -> Mapping[str, float]:
        """Learn from episodes that were run with `values`, each (count,), and their `returns` (count,).

        Returns:
            What is worth logging.
        """
        ...


def require_parameters(parameters: Sequence[DynamicsParameter]) -> tuple[DynamicsParameter, ...]:
    """The parameters, once their bounds and names are known to be sound.

    Raises:
        ConfigError: bounds are reversed or not finite, the nominal lies outside them, or a name occurs twice.
    """
    names = [parameter.name for parameter in parameters]
    for parameter in parameters:
        if not (np.isfinite(parameter.low) and np.isfinite(parameter.high)):
            raise ConfigError(f"the bounds of dynamics parameter '{parameter.name}' must be finite")
        if not parameter.low <= parameter.nominal <= parameter.high:
            raise ConfigError(
                f"dynamics parameter '{parameter.name}': low {parameter.low:.6g} <= nominal {parameter.nominal:.6g} "
                f"<= high {parameter.high:.6g} does not hold"
            )
        if names.count(parameter.name) > 1:
            raise ConfigError(f"dynamics parameter '{parameter.name}' is given twice")
    return tuple(parameters)


def columns(parameters: Sequence[DynamicsParameter], values: Mapping[str, FloatArray]) -> FloatArray:
    """Values by name as a matrix in the order of `parameters`, (count, num_parameters).

    Raises:
        UnknownNameError: a parameter is missing from `values`.
    """
    for parameter in parameters:
        if parameter.name not in values:
            raise UnknownNameError("dynamics parameter among the values", parameter.name, values)
    return np.stack([np.asarray(values[parameter.name], dtype=np.float64) for parameter in parameters], axis=-1)
