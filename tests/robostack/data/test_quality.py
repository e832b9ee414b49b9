"""Quality of demonstrations whose quality is known."""

from __future__ import annotations

import numpy as np
import pytest
from dataset_samples import NUMBERS, record
from hypothesis import given
from hypothesis import strategies as st

from hardware.errors import ConfigError
from robostack.data.dataset import Dataset
from robostack.data.features import STATE, SUCCESS, Feature, vector_feature
from robostack.data.quality import (
    Compatibility,
    CompatibilityConfig,
    Trajectory,
    dataset_quality,
    report,
    return_weights,
    trajectories,
)
from robostack.data.writer import DatasetWriter


def go_to_zero(seed, gain=1.0, count=60, noise=0.02, shift=0.0, value=1.0):
    """A person who pushes a point towards zero: u = -gain x."""
    rng = np.random.default_rng(seed)
    x, states, actions = rng.uniform(-1, 1, 2) + shift, [], []
    for _ in range(count):
        u = -gain * (x - shift) + noise * rng.normal(size=2)
        states.append(x)
        actions.append(u)
        x = x + 0.1 * u
    return Trajectory(np.array(states), np.array(actions), value)


def test_coverage_counts_cells():
    """Four corners of a square, one action: two demonstrations of two corners each, then one of all."""
    corners = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    parts = [Trajectory(corners[k : k + 2], np.zeros((2, 1)), float(k)) for k in (0, 2)]
    found = report(parts)
    assert (found.cells, found.coverage, found.mean_return) == (4, 1.0, 1.0)
    assert [item.coverage for item in found.episodes] == [0.5, 0.5] and [item.own for item in found.episodes] == [1, 1]
    assert [item.quality for item in found.episodes] == [0.0, 1.0] and [item.value for item in found.episodes] == [0, 2]
    found = report([*parts, Trajectory(corners, np.zeros((4, 1)), 0.0)])
    assert (found.cells, found.coverage) == (4, 0.5)
    assert [item.coverage for item in found.episodes] == [0.5, 0.5, 1.0]
    assert [item.own for item in found.episodes] == [0, 0, 0]  # each cell is now shown twice


def test_roughness_is_the_change_of_action_in_deviations():
    zigzag = np.array([[1.0], [-1.0], [1.0], [-1.0]])
    found = report([Trajectory(np.zeros((4, 1)), zigzag, 0.0)])
    assert found.episodes[0].roughness == pytest.approx(2.0)  # steps of 2, deviation 1
    assert found.episodes[0].quality == 1.0
    smooth = report([Trajectory(np.zeros((100, 1)), np.linspace(-1, 1, 100)[:, None], 0.0)])
    assert smooth.episodes[0].roughness < 0.05


def test_weights_follow_the_formula():
    weights = return_weights([0.0, 5.0, 10.0], temperature=0.5)
    np.testing.assert_allclose(weights / weights[0], np.exp([0.0, 1.0, 2.0]))
    assert weights.mean() == pytest.approx(1.0)
    np.testing.assert_allclose(return_weights([3.0, 3.0]), [1.0, 1.0])
    assert return_weights([0.0, 1.0], temperature=1e-4)[0] == 0.0


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=8), st.floats(0.01, 10.0), st.floats(-100, 100))
def test_weights_do_not_depend_on_the_scale_of_the_reward(values, temperature, shift):
    weights = return_weights(values, temperature)
    assert np.all(np.isfinite(weights)) and weights.mean() == pytest.approx(1.0)
    assert np.all(np.diff(weights[np.argsort(values, kind="stable")]) >= -1e-12)
    if np.ptp(values) > 1.0:
        scaled = return_weights([2.0 * value + shift for value in values], temperature)
        np.testing.assert_allclose(scaled, weights, rtol=1e-6, atol=1e-9)


def test_a_demonstration_of_the_same_kind_is_accepted():
    judge = Compatibility([go_to_zero(seed) for seed in range(8)])
    for seed in range(100, 110):
        verdict = judge.judge(go_to_zero(seed))
        assert verdict.accept and verdict.compatibility > 0.85, verdict
    assert "agrees" in verdict.advice


def test_a_demonstration_that_contradicts_is_asked_for_again():
    judge = Compatibility([go_to_zero(seed) for seed in range(8)])
    away = go_to_zero(100, gain=-1.0, count=15)
    verdict = judge.judge(away)
    assert not verdict.accept and verdict.compatibility < 0.5
    assert "show it again" in verdict.advice and f"first at step {verdict.contradictions[0]}" in verdict.advice
    good = go_to_zero(101)
    half = Trajectory(good.states, np.where(np.arange(60)[:, None] < 30, good.actions, good.actions + 3.0), 0.0)
    found = judge.judge(half)
    assert set(range(30, 60)) >= set(found.contradictions) and len(found.contradictions) > 20


def test_new_states_are_welcome():
    judge = Compatibility([go_to_zero(seed) for seed in range(8)])
    verdict = judge.judge(go_to_zero(100, shift=20.0, gain=-1.0, count=10))
    assert verdict.accept and verdict.novelty == 1.0 and verdict.compatibility == 1.0
    assert "new states" in verdict.advice


def test_the_threshold_decides():
    parts = [go_to_zero(seed) for seed in range(4)]
    away = go_to_zero(9, gain=-1.0, count=10)
    assert Compatibility(parts, CompatibilityConfig(threshold=0.0)).judge(away).accept
    same = go_to_zero(10)
    assert not Compatibility(parts, CompatibilityConfig(threshold=1.01)).judge(same).accept


def test_too_few_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="at least two"):
        Compatibility([go_to_zero(0)])
    with pytest.raises(ConfigError, match="no demonstration"):
        report([])
    with pytest.raises(ConfigError, match="at least one"):
        return_weights([])
    with pytest.raises(ConfigError, match="no column 'action'"):
        with DatasetWriter(tmp_path / "d", fps=1.0, features={STATE: vector_feature("x")}, robot_type="x"):
            pass
        trajectories(Dataset(tmp_path / "d"))


def test_of_a_dataset(tmp_path):
    features = {STATE: vector_feature("x", "y"), "action": vector_feature("u", "v"),
                "next.reward": Feature("float32", (1,), None), SUCCESS: Feature("bool", (1,), None)}  # fmt: skip
    parts = [*(go_to_zero(seed) for seed in range(5)), go_to_zero(7, gain=-1.0, count=20)]
    with DatasetWriter(tmp_path / "d", fps=10.0, features=features, robot_type="x") as writer:
        for part in parts:
            for k, (state, action) in enumerate(zip(part.states, part.actions, strict=True)):
                last = k == len(part.states) - 1
                good = last and len(part.states) == 60
                writer.add({STATE: state, "action": action, "next.reward": float(good), SUCCESS: good}, "go")
            writer.finish_episode()
    found, verdicts = dataset_quality(tmp_path / "d")
    assert [item.success for item in found.episodes] == [True] * 5 + [False]
    assert [item.quality for item in found.episodes] == [1.0] * 5 + [0.0]
    assert [verdict.accept for verdict in verdicts] == [True] * 5 + [False]
    found, verdicts = dataset_quality(record(tmp_path / "e", (3, 3), NUMBERS))
    assert len(found.episodes) == 2 and verdicts == [None, None]
