"""The Beta distribution on (0, 1): density, entropy and Kullback-Leibler divergence with first and second derivatives.

Shapes are arrays (d, 2): one pair (a, b) per independent entry. As an exponential family with natural parameters
(a, b), sufficient statistics (ln z, ln(1 - z)) and log-partition A = ln B(a, b), everything follows from A's
derivatives (digamma, trigamma, tetragamma functions); Wainwright and Jordan, Graphical Models, Exponential Families,
and Variational Inference, 2008, section 3. All in double precision and closed form.
"""

from __future__ import annotations

import numpy as np
from scipy.special import betaln, psi, xlog1py, xlogy, zeta

from hardware.arrays import FloatArray


def log_prob(z: FloatArray, shapes: FloatArray) -> FloatArray:
    """Logarithm of the joint density of `z` (..., d), (...); minus infinity outside [0, 1]."""
    a, b = shapes[:, 0], shapes[:, 1]
    inside = (z >= 0.0) & (z <= 1.0)
    safe = np.where(inside, z, 0.5)
    density = xlogy(a - 1.0, safe) + xlog1py(b - 1.0, -safe) - betaln(a, b)
    return np.where(inside.all(axis=-1), density.sum(axis=-1), -np.inf)


def log_partition(shapes: FloatArray) -> float:
    """A = sum of ln B(a, b) over the entries."""
    return float(betaln(shapes[:, 0], shapes[:, 1]).sum())


def mean_statistics(shapes: FloatArray) -> FloatArray:
    """Gradient of A: the expectations of ln z and ln(1 - z), (d, 2)."""
    return psi(shapes) - psi(shapes.sum(axis=1, keepdims=True))


def fisher(shapes: FloatArray) -> FloatArray:
    """Hessian of A: the Fisher information of each entry, (d, 2, 2); entries do not interact."""
    return _pairs(zeta(2.0, shapes), zeta(2.0, shapes.sum(axis=1)))


def fisher_slope(shapes: FloatArray, direction: FloatArray) -> FloatArray:
    """Derivative of the Fisher information along `direction` (d, 2), (d, 2, 2)."""
    # The tetragamma function is -2 zeta(3, x).
    total = zeta(3.0, shapes.sum(axis=1)) * direction.sum(axis=1)
    return -2.0 * _pairs(zeta(3.0, shapes) * direction, total)


def entropy(shapes: FloatArray) -> float:
    """Differential entropy [nat]; 0 for the uniform (a = b = 1), its maximum."""
    return log_partition(shapes) - float(((shapes - 1.0) * mean_statistics(shapes)).sum())


def entropy_gradient(shapes: FloatArray) -> FloatArray:
    """Derivative of the entropy by the shapes, (d, 2)."""
    return -_apply(fisher(shapes), shapes - 1.0)


def entropy_hessian(shapes: FloatArray) -> FloatArray:
    """Second derivative of the entropy, (d, 2, 2)."""
    return -fisher(shapes) - fisher_slope(shapes, shapes - 1.0)


def divergence(first: FloatArray, second: FloatArray) -> float:
    """KL(first || second) [nat]."""
    return log_partition(second) - log_partition(first) - float(((second - first) * mean_statistics(first)).sum())


def divergence_by_first(first: FloatArray, second: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Gradient (d, 2) and Hessian (d, 2, 2) of KL(first || second) by `first`."""
    information, difference = fisher(first), first - second
    return _apply(information, difference), information + fisher_slope(first, difference)


def divergence_by_second(first: FloatArray, second: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Gradient (d, 2) and Hessian (d, 2, 2) of KL(first || second) by `second`, in which it is convex."""
    return mean_statistics(second) - mean_statistics(first), fisher(second)


def shapes_of(mean: float, variance: float) -> tuple[float, float]:
    """The shapes (a, b) with this mean and variance, by the method of moments.

    Raises:
        ValueError: no Beta distribution has them: `variance` must lie in (0, mean (1 - mean)).
    """
    if not 0.0 < variance < mean * (1.0 - mean):
        raise ValueError(f"no Beta distribution has mean {mean:.6g} and variance {variance:.6g}")
    total = mean * (1.0 - mean) / variance - 1.0
    return mean * total, (1.0 - mean) * total


def _pairs(diagonal: FloatArray, common: FloatArray) -> FloatArray:
    """The matrices diag(x, y) - c, (d, 2, 2), of `diagonal` (d, 2) and `common` (d,)."""
    matrices = np.repeat(-common, 4).reshape(-1, 2, 2)
    matrices[:, [0, 1], [0, 1]] += diagonal
    return matrices


def _apply(matrices: FloatArray, vectors: FloatArray) -> FloatArray:
    return np.einsum("dij,dj->di", matrices, vectors)
