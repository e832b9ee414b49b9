"""The widest Beta distribution that is near the current one and still succeeds often enough."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from hardware.arrays import FloatArray
from sim.randomization import beta
from sim.randomization.sequential_quadratic import Minimum, SmoothFunction, minimize
from sim.randomization.success_estimate import Derivatives, block_diagonal

Direction = Literal["current-first", "new-first"]
"""KL(current || new), as the published code has it, or KL(new || current), as the paper writes it."""

Branch = Literal["main", "backup", "retreat", "kept"]
"""Widened; widened after success had to be restored; only restored; nothing better than the current shapes."""


class Estimate(Protocol):
    """Success as a function of the shapes (d, 2)."""

    def value(self, shapes: FloatArray) -> float:
        """The estimate."""
        ...

    def derivatives(self, shapes: FloatArray) -> Derivatives:
        """Estimate, gradient (2 d,) and Hessian (2 d, 2 d)."""
        ...


@dataclass(frozen=True)
class EntropyStep:
    """What the update problem is solved with."""

    alpha: float
    """Success that must remain."""
    epsilon: float
    """Largest divergence of a step [nat]."""
    direction: Direction
    """Which divergence."""
    low: float
    """Lower bound of the shapes."""
    high: float
    """Upper bound of the shapes."""

    def solve(self, current: FloatArray, success: Estimate) -> tuple[FloatArray, Branch]:
        """Maximise entropy with success >= alpha and divergence from `current` (d, 2) <= epsilon.

        If `current` itself succeeds too seldom, success is maximised first within the same divergence; where that
        reaches alpha, entropy is maximised from there, else that most successful distribution is kept.

        Returns:
            The new shapes (d, 2), never outside the trust region, and how they were found.
        """
        branch: Branch = "main"
        start = current
        if success.value(current) < self.alpha:
            branch = "backup"
            start = self._most_successful(current, success)
            if success.value(start) < self.alpha:
                return start, "kept" if np.array_equal(start, current) else "retreat"
        found = self._widest(current, start, success)
        if beta.entropy(found) <= beta.entropy(start) or success.value(found) < self.alpha - 1e-6:
            found = start
        return found, "kept" if np.array_equal(found, current) else branch

    def divergence(self, current: FloatArray, new: FloatArray) -> float:
        """The divergence that is limited [nat]."""
        return beta.divergence(current, new) if self.direction == "current-first" else beta.divergence(new, current)

    def _widest(self, current: FloatArray, start: FloatArray, success: Estimate) -> FloatArray:
        objective = _in_logarithms(
            lambda shapes: -beta.entropy(shapes),
            lambda shapes: (
                -beta.entropy(shapes),
                -beta.entropy_gradient(shapes).ravel(),
                -block_diagonal(beta.entropy_hessian(shapes)),
            ),
        )

        def shortfall(shapes: FloatArray) -> Derivatives:
            value, gradient, hessian = success.derivatives(shapes)
            return value - self.alpha, gradient, hessian

        required = _in_logarithms(lambda shapes: success.value(shapes) - self.alpha, shortfall)
        gain = self._gain(current, -beta.entropy_gradient(current).ravel())
        found = self._minimum(objective, gain, [self._trust_region(current), required], start)
        return self._inside(current, np.exp(found.x).reshape(-1, 2))

    def _most_successful(self, current: FloatArray, success: Estimate) -> FloatArray:
        value, slope, _ = success.derivatives(current)
        if not slope.any():
            return current

        def negative(shapes: FloatArray) -> Derivatives:
            value, gradient, hessian = success.derivatives(shapes)
            return -value, -gradient, -hessian

        objective = _in_logarithms(lambda shapes: -success.value(shapes), negative)
        found = self._minimum(objective, self._gain(current, slope), [self._trust_region(current)], current)
        best = self._inside(current, np.exp(found.x).reshape(-1, 2))
        return best if success.value(best) > value else current

    def _minimum(
        self, objective: SmoothFunction, gain: float, constraints: list[SmoothFunction], start: FloatArray
    ) -> Minimum:
        """Minimise `objective` in units of `gain`; the trust region is the first of the constraints."""
        size, scale = start.size, 1.0 / gain if gain > 0.0 else 1.0
        scaled = SmoothFunction(
            lambda x: scale * objective.value(x), lambda x: _scaled(scale, objective.derivatives(x))
        )
        guess = np.zeros(len(constraints))
        guess[0] = 1.0 if gain > 0.0 else 0.0
        low, high = np.full(size, np.log(self.low)), np.full(size, np.log(self.high))
        return minimize(scaled, constraints, np.log(start).ravel(), low, high, guess)

    def _trust_region(self, current: FloatArray) -> SmoothFunction:
        def derivatives(shapes: FloatArray) -> Derivatives:
            if self.direction == "current-first":
                gradient, blocks = beta.divergence_by_second(current, shapes)
            else:
                gradient, blocks = beta.divergence_by_first(shapes, current)
            value = self.divergence(current, shapes)
            room = 1.0 - value / self.epsilon
            return room, -gradient.ravel() / self.epsilon, -block_diagonal(blocks) / self.epsilon

        return _in_logarithms(lambda shapes: 1.0 - self.divergence(current, shapes) / self.epsilon, derivatives)

    def _gain(self, current: FloatArray, slope: FloatArray) -> float:
        """Half of what a step gains if the objective were linear and the divergence quadratic (natural gradient).

        In units of it, the multiplier of the trust region is then 1.
        """
        direction = np.linalg.solve(beta.fisher(current), slope.reshape(-1, 2, 1)).ravel()
        return math.sqrt(max(float(slope @ direction), 0.0) * self.epsilon / 2.0)

    def _inside(self, current: FloatArray, shapes: FloatArray) -> FloatArray:
        """`shapes`, or the last point of the way there that the trust region still contains."""
        if self.divergence(current, shapes) <= self.epsilon * (1.0 + 1e-6):
            return shapes
        inside, outside = 0.0, 1.0
        while outside - inside > 1e-9:
            middle = 0.5 * (inside + outside)
            point = between(current, shapes, middle)
            inside, outside = (middle, outside) if self.divergence(current, point) <= self.epsilon else (inside, middle)
        return between(current, shapes, inside)


def between(first: FloatArray, second: FloatArray, share: float) -> FloatArray:
    """The shapes (d, 2) `share` of the way from `first` to `second`, in logarithms."""
    return np.exp((1.0 - share) * np.log(first) + share * np.log(second))


def _scaled(scale: float, derivatives: Derivatives) -> Derivatives:
    return scale * derivatives[0], scale * derivatives[1], scale * derivatives[2]


def _in_logarithms(
    value: Callable[[FloatArray], float], derivatives: Callable[[FloatArray], Derivatives]
) -> SmoothFunction:
    """A function of shapes as one of their logarithms, in which entropy is nearly linear."""

    def transformed(x: FloatArray) -> Derivatives:
        shapes = np.exp(x)
        result, gradient, hessian = derivatives(shapes.reshape(-1, 2))
        scaled = gradient * shapes
        return result, scaled, hessian * np.outer(shapes, shapes) + np.diag(scaled)

    return SmoothFunction(lambda x: value(np.exp(x).reshape(-1, 2)), transformed)
