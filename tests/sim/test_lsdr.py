"""LSDR: follows returns, widens without them, keeps to bounds."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy import stats

from hardware.errors import CheckpointError, ConfigError, LimitViolationError, NonFiniteError, UnknownNameError
from sim.dynamics import DynamicsParameter
from sim.randomization.distribution import Distribution, Resumable
from sim.randomization.lsdr import LsdrConfig, LsdrDistribution

MASS = DynamicsParameter("link:forearm/mass", "kg", 3.0, 1.0, 5.0)
DELAY = DynamicsParameter("actuator/latency", "s", 0.1, 0.0, 0.5)
CONSTANT = DynamicsParameter("contact/friction", "1", 1.0, 1.0, 1.0)


def test_start_density_and_entropy() -> None:
    lsdr: Distribution = LsdrDistribution([MASS, DELAY, CONSTANT])
    mass = stats.truncnorm(-5.0, 5.0, 3.0, 0.4)
    delay = stats.truncnorm(-2.0, 8.0, 0.1, 0.05)
    values = {MASS.name: np.array([2.9, 2.9]), DELAY.name: np.array([0.08, 0.6]), CONSTANT.name: np.ones(2)}
    assert lsdr.log_prob(values) == pytest.approx([mass.logpdf(2.9) + delay.logpdf(0.08), -np.inf], abs=1e-3)
    assert lsdr.entropy() == pytest.approx(mass.entropy() + delay.entropy(), abs=2e-3)
    drawn = lsdr.sample(np.random.default_rng(0), 4000)
    assert (drawn[CONSTANT.name] == 1.0).all()
    assert stats.kstest(drawn[DELAY.name], delay.cdf).pvalue > 1e-3


def test_without_a_difference_in_returns_it_becomes_the_uniform() -> None:
    lsdr = LsdrDistribution([MASS, DELAY])
    entropies = []
    for seed in range(60):
        values = lsdr.sample(np.random.default_rng(seed), 100)
        entropies.append(lsdr.update(values, np.ones(100))["entropy"])
    assert np.diff(entropies[:20]).min() > 0.0
    assert entropies[-1] == pytest.approx(np.log(4.0) + np.log(0.5), abs=0.02)


def test_it_follows_returns_where_the_weight_is_small() -> None:
    lsdr = LsdrDistribution([MASS, DELAY], LsdrConfig(weight=1e-4))
    for seed in range(60):
        values = lsdr.sample(np.random.default_rng(seed), 200)
        lsdr.update(values, -np.abs(values[MASS.name] - 4.0) - 8.0 * np.abs(values[DELAY.name] - 0.3))
    assert lsdr.mean == pytest.approx({MASS.name: 4.0, DELAY.name: 0.3}, rel=0.05)
    assert lsdr.sample(np.random.default_rng(0), 500)[MASS.name].std() < 0.4


def test_correlated_returns_give_a_correlated_distribution() -> None:
    lsdr = LsdrDistribution([MASS, DELAY], LsdrConfig(weight=0.02))
    for seed in range(40):
        values = lsdr.sample(np.random.default_rng(seed), 300)
        mass, delay = (values[MASS.name] - 1.0) / 4.0, values[DELAY.name] / 0.5
        lsdr.update(values, -np.abs(mass + delay - 1.0))
    drawn = lsdr.sample(np.random.default_rng(0), 2000)
    assert np.corrcoef(drawn[MASS.name], drawn[DELAY.name])[0, 1] < -0.6


def test_the_step_is_the_gradient_of_the_objective() -> None:
    """With a tiny step the objective rises at the rate of the natural gradient's squared length."""
    weight, rate = 0.3, 1e-3

    def objective(at: LsdrDistribution) -> float:
        grid = np.linspace(0.0, 1.0, 4001)[:-1] + 0.5 / 4000
        log_density = at.log_prob({"a": grid})
        return float(np.mean(np.exp(log_density) * grid**2) + weight * np.mean(log_density))

    lsdr = LsdrDistribution([DynamicsParameter("a", "1", 0.4, 0.0, 1.0)], LsdrConfig(weight, rate, 10.0, 0.3))
    before = objective(lsdr)
    values = lsdr.sample(np.random.default_rng(0), 200_000)
    logged = lsdr.update(values, values["a"] ** 2)
    # divergence = rate^2 |gradient|^2 / 2, rise = rate |gradient|^2.
    assert objective(lsdr) - before == pytest.approx(2.0 * logged["divergence"] / rate, rel=0.05)


def test_steps_are_bounded_whatever_the_scale_of_returns() -> None:
    lsdr = LsdrDistribution([MASS, DELAY], LsdrConfig(step_divergence=0.05))
    values = lsdr.sample(np.random.default_rng(0), 50)
    logged = lsdr.update(values, 1e6 * values[MASS.name])
    assert logged["divergence"] == pytest.approx(0.05)
    assert logged["mean_return"] == pytest.approx(1e6 * values[MASS.name].mean())
    for seed in range(80):
        values = lsdr.sample(np.random.default_rng(seed), 50)
        lsdr.update(values, 1e6 * values[MASS.name])
    assert lsdr.mean[MASS.name] == pytest.approx(5.0, abs=0.2)
    drawn = lsdr.sample(np.random.default_rng(0), 100)
    assert np.isfinite(lsdr.entropy()) and drawn[MASS.name].max() <= 5.0


def test_saved_in_json_it_continues_bit_for_bit() -> None:
    first, second = LsdrDistribution([MASS, DELAY, CONSTANT]), LsdrDistribution([MASS, DELAY, CONSTANT])
    assert isinstance(first, Resumable)
    rng = np.random.default_rng(0)
    for _ in range(3):
        values = first.sample(rng, 30)
        first.update(values, values[MASS.name])
    second.restore(json.loads(json.dumps(first.state())))
    for _ in range(3):
        values = first.sample(rng, 30)
        assert first.update(values, values[MASS.name]) == second.update(values, values[MASS.name])
    assert first.state() == second.state()
    with pytest.raises(CheckpointError, match="parameters"):
        LsdrDistribution([MASS]).restore(first.state())
    with pytest.raises(CheckpointError, match="damaged"):
        first.restore({**second.state(), "mean": [0.5]})


def test_bad_input_is_refused() -> None:
    lsdr = LsdrDistribution([MASS, DELAY])
    good = lsdr.sample(np.random.default_rng(0), 2)
    with pytest.raises(ConfigError, match="no episode"):
        lsdr.update({name: values[:0] for name, values in good.items()}, np.zeros(0))
    with pytest.raises(UnknownNameError, match="actuator/latency"):
        lsdr.update({MASS.name: good[MASS.name]}, np.zeros(2))
    with pytest.raises(LimitViolationError, match="mass"):
        lsdr.update({**good, MASS.name: np.full(2, 9.0)}, np.zeros(2))
    with pytest.raises(NonFiniteError, match="return"):
        lsdr.update(good, np.array([np.inf, 0.0]))
    with pytest.raises(ConfigError, match="room"):
        LsdrDistribution([CONSTANT])
    for settings in ({"weight": -1.0}, {"learning_rate": 0.0}, {"step_divergence": 0.0}, {"start_deviation": 0.0}):
        with pytest.raises(ConfigError, match=next(iter(settings))):
            LsdrConfig(**settings)
