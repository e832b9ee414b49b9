"""The dynamics as identification found them on a robot, with their uncertainty."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from hardware.arrays import FloatArray
from hardware.errors import ConfigError, LimitViolationError, NonFiniteError, UnknownNameError
from sim.dynamics import DynamicsParameter
from sim.randomization.distribution import Samples, columns, require_parameters
from sim.randomization.truncated_gaussian import TruncatedGaussian
from sim.randomization.truncated_mixture import TruncatedMixture


class PosteriorDistribution:
    """An identified posterior on the bounds of the parameters; see `sim.randomization.distribution`.

    Made by `from_gaussian` or `from_samples`. Every parameter must have room between its bounds.
    """

    def __init__(self, parameters: Sequence[DynamicsParameter], density: TruncatedGaussian | TruncatedMixture) -> None:
        self.parameters = require_parameters(parameters)
        self._density = density

    @classmethod
    def from_gaussian(
        cls,
        parameters: Sequence[DynamicsParameter],
        mean: Mapping[str, float],
        covariance: FloatArray,
        names: Sequence[str],
        widen: float = 1.0,
    ) -> PosteriorDistribution:
        """A Gaussian cut off at the bounds.

        Args:
            parameters: what is drawn.
            mean: the best estimate by name, inside the bounds.
            covariance: covariance of the estimate, (n, n).
            names: which parameter each row and column of `covariance` belongs to; each of `parameters` once.
            widen: factor on the standard deviations, for what the identification's model does not contain.

        Raises:
            ConfigError: `covariance` does not fit `names` or is not positive definite, a parameter has no room between
                its bounds, or `widen` is not positive.
            LimitViolationError: the estimate lies outside the bounds of a parameter.
            UnknownNameError: `mean` or `names` lacks a parameter or has another one.
        """
        checked, low, high = _bounds(parameters)
        _require_names(checked, mean)
        _require_names(checked, names)
        matrix = np.asarray(covariance, dtype=np.float64)
        if len(set(names)) != len(names) or matrix.shape != (len(names), len(names)):
            raise ConfigError(f"a covariance of shape {matrix.shape} does not fit the {len(names)} names {list(names)}")
        if not 0.0 < widen < np.inf:
            raise ConfigError(f"widen must be positive, not {widen}")
        order = [list(names).index(parameter.name) for parameter in checked]
        centre = np.array([mean[parameter.name] for parameter in checked], dtype=np.float64)
        _require_inside(checked, centre[None])
        return cls(checked, TruncatedGaussian(centre, widen**2 * matrix[np.ix_(order, order)], low, high))

    @classmethod
    def from_samples(
        cls, parameters: Sequence[DynamicsParameter], samples: Mapping[str, FloatArray], widen: float = 1.0
    ) -> PosteriorDistribution:
        """Draws of a posterior, smoothed by a Gaussian kernel cut off at the bounds.

        The kernel's deviation per parameter is that of the samples times count^(-1 / (d + 4)) (Scott, Multivariate
        Density Estimation, 1992), and at least a millionth of the range.

        Args:
            parameters: what is drawn.
            samples: posterior draws by name, each (count,), inside the bounds.
            widen: factor on the kernel's deviations.

        Raises:
            ConfigError: fewer than two samples, lengths that differ, no room between bounds, or `widen` not positive.
            LimitViolationError: a sample lies outside the bounds of its parameter.
            NonFiniteError: a sample is not finite.
            UnknownNameError: `samples` lacks a parameter or has another one.
        """
        checked, low, high = _bounds(parameters)
        _require_names(checked, samples)
        matrix = columns(checked, samples)
        if matrix.ndim != 2 or len(matrix) < 2:
            raise ConfigError("a posterior from samples needs at least two samples of each parameter")
        if not 0.0 < widen < np.inf:
            raise ConfigError(f"widen must be positive, not {widen}")
        _require_inside(checked, matrix)
        count, dimension = matrix.shape
        deviation = np.maximum(matrix.std(axis=0, ddof=1) * count ** (-1.0 / (dimension + 4)), 1e-6 * (high - low))
        return cls(checked, TruncatedMixture(matrix, widen * deviation, np.full(count, 1.0 / count), low, high))

    def sample(self, rng: np.random.Generator, count: int) -> Samples:
        """Draw `count` sets of parameters, each (count,)."""
        drawn = self._density.sample(rng, count)
        return {parameter.name: drawn[:, index] for index, parameter in enumerate(self.parameters)}

    def log_prob(self, values: Mapping[str, FloatArray]) -> FloatArray:
        """Logarithm of the joint density, (count,)."""
        return self._density.log_prob(columns(self.parameters, values))

    def entropy(self) -> float:
        """Entropy [nat], by integration at fixed points."""
        return self._density.entropy()

    def update(
        self, values: Mapping[str, FloatArray], returns: FloatArray, success: NDArray[np.bool_] | None = None
    ) -> Mapping[str, float]:
        """Nothing to learn: what a robot is like does not depend on how well a policy does."""
        return {}


def _bounds(parameters: Sequence[DynamicsParameter]) -> tuple[tuple[DynamicsParameter, ...], FloatArray, FloatArray]:
    checked = require_parameters(parameters)
    for parameter in checked:
        if parameter.low == parameter.high:
            raise ConfigError(f"dynamics parameter '{parameter.name}' has no room between its bounds: leave it out")
    return checked, np.array([item.low for item in checked]), np.array([item.high for item in checked])


def _require_names(parameters: Sequence[DynamicsParameter], given: Sequence[str] | Mapping[str, object]) -> None:
    known = [parameter.name for parameter in parameters]
    for name in given:
        if name not in known:
            raise UnknownNameError("dynamics parameter", name, known)
    for name in known:
        if name not in given:
            raise UnknownNameError("dynamics parameter among those identified", name, given)


def _require_inside(parameters: Sequence[DynamicsParameter], points: FloatArray) -> None:
    for parameter, column in zip(parameters, points.T, strict=True):
        if not np.isfinite(column).all():
            raise NonFiniteError(f"the identified value of dynamics parameter '{parameter.name}' is not finite")
        outside = column[(column < parameter.low) | (column > parameter.high)]
        if len(outside):
            what = f"identified dynamics parameter '{parameter.name}' [{parameter.unit}]"
            raise LimitViolationError(what, float(outside[0]), parameter.low, parameter.high)
