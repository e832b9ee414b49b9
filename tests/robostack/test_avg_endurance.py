"""The endurance benchmark sees what it is to see."""

from __future__ import annotations

import numpy as np

from robostack.bench import avg_endurance
from robostack.bench.avg import stream_contract
from robostack.bench.avg_endurance import ACTIONS, BENCH, BLOCK, OBSERVATIONS, endure, hostile_blocks
from robostack.learning.avg import Avg, AvgConfig

SMALL = AvgConfig(hidden=(8, 8))


def learner() -> Avg:
    return Avg(stream_contract(OBSERVATIONS, ACTIONS), SMALL, seed=0)


def test_the_data_are_as_hostile_as_described():
    blocks = hostile_blocks(np.random.default_rng(0))
    first = next(blocks).observations[1:].copy()
    for _ in range(100):
        block = next(blocks)
    second = block.observations[1:]
    assert np.isfinite(first).all() and np.isfinite(block.rewards).all()
    assert (first[:, :20] == 7.0).all() and set(np.unique(first[:, 20:40])) <= {0.0, 1.0}
    assert 0.9e6 < first[:, 40:60].std() < 1.1e6 and 0.9e-6 < first[:, 60:80].std() < 1.1e-6
    assert abs((second - first)[:, 80:100].mean() - 1.0) < 0.05  # 100,000 steps of 1e-5
    assert np.abs(first[:, 100:120]).max() > 1e3 and np.abs(block.rewards).max() > 30.0
    assert first[:, 120:].std() < 1.1
    last = second[-1].copy()
    np.testing.assert_array_equal(next(blocks).observations[0], last)
    assert block.observations.shape == (BLOCK + 1, OBSERVATIONS)


def test_figures_of_a_short_run():
    subject = learner()
    figures = endure(subject, 2500)
    assert figures["steps"] == subject.steps == 2500
    assert figures["non_finite"] == 0.0 and figures["rejected"] == 0.0
    assert figures["us_per_step"] > 0.0 and figures["growth_mb"] == figures["rss_end_mb"] - figures["rss_start_mb"]
    assert set(BENCH.aims) <= set(figures)


def test_a_weight_that_is_not_finite_is_counted():
    subject = learner()
    subject.critic.parameters[:2] = np.nan
    figures = endure(subject, 100)
    assert figures["non_finite"] >= 2.0
    assert figures["rejected"] == 100.0  # every step is refused from then on


def test_memory_that_grows_is_seen(monkeypatch):
    monkeypatch.setattr(avg_endurance, "CHECK_EVERY", BLOCK)
    kept = []
    original = Avg.update

    def leak(self):
        kept.append(np.ones(20_000))  # 160 kB: more together than an earlier test may have left free in this process
        return original(self)

    monkeypatch.setattr(Avg, "update", leak)
    assert endure(learner(), 2 * BLOCK)["growth_mb"] > 80.0
