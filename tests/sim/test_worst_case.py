"""Worst cases: the search finds them, keeps them, and its density is one."""

from __future__ import annotations

import json

import numpy as np
import pytest

from hardware.errors import CheckpointError, ConfigError, LimitViolationError, NonFiniteError, UnknownNameError
from sim.dynamics import DynamicsParameter
from sim.randomization.distribution import Distribution, Resumable
from sim.randomization.worst_case import WorstCaseConfig, WorstCaseDistribution

MASS = DynamicsParameter("link:forearm/mass", "kg", 3.0, 1.0, 5.0)
DELAY = DynamicsParameter("actuator/latency", "s", 0.1, 0.0, 0.5)
CONSTANT = DynamicsParameter("contact/friction", "1", 1.0, 1.0, 1.0)


def fixed_policy(values: dict[str, np.ndarray]) -> np.ndarray:
    """Worst at 4.5 kg and 0.35 s."""
    return np.abs(values[MASS.name] - 4.5) / 4.0 + np.abs(values[DELAY.name] - 0.35) / 0.5


def searched(worst: WorstCaseDistribution, updates: int, count: int = 200) -> WorstCaseDistribution:
    for seed in range(updates):
        values = worst.sample(np.random.default_rng(seed), count)
        worst.update(values, fixed_policy(values))
    return worst


def test_a_search_finds_the_worst_dynamics_inside_the_bounds() -> None:
    worst = searched(WorstCaseDistribution([MASS, DELAY, CONSTANT]), 8)
    cases = worst.cases
    assert [cases[MASS.name][0], cases[DELAY.name][0]] == [3.0, 0.1]
    assert cases[MASS.name][1] == pytest.approx(4.5, abs=0.1)
    assert cases[DELAY.name][1] == pytest.approx(0.35, abs=0.0125)
    assert (cases[CONSTANT.name] == 1.0).all()


def test_a_worst_case_in_a_corner_is_found() -> None:
    worst = WorstCaseDistribution([MASS, DELAY])
    for seed in range(8):
        values = worst.sample(np.random.default_rng(seed), 200)
        worst.update(values, -values[MASS.name] - 8.0 * values[DELAY.name])
    assert worst.cases[MASS.name][1] > 4.8 and worst.cases[DELAY.name][1] > 0.47


def test_another_policy_adds_another_case_and_the_oldest_leaves() -> None:
    worst = WorstCaseDistribution([MASS, DELAY], WorstCaseConfig(cases=3, search_updates=6))
    for centre in (1.5, 4.5, 2.5):
        for seed in range(6):
            values = worst.sample(np.random.default_rng(seed), 300)
            logged = worst.update(values, np.abs(values[MASS.name] - centre))
    assert worst.cases[MASS.name] == pytest.approx([3.0, 4.5, 2.5], abs=0.15)
    assert logged["cases"] == 3.0


def test_draws_are_cases_and_candidates() -> None:
    worst = searched(WorstCaseDistribution([MASS, DELAY]), 8)
    drawn = worst.sample(np.random.default_rng(0), 4000)
    near = [
        (np.abs(drawn[MASS.name] - mass) < 0.3) & (np.abs(drawn[DELAY.name] - delay) < 0.04)
        for mass, delay in zip(worst.cases[MASS.name], worst.cases[DELAY.name], strict=True)
    ]
    # A quarter each, and the few candidates that happen to lie there.
    assert np.mean(near, axis=1) == pytest.approx([0.26, 0.26], abs=0.03)
    assert drawn[MASS.name].min() >= 1.0 and drawn[MASS.name].max() <= 5.0


def test_density_integrates_to_one_and_gives_the_entropy() -> None:
    distribution: Distribution = searched(WorstCaseDistribution([MASS, DELAY]), 9)
    mass, delay = np.linspace(1, 5, 601)[:-1] + 2 / 600, np.linspace(0, 0.5, 601)[:-1] + 0.25 / 600
    first, second = np.meshgrid(mass, delay)
    log_density = distribution.log_prob({MASS.name: first.ravel(), DELAY.name: second.ravel()})
    cell = (4.0 / 600) * (0.5 / 600)
    assert np.exp(log_density).sum() * cell == pytest.approx(1.0, abs=2e-3)
    expected = -(np.exp(log_density) * log_density).sum() * cell
    assert distribution.entropy() == pytest.approx(expected, abs=0.06)
    outside = {MASS.name: np.array([0.5]), DELAY.name: np.array([0.1])}
    assert distribution.log_prob(outside)[0] == -np.inf


def test_equal_returns_say_nothing() -> None:
    worst = WorstCaseDistribution([MASS, DELAY])
    before = worst.state()
    logged = worst.update(worst.sample(np.random.default_rng(0), 50), np.ones(50))
    assert {**worst.state(), "age": 0} == before
    assert logged["search_deviation"] == pytest.approx(0.5)


def test_one_episode_is_enough_to_go_on() -> None:
    worst = WorstCaseDistribution([MASS])
    logged = worst.update({MASS.name: np.array([4.0])}, np.array([1.0]))
    assert logged["worst_return"] == 1.0
    assert np.isfinite(worst.entropy())


def test_saved_in_json_it_continues_bit_for_bit() -> None:
    first, second = searched(WorstCaseDistribution([MASS, DELAY]), 11), WorstCaseDistribution([MASS, DELAY])
    assert isinstance(first, Resumable)
    second.restore(json.loads(json.dumps(first.state())))
    rng = np.random.default_rng(0)
    for _ in range(8):
        values = first.sample(rng, 50)
        assert first.update(values, fixed_policy(values)) == second.update(values, fixed_policy(values))
    assert first.state() == second.state()
    with pytest.raises(CheckpointError, match="parameters"):
        WorstCaseDistribution([MASS]).restore(first.state())
    with pytest.raises(CheckpointError, match="damaged"):
        first.restore({**second.state(), "centre": [0.5]})


def test_bad_input_is_refused() -> None:
    worst = WorstCaseDistribution([MASS, DELAY])
    good = worst.sample(np.random.default_rng(0), 2)
    with pytest.raises(ConfigError, match="no episode"):
        worst.update({name: values[:0] for name, values in good.items()}, np.zeros(0))
    with pytest.raises(UnknownNameError, match="actuator/latency"):
        worst.update({MASS.name: good[MASS.name]}, np.zeros(2))
    with pytest.raises(LimitViolationError, match="mass"):
        worst.update({**good, MASS.name: np.full(2, 9.0)}, np.zeros(2))
    with pytest.raises(NonFiniteError, match="return"):
        worst.update(good, np.array([np.nan, 0.0]))
    with pytest.raises(ConfigError, match="room"):
        WorstCaseDistribution([CONSTANT])
    bad = {"search_share": 0.0, "search_updates": 0, "elite_share": 1.0, "cases": 1, "case_deviation": 0.0}
    for name, value in {**bad, "start_deviation": 0.0}.items():
        with pytest.raises(ConfigError, match=name):
            WorstCaseConfig(**{name: value})
