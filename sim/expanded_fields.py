"""Fields of MjModel per simulation, for engines that have no batch of MuJoCo's: what the dynamics table writes."""

from __future__ import annotations

from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

from sim.dynamics_table import field_of


class ExpandedFields:
    """One value per simulation of every field that was asked for.

    Args:
        model: the model with its nominal values.
        count: number of simulations.
    """

    def __init__(self, model: mujoco.MjModel, count: int) -> None:
        self._model, self.nsim = model, count
        self._arrays: dict[str, NDArray[Any]] = {}

    def expand(self, field: str) -> NDArray[Any]:
        """One row per simulation of a field, (count, ...)."""
        if field not in self._arrays:
            nominal = field_of(self._model, field)
            self._arrays[field] = np.repeat(nominal[None], self.nsim, axis=0)
        return self._arrays[field]

    def set_const(self, ids: NDArray[np.intp] | None) -> None:
        """Nothing: such an engine derives what it needs itself."""

    def rows(self, field: str, ids: NDArray[np.intp]) -> NDArray[Any]:
        """A field of the simulations `ids`, (k, ...); the model's own values where nothing was written."""
        if field in self._arrays:
            return self._arrays[field][ids]
        nominal = field_of(self._model, field)
        return np.repeat(nominal[None], len(ids), axis=0)

    def items(self) -> list[tuple[str, NDArray[Any]]]:
        """Every field that was expanded and its values, (count, ...)."""
        return list(self._arrays.items())

    def of(self, index: int) -> dict[str, NDArray[Any]]:
        """What was written for one simulation."""
        return {name: array[index] for name, array in self._arrays.items()}
