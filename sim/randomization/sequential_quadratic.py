"""Minimise a smooth function under a few smooth constraints and bounds, with exact second derivatives.

Sequential quadratic programming with a line-search filter (Nocedal and Wright, Numerical Optimization, 2006, chapter
18; Waechter and Biegler 2005 for the filter): each step solves a quadratic programme with the Lagrangian's Hessian,
made positive definite, and the linearised constraints. Made for tens of variables whose Hessians cost little more than
the gradients; it then ends after five to ten steps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import daqp
import numpy as np

from hardware.arrays import FloatArray

MAX_ITERATIONS = 60
STEP_LIMIT = 1.5
"""Largest change of one variable per step."""
_VIOLATION = 1e-9
_OPTIMALITY = 1e-9
_INFINITY = 1e30


@dataclass(frozen=True)
class SmoothFunction:
    """A function of x (n,) with two derivatives."""

    value: Callable[[FloatArray], float]
    """Value alone."""
    derivatives: Callable[[FloatArray], tuple[float, FloatArray, FloatArray]]
    """Value, gradient (n,), Hessian (n, n)."""


@dataclass(frozen=True)
class Minimum:
    """Where the search ended."""

    x: FloatArray
    """The point, (n,)."""
    value: float
    """The objective there."""
    violation: float
    """Sum of the amounts by which constraints are violated there."""
    multipliers: FloatArray
    """One per constraint, >= 0."""
    converged: bool
    """Whether the conditions for a minimum hold; else the best point found."""
    iterations: int
    """Quadratic programmes solved."""


def minimize(
    objective: SmoothFunction,
    constraints: Sequence[SmoothFunction],
    start: FloatArray,
    low: FloatArray,
    high: FloatArray,
    multipliers: FloatArray,
) -> Minimum:
    """Minimise `objective` where every constraint is >= 0 and low <= x <= high.

    Args:
        objective: what is minimised.
        constraints: functions that must be >= 0.
        start: the first point, (n,); need not be feasible.
        low: lower bounds, (n,).
        high: upper bounds, (n,).
        multipliers: guess of the constraints' multipliers, which scales the first step.
    """
    x = np.clip(start, low, high)
    best = (np.inf, np.inf, x)
    visited: list[tuple[float, float]] = []
    converged, iteration = False, 0
    while not converged and iteration < MAX_ITERATIONS:
        iteration += 1
        value, gradient, hessian = objective.derivatives(x)
        parts = [constraint.derivatives(x) for constraint in constraints]
        violation = sum(max(0.0, -part[0]) for part in parts)
        if (max(violation, _VIOLATION), value) < best[:2]:
            best = (max(violation, _VIOLATION), value, x)
        for multiplier, part in zip(multipliers, parts, strict=True):
            hessian = hessian - multiplier * part[2]
        step, multipliers = _quadratic_step(gradient, hessian, parts, low - x, high - x)
        decrease = -float(gradient @ step)
        converged = violation < _VIOLATION and abs(decrease) < _OPTIMALITY
        if not converged:
            x = _accepted(objective, constraints, x, step, (violation, value), visited)
            visited.append((violation, value))
    return Minimum(best[2], best[1], best[0], multipliers, converged, iteration)


def _quadratic_step(
    gradient: FloatArray,
    hessian: FloatArray,
    constraints: Sequence[tuple[float, FloatArray, FloatArray]],
    low: FloatArray,
    high: FloatArray,
) -> tuple[FloatArray, FloatArray]:
    """The step (n,) and the constraints' multipliers."""
    count = len(gradient)
    rows = np.array([part[1] for part in constraints]).reshape(len(constraints), count)
    values = np.array([part[0] for part in constraints])
    lower = np.concatenate([np.maximum(low, -STEP_LIMIT), -values])
    upper = np.concatenate([np.minimum(high, STEP_LIMIT), np.full(len(values), _INFINITY)])
    matrix = _positive(hessian)
    for share in (1.0, 0.3, 0.0):
        # Where the linearised constraints contradict each other, ask for part of the way, at last for no worse.
        lower[count:] = np.where(values < 0.0, -share * values, -values)
        step, _, flag, info = daqp.solve(matrix, gradient, rows, upper, lower)
        if flag == 1:
            return np.array(step), np.maximum(-np.array(info["lam"])[count:], 0.0)
    return np.zeros(count), np.zeros(len(values))


def _positive(hessian: FloatArray) -> FloatArray:
    """`hessian`, or where it is not positive definite the nearest matrix with its eigenvalues' sizes."""
    matrix = 0.5 * (hessian + hessian.T)
    try:
        np.linalg.cholesky(matrix)
    except np.linalg.LinAlgError:
        values, vectors = np.linalg.eigh(matrix)
        values = np.maximum(np.abs(values), 1e-6 * np.abs(values).max() + 1e-12)
        return (vectors * values) @ vectors.T
    return matrix


def _accepted(
    objective: SmoothFunction,
    constraints: Sequence[SmoothFunction],
    x: FloatArray,
    step: FloatArray,
    current: tuple[float, float],
    visited: Sequence[tuple[float, float]],
) -> FloatArray:
    """The next point: the first share of `step` that improves objective or violation on every point visited."""
    points = [*visited, current]
    trial = x
    for halving in range(12):
        trial = x + 0.5**halving * step
        violation = sum(max(0.0, -constraint.value(trial)) for constraint in constraints)
        value = objective.value(trial)
        if all(violation < 0.99 * old or value < old_value - 1e-5 * old for old, old_value in points):
            return trial
        if violation < _VIOLATION and value < current[1]:
            return trial
    return trial
