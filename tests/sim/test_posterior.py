"""Identified posteriors: densities on bounds against integration, scipy and draws."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from hardware.errors import ConfigError, LimitViolationError, NonFiniteError, UnknownNameError
from sim.dynamics import DynamicsParameter
from sim.randomization.distribution import Distribution
from sim.randomization.posterior import PosteriorDistribution
from sim.randomization.truncated_gaussian import TruncatedGaussian

MASS = DynamicsParameter("link:forearm/mass", "kg", 2.0, 1.0, 5.0)
DELAY = DynamicsParameter("actuator/latency", "s", 0.1, 0.0, 0.5)
NAMES = [DELAY.name, MASS.name]
MEAN = {MASS.name: 4.6, DELAY.name: 0.05}
COVARIANCE = np.array([[0.01, 0.06], [0.06, 1.0]])  # in the order of NAMES


def posterior(widen: float = 1.0) -> PosteriorDistribution:
    return PosteriorDistribution.from_gaussian([MASS, DELAY], MEAN, COVARIANCE, NAMES, widen)


def grid() -> tuple[dict[str, np.ndarray], float]:
    mass, delay = np.linspace(1, 5, 401)[:-1] + 0.005, np.linspace(0, 0.5, 401)[:-1] + 0.000625
    first, second = np.meshgrid(mass, delay)
    return {MASS.name: first.ravel(), DELAY.name: second.ravel()}, 0.01 * 0.00125


def samples() -> dict[str, np.ndarray]:
    return posterior().sample(np.random.default_rng(5), 200)


@pytest.mark.parametrize("kind", ["gaussian", "samples"])
def test_density_integrates_to_one_and_gives_the_entropy(kind: str) -> None:
    distribution: Distribution = (
        posterior() if kind == "gaussian" else PosteriorDistribution.from_samples([MASS, DELAY], samples())
    )
    points, cell = grid()
    log_density = distribution.log_prob(points)
    density = np.exp(log_density)
    assert density.sum() * cell == pytest.approx(1.0, abs=2e-3)
    assert distribution.entropy() == pytest.approx(-(density * log_density).sum() * cell, abs=0.03)
    drawn = distribution.sample(np.random.default_rng(1), 20000)
    for parameter in (MASS, DELAY):
        column, values = drawn[parameter.name], points[parameter.name]
        assert parameter.low <= column.min() and column.max() <= parameter.high
        mean = (density * values).sum() * cell
        assert column.mean() == pytest.approx(mean, abs=5 * column.std() / np.sqrt(20000))
        assert column.var() == pytest.approx((density * (values - mean) ** 2).sum() * cell, rel=0.05)
    outside = {MASS.name: np.array([5.1]), DELAY.name: np.array([0.1])}
    assert distribution.log_prob(outside)[0] == -np.inf


def test_rows_of_the_covariance_belong_to_names() -> None:
    swapped = PosteriorDistribution.from_gaussian([DELAY, MASS], MEAN, COVARIANCE[::-1, ::-1], NAMES[::-1])
    points = samples()
    assert swapped.log_prob(points) == pytest.approx(posterior().log_prob(points), abs=1e-3)
    uncut = stats.multivariate_normal([0.05, 4.6], COVARIANCE)
    difference = posterior().log_prob(points) - uncut.logpdf(np.stack([points[name] for name in NAMES], axis=-1))
    inside = uncut.cdf([0.5, 5.0], lower_limit=[0.0, 1.0])
    assert difference == pytest.approx(np.full(200, -np.log(inside)), abs=1e-3)


def test_far_bounds_cut_nothing_and_close_ones_leave_the_uniform() -> None:
    covariance = np.array([[1.0, 0.5, 0.2], [0.5, 2.0, 0.1], [0.2, 0.1, 0.5]])
    wide = TruncatedGaussian(np.zeros(3), covariance, np.full(3, -40.0), np.full(3, 40.0))
    assert wide.entropy() == pytest.approx(stats.multivariate_normal(np.zeros(3), covariance).entropy(), abs=2e-3)
    assert np.cov(wide.sample(np.random.default_rng(0), 40000).T) == pytest.approx(covariance, abs=0.06)
    close = TruncatedGaussian(np.zeros(17), 100.0 * np.eye(17), np.full(17, -1.0), np.full(17, 1.0))
    assert close.entropy() == pytest.approx(17 * np.log(2.0), abs=1e-2)
    drawn = close.sample(np.random.default_rng(0), 5000)
    assert drawn.std(axis=0) == pytest.approx(np.full(17, 2 / np.sqrt(12)), rel=0.05)


def test_widening_and_learning() -> None:
    assert posterior(2.0).entropy() > posterior().entropy()
    assert posterior().update(samples(), np.zeros(200)) == {}
    same = [posterior().sample(np.random.default_rng(3), 5)[MASS.name] for _ in range(2)]
    assert np.array_equal(*same)


def test_equal_samples_are_a_narrow_peak() -> None:
    peak = PosteriorDistribution.from_samples([MASS], {MASS.name: np.full(3, 2.5)})
    assert peak.sample(np.random.default_rng(0), 100)[MASS.name] == pytest.approx(np.full(100, 2.5), abs=1e-4)


def test_bad_input_is_refused() -> None:
    make = PosteriorDistribution.from_gaussian
    with pytest.raises(LimitViolationError, match=r"link:forearm/mass.*7.*\[1, 5\]"):
        make([MASS, DELAY], {**MEAN, MASS.name: 7.0}, COVARIANCE, NAMES)
    with pytest.raises(UnknownNameError, match="Did you mean 'link:forearm/mass'"):
        make([MASS, DELAY], {**MEAN, "link:foream/mass": 2.0}, COVARIANCE, NAMES)
    with pytest.raises(UnknownNameError, match="among those identified 'actuator/latency'"):
        make([MASS, DELAY], {MASS.name: 2.0}, COVARIANCE, NAMES)
    with pytest.raises(ConfigError, match="does not fit the 2 names"):
        make([MASS, DELAY], MEAN, np.eye(3), NAMES)
    with pytest.raises(ConfigError, match="positive definite"):
        make([MASS, DELAY], MEAN, -COVARIANCE, NAMES)
    with pytest.raises(ConfigError, match="symmetric"):
        make([MASS, DELAY], MEAN, np.array([[1.0, 0.5], [0.0, 1.0]]), NAMES)
    with pytest.raises(ConfigError, match="widen"):
        posterior(0.0)
    with pytest.raises(ConfigError, match="leave it out"):
        make([DynamicsParameter("a", "1", 1.0, 1.0, 1.0)], {"a": 1.0}, np.eye(1), ["a"])
    with pytest.raises(ConfigError, match="two samples"):
        PosteriorDistribution.from_samples([MASS], {MASS.name: np.ones(1)})
    with pytest.raises(LimitViolationError, match="mass"):
        PosteriorDistribution.from_samples([MASS], {MASS.name: np.array([1.0, 6.0])})
    with pytest.raises(NonFiniteError, match="mass"):
        PosteriorDistribution.from_samples([MASS], {MASS.name: np.array([1.0, np.nan])})
    far = TruncatedGaussian(np.full(2, -60.0), np.eye(2), np.zeros(2), np.ones(2))
    with pytest.raises(ConfigError, match="next to no probability"):
        far.sample(np.random.default_rng(0), 1)
