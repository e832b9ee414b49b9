"""The DORAEMON benchmark: its region of success, its own divergence, what a quick run reports."""

from __future__ import annotations

import numpy as np
import pytest

from robostack.bench import doraemon as bench
from sim.randomization import beta
from sim.randomization.doraemon import DoraemonDistribution


def test_the_region_succeeds_at_the_start_and_seldom_on_the_uniform() -> None:
    rng = np.random.default_rng(1)
    for count in (1, 2, 8, 17):
        region = bench.SuccessRegion(count)
        start = region.episodes(DoraemonDistribution(region.parameters), rng, 2000)[2]
        assert start.mean() > 0.9
        assert region(rng.random((50_000, count))).mean() == pytest.approx(0.212, abs=0.01)
    centre = np.tile([0.62, 0.38], 4)
    assert bench.SuccessRegion(8)(centre)
    # 1.6 x 0.38 + 1.2 x 0.38 + 1.0 x 0.38 = 1.444 > 1.334; without the third it is 1.064.
    assert not bench.SuccessRegion(8)(np.concatenate([[1.0, 0.0, 1.0], centre[3:]]))
    assert bench.SuccessRegion(8)(np.concatenate([[1.0, 0.0], centre[2:]]))


def test_divergence_by_quadrature() -> None:
    first, second = np.array([100.0, 100.0]), np.array([80.0, 85.0])
    assert bench._integrated(first, second) == pytest.approx(beta.divergence(first[None], second[None]), rel=1e-9)


def test_a_quick_run_reports_every_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("UPDATES", 8), ("LAST", 4), ("TRUTH", 2000)):
        monkeypatch.setattr(bench, name, value)
    measured = bench.run(True)
    assert set(measured.figures) == set(bench.BENCH.aims)
    assert measured.figures["kl_error_percent"] < 0.1
    # After eight updates it is still narrow, and succeeds.
    assert measured.figures["closed_loop_success"] > 0.95
    assert measured.figures["closed_loop_entropy"] < -5.0
    assert not measured.met
