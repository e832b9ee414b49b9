"""Deadlines, overruns and lateness, on a virtual clock; the histogram against numpy."""

from __future__ import annotations

import numpy as np
import pytest

from controllers.histogram import DurationHistogram
from controllers.pacing import Pacer
from hardware.clock import SystemClock, VirtualClock
from hardware.errors import ConfigError


def test_deadlines_are_absolute():
    clock = VirtualClock(5.0)
    pacer = Pacer(0.01, clock)
    assert pacer.wait() == 0.0
    wakes = []
    for work in (0.001, 0.009, 0.0, 0.004):
        clock.advance(work)
        pacer.wait()
        wakes.append(clock.now())
    np.testing.assert_allclose(wakes, [5.01, 5.02, 5.03, 5.04])
    assert pacer.overruns == 0 and pacer.lateness.max_s < 1e-12


def test_skip_drops_missed_deadlines_and_keeps_the_phase():
    clock = VirtualClock()
    pacer = Pacer(0.01, clock, overrun="skip")
    pacer.restart()
    clock.advance(0.036)  # deadlines 0.01 (served late), 0.02 and 0.03 (missed)
    assert pacer.wait() == pytest.approx(0.026)
    assert pacer.overruns == 2
    pacer.wait()
    assert clock.now() == pytest.approx(0.04)


def test_catch_up_serves_every_deadline():
    clock = VirtualClock()
    pacer = Pacer(0.01, clock, overrun="catch_up")
    pacer.restart()
    clock.advance(0.035)
    lateness = [pacer.wait() for _ in range(4)]
    np.testing.assert_allclose(lateness, [0.025, 0.015, 0.005, 0.0], atol=1e-12)
    assert clock.now() == pytest.approx(0.04) and pacer.overruns == 2 and pacer.lateness.count == 4


def test_spinning_wakes_at_the_deadline_and_not_before():
    clock = SystemClock()
    pacer = Pacer(0.002, clock, spin_s=0.0005)
    pacer.restart()
    begin = clock.now()
    for _ in range(5):
        pacer.wait()
    assert clock.now() - begin >= 0.0099


def test_refuses_a_period_of_nothing():
    with pytest.raises(ConfigError, match="period"):
        Pacer(0.0, VirtualClock())


def test_percentiles_are_right_to_a_bin():
    durations = np.random.default_rng(0).lognormal(-9.0, 1.5, 5000)
    histogram = DurationHistogram()
    for duration in durations:
        histogram.add(duration)
    for share in (0.01, 0.5, 0.99, 0.999):
        exact = np.quantile(durations, share, method="inverted_cdf")
        assert exact <= histogram.percentile(share) <= exact * 1.045
    assert histogram.percentile(1.0) == histogram.max_s == durations.max() and histogram.count == 5000


def test_empty_tiny_and_huge_durations():
    histogram = DurationHistogram()
    assert histogram.percentile(0.5) == 0.0
    for duration in (0.0, 0.0, 1e-12, 1e6):
        histogram.add(duration)
    assert histogram.percentile(0.5) == 0.0 and histogram.percentile(1.0) == pytest.approx(26.8, rel=0.01)
    assert histogram.max_s == 1e6
