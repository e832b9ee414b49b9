"""The benchmark of the hand-over compares what it says it compares."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from robostack.bench import avg_curves, hand_over
from robostack.bench.curves import mean_of_known
from robostack.bench.hand_over import Plan, base_checkpoint, compare, figures_of, mean_return, returns_of

pytest.importorskip("torch")


def test_windows_count_the_episodes_that_end_in_them():
    episodes = [(1000, 1.0), (2000, 3.0), (3000, 8.0)]
    assert mean_return(episodes, 0, 2000) == 2.0
    assert mean_return(episodes, 1000, 3000) == 5.5
    assert math.isnan(mean_return(episodes, 3000, 4000))


def test_drops_are_relative_to_the_policy_before():
    lines = [
        {"before": 100.0, "waiting": 99.0, "after": 96.0, "later": 120.0, "naive": 10.0},
        {"before": 300.0, "waiting": 301.0, "after": 297.0, "later": 300.0, "naive": 30.0},
    ]
    figures = figures_of(lines)
    assert figures["drop_percent"] == pytest.approx(100.0 * (1.0 - 196.5 / 200.0))
    assert figures["drop_percent_worst"] == pytest.approx(4.0)
    assert figures["naive_drop_percent"] == pytest.approx(90.0) and figures["later_return"] == 210.0


def test_a_fixed_policy_returns_the_same_again_and_learners_see_every_step():
    seen = []

    class Counter:
        def observe(self, transition):
            seen.append(transition.terminated)

        def update(self):
            return {}

    still = np.zeros(6)
    first = returns_of(lambda _: still, None, 2000, seed=3)
    assert [step for step, _ in first] == [1000, 2000]
    assert returns_of(lambda _: still, Counter(), 2000, seed=3) == first
    assert len(seen) == 2000 and not any(seen)


def test_the_phases_of_one_seed(tmp_path, monkeypatch):
    plan = Plan(base_steps=2100, window=1000, later=1000, hidden=(8, 8))
    monkeypatch.setattr("robostack.learning.hand_over.FITTING_STEPS", 50)
    base = base_checkpoint(plan, tmp_path)
    assert base_checkpoint(plan, tmp_path) == base  # found, not learned again
    line = compare(plan, base, seed=1)
    assert all(math.isfinite(line[name]) for name in ("before", "waiting", "after", "later", "naive"))
    assert line["after"] == line["later"]  # one and the same window here
    assert hand_over.BENCH.aims.keys() <= figures_of([line]).keys()


def test_curves_are_drawn_from_what_has_finished(tmp_path):
    lines = [
        {"task": "Hopper-v4", "learner": "avg", "steps": 200, "returns": [None, *range(9)]},
        {"task": "Hopper-v4", "learner": "avg", "steps": 200, "returns": list(range(10))},
    ]
    steps, seeds = avg_curves.curves(json.loads(json.dumps(lines)), "Hopper-v4", "avg")
    np.testing.assert_allclose(steps[:2], [10.0, 30.0])
    assert np.isnan(seeds[0][0]) and seeds[1][9] == 9
    np.testing.assert_array_equal(mean_of_known([[1.0, np.nan, np.nan], [3.0, 5.0, np.nan]]), [2.0, 5.0, np.nan])
    avg_curves.draw(lines, tmp_path / "curves.png")
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
