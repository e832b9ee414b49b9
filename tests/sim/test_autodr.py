"""AutoDR: edges that follow returns."""

from __future__ import annotations

import json

import numpy as np
import pytest

from hardware.errors import CheckpointError, ConfigError, LimitViolationError, UnknownNameError
from sim.dynamics import DynamicsParameter
from sim.randomization.autodr import AutoDrConfig, AutoDrDistribution
from sim.randomization.distribution import Distribution, Resumable

MASS = DynamicsParameter("link:forearm/mass", "kg", 2.0, 1.0, 5.0)
DELAY = DynamicsParameter("actuator/latency", "s", 0.0, 0.0, 0.5)
CONSTANT = DynamicsParameter("contact/friction", "1", 1.0, 1.0, 1.0)
CONFIG = AutoDrConfig(low_return=0.2, high_return=0.8, episodes=5, step=0.1)


def at(mass: float, delay: float, count: int = 5) -> dict[str, np.ndarray]:
    return {MASS.name: np.full(count, mass), DELAY.name: np.full(count, delay)}


def test_it_starts_at_the_nominal_values() -> None:
    autodr: Distribution = AutoDrDistribution([MASS, DELAY, CONSTANT], CONFIG)
    drawn = autodr.sample(np.random.default_rng(0), 10)
    assert (drawn[MASS.name] == 2.0).all() and (drawn[DELAY.name] == 0.0).all() and (drawn[CONSTANT.name] == 1.0).all()
    assert autodr.entropy() == -np.inf
    assert autodr.log_prob(drawn).tolist() == [0.0] * 10


def test_edges_move_by_one_step_out_in_or_not_at_all() -> None:
    autodr = AutoDrDistribution([MASS, DELAY], CONFIG)
    logged = autodr.update(at(2.0, 0.0), np.ones(5))
    # The latency's lower edge is already on its bound.
    assert autodr.ranges == {MASS.name: pytest.approx((1.6, 2.4)), DELAY.name: pytest.approx((0.0, 0.05))}
    assert logged["moved_out"] == 3.0 and logged["width"] == pytest.approx((0.2 + 0.1) / 2)
    assert autodr.entropy() == pytest.approx(np.log(0.8) + np.log(0.05))
    high = autodr.ranges[MASS.name][1]
    assert autodr.update(at(high, 0.02), np.full(5, 0.5))["moved_in"] == 0.0
    assert autodr.ranges[MASS.name][1] == high
    assert autodr.update(at(high, 0.02), np.zeros(5))["moved_in"] == 1.0
    assert autodr.ranges[MASS.name] == pytest.approx((1.6, 2.0))
    # Further in than the nominal value it cannot go.
    autodr.update(at(autodr.ranges[MASS.name][1], 0.02), np.zeros(5))
    assert autodr.ranges[MASS.name][1] == 2.0


def test_only_enough_episodes_on_the_present_edge_count() -> None:
    autodr = AutoDrDistribution([MASS, DELAY], CONFIG)
    autodr.update(at(2.0, 0.0), np.ones(5))
    ranges = autodr.ranges
    autodr.update(at(2.0, 0.02, 50), np.ones(50))  # inside
    autodr.update(at(2.1, 0.5, 50), np.ones(50))  # where no edge is
    autodr.update(at(ranges[MASS.name][0], 0.02, 4), np.ones(4))  # too few
    assert autodr.ranges == ranges
    autodr.update(at(ranges[MASS.name][0], 0.02, 1), np.ones(1))
    assert autodr.ranges[MASS.name] == pytest.approx((1.2, 2.4))


def test_draws_probe_edges_as_often_as_asked() -> None:
    autodr = AutoDrDistribution([MASS, DELAY], CONFIG)
    autodr.update(at(2.0, 0.0), np.ones(5))
    drawn = autodr.sample(np.random.default_rng(0), 8000)
    (low, high), (_, late) = autodr.ranges[MASS.name], autodr.ranges[DELAY.name]
    on = [drawn[MASS.name] == low, drawn[MASS.name] == high, drawn[DELAY.name] == 0.0, drawn[DELAY.name] == late]
    shares = [np.mean(hits) for hits in on]
    assert shares == pytest.approx([0.125] * 4, abs=4 * np.sqrt(0.125 * 0.875 / 8000))
    assert np.sum(on, axis=0).max() == 1
    density = np.exp(autodr.log_prob({MASS.name: np.array([2.0, 3.0]), DELAY.name: np.array([0.01, 0.01])}))
    assert density == pytest.approx([1.0 / (0.8 * 0.05), 0.0])


def test_it_grows_to_where_the_policy_fails() -> None:
    autodr = AutoDrDistribution([MASS], AutoDrConfig(low_return=0.2, high_return=0.8, step=0.05))
    rng = np.random.default_rng(0)
    for _ in range(40):
        values = autodr.sample(rng, 200)
        autodr.update(values, (values[MASS.name] < 3.5).astype(float))
    low, high = autodr.ranges[MASS.name]
    assert low == 1.0  # the bound
    assert 3.3 <= high <= 3.7


def test_saved_in_json_it_continues_exactly() -> None:
    first, second = AutoDrDistribution([MASS, DELAY], CONFIG), AutoDrDistribution([MASS, DELAY], CONFIG)
    assert isinstance(first, Resumable)
    rng = np.random.default_rng(0)
    for _ in range(3):
        values = first.sample(rng, 13)
        first.update(values, rng.random(13))
    second.restore(json.loads(json.dumps(first.state())))
    for _ in range(5):
        values, returns = first.sample(rng, 13), rng.random(13)
        assert first.update(values, returns) == second.update(values, returns)
    assert first.ranges == second.ranges
    with pytest.raises(CheckpointError, match="latency"):
        AutoDrDistribution([MASS], CONFIG).restore(first.state())
    with pytest.raises(CheckpointError, match="damaged"):
        first.restore({**second.state(), "edges": []})


def test_bad_input_is_refused() -> None:
    autodr = AutoDrDistribution([MASS, DELAY], CONFIG)
    with pytest.raises(ConfigError, match="no episode"):
        autodr.update(at(2.0, 0.0, 0), np.zeros(0))
    with pytest.raises(UnknownNameError, match="actuator/latency"):
        autodr.update({MASS.name: np.zeros(1)}, np.zeros(1))
    with pytest.raises(LimitViolationError, match="mass"):
        autodr.update(at(7.0, 0.0), np.zeros(5))
    with pytest.raises(ConfigError, match="room"):
        AutoDrDistribution([CONSTANT], CONFIG)
    for settings, message in (
        ({"low_return": 1.0, "high_return": 0.0}, "low_return"),
        ({"edge_probability": 0.0}, "edge_probability"),
        ({"episodes": 0}, "episodes"),
        ({"step": 2.0}, "step"),
    ):
        with pytest.raises(ConfigError, match=message):
            AutoDrConfig(**{"low_return": 0.0, "high_return": 1.0, **settings})
