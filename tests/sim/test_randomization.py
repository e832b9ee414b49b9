"""Distributions over dynamics parameters: bounds, densities, entropies."""

from __future__ import annotations

import math

import numpy as np
import pytest

from hardware.errors import ConfigError, UnknownNameError
from sim.dynamics import DynamicsParameter
from sim.randomization.distribution import Distribution
from sim.randomization.fixed import FixedDistribution
from sim.randomization.uniform import UniformDistribution

MASS = DynamicsParameter("link:forearm/mass", "kg", 2.0, 1.0, 5.0)
DELAY = DynamicsParameter("actuator/latency", "s", 0.0, 0.0, 0.5)
CONSTANT = DynamicsParameter("contact/friction", "1", 1.0, 1.0, 1.0)


def test_uniform_draws_fill_the_bounds_independently() -> None:
    uniform: Distribution = UniformDistribution([MASS, DELAY])
    drawn = uniform.sample(np.random.default_rng(0), 4000)
    mass, delay = drawn[MASS.name], drawn[DELAY.name]
    assert mass.shape == (4000,)
    assert 1.0 <= mass.min() < 1.01 and 4.99 < mass.max() <= 5.0
    assert delay.min() >= 0.0 and delay.max() <= 0.5
    # Standard error of a uniform mean: width / sqrt(12 n).
    assert abs(mass.mean() - 3.0) < 4.0 * 4.0 / math.sqrt(12 * 4000)
    assert abs(np.corrcoef(mass, delay)[0, 1]) < 4.0 / math.sqrt(4000)


def test_the_same_seed_draws_the_same() -> None:
    uniform = UniformDistribution([MASS, DELAY])
    first, second = (uniform.sample(np.random.default_rng(3), 5) for _ in range(2))
    assert all(np.array_equal(first[name], second[name]) for name in first)


def test_the_density_of_the_uniform_integrates_to_one() -> None:
    uniform = UniformDistribution([MASS, DELAY, CONSTANT])
    values = {MASS.name: np.array([1.0, 3.0, 5.1]), DELAY.name: np.array([0.5, 0.1, 0.1]), CONSTANT.name: np.ones(3)}
    density = np.exp(uniform.log_prob(values))
    assert density[:2] * (4.0 * 0.5) == pytest.approx([1.0, 1.0])
    assert density[2] == 0.0
    assert uniform.entropy() == pytest.approx(math.log(4.0) + math.log(0.5))


def test_width_shrinks_towards_the_nominal_value() -> None:
    drawn = UniformDistribution([MASS], width=0.5).sample(np.random.default_rng(0), 2000)[MASS.name]
    assert 1.5 <= drawn.min() < 1.51 and 3.49 < drawn.max() <= 3.5
    assert np.array_equal(UniformDistribution([MASS], width=0.0).sample(np.random.default_rng(0), 2)[MASS.name], [2, 2])
    with pytest.raises(ValueError, match="width"):
        UniformDistribution([MASS], width=1.5)


def test_fixed_is_a_point() -> None:
    fixed: Distribution = FixedDistribution([MASS, DELAY], {DELAY.name: 0.2})
    drawn = fixed.sample(np.random.default_rng(0), 3)
    assert drawn[MASS.name].tolist() == [2.0, 2.0, 2.0]
    assert drawn[DELAY.name].tolist() == [0.2, 0.2, 0.2]
    assert fixed.log_prob(drawn).tolist() == [0.0, 0.0, 0.0]
    assert fixed.log_prob({MASS.name: np.array([2.1]), DELAY.name: np.array([0.2])})[0] == -np.inf
    assert fixed.entropy() == -np.inf
    assert fixed.update(drawn, np.zeros(3)) == {}


def test_names_are_checked() -> None:
    with pytest.raises(UnknownNameError, match=r"link:foream/mass.*Did you mean 'link:forearm/mass'"):
        FixedDistribution([MASS], {"link:foream/mass": 1.0})
    with pytest.raises(UnknownNameError, match="actuator/latency"):
        UniformDistribution([MASS, DELAY]).log_prob({MASS.name: np.ones(1)})


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ([DynamicsParameter("a", "1", 1.0, 2.0, 0.5)], "does not hold"),
        ([DynamicsParameter("a", "1", 3.0, 0.0, 2.0)], "does not hold"),
        ([DynamicsParameter("a", "1", 1.0, 0.0, math.inf)], "finite"),
        ([MASS, MASS], "twice"),
    ],
)
def test_unsound_parameters_are_refused(parameters: list[DynamicsParameter], message: str) -> None:
    for kind in (UniformDistribution, FixedDistribution):
        with pytest.raises(ConfigError, match=message):
            kind(parameters)
