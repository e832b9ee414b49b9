"""Beta distributions: against numerical integration, finite differences and closed cases."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from scipy import integrate, stats

from sim.randomization import beta

SHAPES = np.array([[1.0, 1.0], [1.3, 4.0], [30.0, 12.0], [210.0, 200.0]])
OTHERS = np.array([[1.5, 1.1], [2.0, 3.0], [25.0, 12.5], [190.0, 205.0]])


def integral(function: Callable[[float], float], shape: np.ndarray) -> float:
    """Integral over the unit interval, split where the mass is."""
    a, b = shape
    centre, width = a / (a + b), np.sqrt(a * b / (a + b + 1.0)) / (a + b)
    points = np.clip([centre - 8 * width, centre, centre + 8 * width], 1e-9, 1 - 1e-9)
    edges = [0.0, *points, 1.0]
    return sum(integrate.quad(function, low, high, epsabs=1e-13, limit=200)[0] for low, high in pairwise(edges))


def density(z: float, shape: np.ndarray) -> float:
    return float(np.exp(beta.log_prob(np.array([z]), shape[None])))


def differences(function: Callable[[np.ndarray], np.ndarray | float], at: np.ndarray) -> np.ndarray:
    """Central differences by every shape, the shapes' axes last."""
    columns = []
    for index in np.ndindex(at.shape):
        step = np.zeros_like(at)
        step[index] = 1e-5 * at[index]
        columns.append((np.asarray(function(at + step)) - np.asarray(function(at - step))) / (2.0 * step[index]))
    return np.stack(columns, axis=-1).reshape(*columns[0].shape, *at.shape)


@pytest.mark.parametrize("shape", SHAPES)
def test_density_integrates_to_one_and_equals_scipy(shape: np.ndarray) -> None:
    assert integral(lambda z: density(z, shape), shape) == pytest.approx(1.0, abs=1e-9)
    assert density(0.3, shape) == pytest.approx(stats.beta(*shape).pdf(0.3), rel=1e-10)


@pytest.mark.parametrize("shape", SHAPES)
def test_entropy_equals_its_integral(shape: np.ndarray) -> None:
    def integrand(z: float) -> float:
        value = density(z, shape)
        return -value * np.log(value) if value > 0.0 else 0.0

    assert beta.entropy(shape[None]) == pytest.approx(integral(integrand, shape), abs=1e-8)


@pytest.mark.parametrize(("first", "second"), list(zip(SHAPES, OTHERS, strict=True)))
def test_divergence_equals_its_integral(first: np.ndarray, second: np.ndarray) -> None:
    for one, other in ((first, second), (second, first)):
        expected = integral(
            lambda z, one=one, other=other: (
                density(z, one) * (stats.beta(*one).logpdf(z) - stats.beta(*other).logpdf(z)) if 0.0 < z < 1.0 else 0.0
            ),
            one,
        )
        assert beta.divergence(one[None], other[None]) == pytest.approx(expected, abs=1e-7)
    assert beta.divergence(first[None], first[None]) == pytest.approx(0.0, abs=1e-12)


def test_entries_are_independent() -> None:
    z = np.array([[0.2, 0.4, 0.6, 0.5], [0.1, 0.1, 0.7, 0.49]])
    single = [beta.log_prob(z[:, [i]], SHAPES[[i]]) for i in range(4)]
    assert beta.log_prob(z, SHAPES) == pytest.approx(np.sum(single, axis=0))
    assert beta.entropy(SHAPES) == pytest.approx(sum(beta.entropy(SHAPES[[i]]) for i in range(4)))
    pairs = [beta.divergence(SHAPES[[i]], OTHERS[[i]]) for i in range(4)]
    assert beta.divergence(SHAPES, OTHERS) == pytest.approx(sum(pairs))


def test_the_uniform_has_density_one_and_the_largest_entropy() -> None:
    uniform = np.ones((1, 2))
    assert beta.log_prob(np.array([[0.0], [0.3], [1.0]]), uniform) == pytest.approx([0.0, 0.0, 0.0])
    assert beta.entropy(uniform) == pytest.approx(0.0, abs=1e-12)
    assert beta.entropy_gradient(uniform) == pytest.approx(np.zeros((1, 2)), abs=1e-12)
    assert np.linalg.eigvalsh(beta.entropy_hessian(uniform)[0]).max() < 0.0


def test_nothing_lies_outside_the_unit_interval() -> None:
    assert (beta.log_prob(np.array([[-0.01], [1.01]]), SHAPES[[1]]) == -np.inf).all()
    assert beta.log_prob(np.array([[0.0]]), SHAPES[[1]])[0] == -np.inf


def test_derivatives_equal_finite_differences() -> None:
    close = {"rel": 2e-5, "abs": 1e-8}
    assert beta.mean_statistics(SHAPES) == pytest.approx(differences(beta.log_partition, SHAPES), **close)
    assert beta.entropy_gradient(SHAPES) == pytest.approx(differences(beta.entropy, SHAPES), **close)
    by_first, first_hessian = beta.divergence_by_first(SHAPES, OTHERS)
    assert by_first == pytest.approx(differences(lambda x: beta.divergence(x, OTHERS), SHAPES), **close)
    by_second, second_hessian = beta.divergence_by_second(SHAPES, OTHERS)
    assert by_second == pytest.approx(differences(lambda x: beta.divergence(SHAPES, x), OTHERS), **close)
    cases = [
        (beta.fisher(SHAPES), beta.mean_statistics, SHAPES),
        (beta.entropy_hessian(SHAPES), beta.entropy_gradient, SHAPES),
        (first_hessian, lambda x: beta.divergence_by_first(x, OTHERS)[0], SHAPES),
        (second_hessian, lambda x: beta.divergence_by_second(SHAPES, x)[0], OTHERS),
    ]
    for hessian, gradient, at in cases:
        full = differences(gradient, at)
        for entry in range(4):
            assert hessian[entry] == pytest.approx(full[entry, :, entry, :], **close)
            assert np.delete(full[entry], entry, axis=1) == pytest.approx(np.zeros((2, 3, 2)), abs=1e-8)
    direction = OTHERS - SHAPES
    slope = (beta.fisher(SHAPES + 1e-5 * direction) - beta.fisher(SHAPES - 1e-5 * direction)) / 2e-5
    assert beta.fisher_slope(SHAPES, direction) == pytest.approx(slope, **close)


def test_shapes_from_mean_and_variance() -> None:
    assert beta.shapes_of(0.5, 1.0 / (4.0 * 201.0)) == pytest.approx((100.0, 100.0))
    a, b = beta.shapes_of(0.2, 0.01)
    assert stats.beta(a, b).stats() == pytest.approx((0.2, 0.01))
    with pytest.raises(ValueError, match="no Beta distribution"):
        beta.shapes_of(0.5, 0.25)
