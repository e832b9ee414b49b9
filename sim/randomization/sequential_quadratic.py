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
LARGEST_VIOLATION = 2.0
"""No point is visited that violates the constraints by more than this, or by more than the start."""
_VIOLATION = 1e-7
_OPTIMALITY = 1e-8
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

    Objective and constraints should be scaled so that changes and violations of 1 are large.
    """
    x = np.clip(start, low, high)
    best = (np.inf, np.inf, x)
    visited: list[tuple[float, float]] = []
    radius = STEP_LIMIT
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
        step, multipliers = _quadratic_step(
            gradient, hessian, parts, np.maximum(low - x, -radius), np.minimum(high - x, radius)
        )
        decrease = -float(gradient @ step)
        converged = violation < _VIOLATION and abs(decrease) < _OPTIMALITY
        if not converged:
            visited.append((violation, value))
            share = _accepted_share(objective, constraints, x, step, visited)
            if share == 0.0:  # Start again from the best point with smaller steps.
                x, radius, visited = best[2], 0.25 * radius, []
            else:
                # The quadratic programme keeps bounds only to its own tolerance.
                x, radius = np.clip(x + share * step, low, high), min(2.0 * radius, STEP_LIMIT)
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
    lower = np.concatenate([low, -values])
    upper = np.concatenate([high, np.full(len(values), _INFINITY)])
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


def _accepted_share(
    objective: SmoothFunction,
    constraints: Sequence[SmoothFunction],
    x: FloatArray,
    step: FloatArray,
    visited: Sequence[tuple[float, float]],
) -> float:
    """The first share of `step` that improves violation or objective on every point visited; 0 if there is none."""
    largest = max(LARGEST_VIOLATION, visited[0][0])
    for halving in range(8):
        trial = x + 0.5**halving * step
        violation = sum(max(0.0, -constraint.value(trial)) for constraint in constraints)
        if not violation <= largest:
            continue
        value = objective.value(trial)
        improves = all(violation < 0.99 * old or value < old_value - 1e-5 * old for old, old_value in visited)
        if improves or (violation < _VIOLATION and value < visited[-1][1]):
            return 0.5**halving
    return 0.0
