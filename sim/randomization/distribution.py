"""What a distribution over dynamics parameters offers, and how one is registered."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from hardware.arrays import FloatArray
from hardware.config import load_config
from hardware.errors import CheckpointError, ConfigError, LimitViolationError, NonFiniteError, UnknownNameError
from hardware.registry import Registry, load_object
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

    def update(
        self, values: Mapping[str, FloatArray], returns: FloatArray, success: NDArray[np.bool_] | None = None
    ) -> Mapping[str, float]:
        """Learn from episodes that were run with `values`, each (count,), and their `returns` (count,).

        Args:
            values: parameters of each episode, as `sample` drew them since the last update.
            returns: undiscounted return of each episode, (count,).
            success: whether each episode succeeded, (count,), where the task says so.

        Returns:
            What is worth logging.
        """
        ...


@runtime_checkable
class Resumable(Protocol):
    """A distribution that learns, and continues exactly where it was saved."""

    def state(self) -> dict[str, Any]:
        """What it has learned, ready for JSON; numbers survive exactly."""
        ...

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up a `state`.

        Raises:
            CheckpointError: it was saved from another distribution or other parameters.
        """
        ...


@dataclass(frozen=True)
class Episodes:
    """Episodes that an update learns from, checked."""

    matrix: FloatArray
    """Parameters in the order of the distribution's, (count, num_parameters)."""
    returns: FloatArray
    """Returns, (count,)."""
    success: NDArray[np.bool_] | None
    """Successes, (count,)."""


def require_episodes(
    parameters: Sequence[DynamicsParameter],
    values: Mapping[str, FloatArray],
    returns: FloatArray,
    success: NDArray[np.bool_] | None = None,
) -> Episodes:
    """Episodes, once they are known to be sound.

    Raises:
        ConfigError: there is none, or the arrays differ in length.
        UnknownNameError: a parameter is missing from `values`, or one is there that is not among `parameters`.
        NonFiniteError: a parameter or a return is not finite.
        LimitViolationError: a parameter lies outside its bounds.
    """
    known = [parameter.name for parameter in parameters]
    for name in values:
        if name not in known:
            raise UnknownNameError("dynamics parameter", name, known)
    matrix, returns = columns(parameters, values), np.asarray(returns, dtype=np.float64)
    if returns.shape != matrix.shape[:1] or (success is not None and np.shape(success) != returns.shape):
        raise ConfigError(
            f"episodes to learn from: {matrix.shape[0]} sets of parameters, returns of shape {returns.shape}"
            + ("" if success is None else f", successes of shape {np.shape(success)}")
            + "; give one of each per episode"
        )
    if not len(returns):
        raise ConfigError("no episode has ended since the last update: run longer between updates")
    if not np.isfinite(returns).all():
        raise NonFiniteError("a return to learn from is not finite: leave out the episodes that failed to simulate")
    for parameter, column in zip(parameters, matrix.T, strict=True):
        if not np.isfinite(column).all():
            raise NonFiniteError(f"a value of dynamics parameter '{parameter.name}' is not finite")
        slack = 1e-9 * (parameter.high - parameter.low)
        outside = column[(column < parameter.low - slack) | (column > parameter.high + slack)]
        if len(outside):
            what = f"dynamics parameter '{parameter.name}' [{parameter.unit}]"
            raise LimitViolationError(what, float(outside[0]), parameter.low, parameter.high)
    return Episodes(matrix, returns, None if success is None else np.asarray(success, dtype=np.bool_))


def described(kind: str, parameters: Sequence[DynamicsParameter]) -> dict[str, Any]:
    """What a saved state must agree with, ready for JSON."""
    return {"distribution": kind, "parameters": [[item.name, item.low, item.high] for item in parameters]}


def require_state(state: Mapping[str, Any], kind: str, parameters: Sequence[DynamicsParameter]) -> None:
    """Check that a saved state belongs to this kind of distribution over these parameters.

    Raises:
        CheckpointError: it does not.
    """
    for key, expected in described(kind, parameters).items():
        if state.get(key) != expected:
            raise CheckpointError(
                f"the saved distribution has {key} {state.get(key)!r}, this one {expected!r}: "
                "resume with the configuration it was saved with"
            )


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
        ConfigError: the values differ in length.
        UnknownNameError: a parameter is missing from `values`.
    """
    for parameter in parameters:
        if parameter.name not in values:
            raise UnknownNameError("dynamics parameter among the values", parameter.name, values)
    arrays = [np.asarray(values[parameter.name], dtype=np.float64) for parameter in parameters]
    if len({array.shape for array in arrays}) > 1:
        lengths = ", ".join(f"'{item.name}' {array.shape}" for item, array in zip(parameters, arrays, strict=True))
        raise ConfigError(f"the values of the dynamics parameters differ in shape: {lengths}")
    return np.stack(arrays, axis=-1)


@dataclass(frozen=True)
class DistributionEntry:
    """How a distribution registers: `DISTRIBUTION = DistributionEntry(...)` at the top level of its module."""

    distribution: str
    """"module:Class"; called with the parameters, and with its configuration where it has one."""
    summary: str
    """One line for `robostack list distributions`."""
    config: str | None = None
    """"module:Class" of its configuration, a frozen dataclass; None: it has none."""

    def open(self, parameters: Sequence[DynamicsParameter], settings: Mapping[str, Any] | None = None) -> Distribution:
        """The distribution over `parameters`.

        Args:
            parameters: what is drawn.
            settings: of its configuration, by name; the others are the defaults.

        Raises:
            ConfigError: a parameter is not sound, a setting is wrong or missing, or there are none to set.
        """
        create = cast(Callable[..., Distribution], load_object(self.distribution))
        if self.config is None:
            if settings:
                raise ConfigError(f"this distribution has no settings, but got {', '.join(settings)}")
            return create(parameters)
        config_type = cast(type[Any], load_object(self.config))
        return create(parameters, load_config(config_type, dict(settings or {})))


DISTRIBUTIONS: Registry[DistributionEntry] = Registry("distribution", "sim.randomization", "DISTRIBUTION")
"""Every distribution: modules of this package, and entry points of the group `robostack.distributions`."""
