"""Intervals against published and hand-computed values."""

from __future__ import annotations

import math

import numpy as np
import pytest

from hardware.errors import ConfigError
from robostack.statistics import bootstrap_median, wilson_interval


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [
        # center = (p + z^2 / 2n) / (1 + z^2 / n), half = z sqrt(p (1 - p) / n + z^2 / 4n^2) / (1 + z^2 / n)
        (10, 10, 10 / (10 + 1.959964**2), 1.0),
        (0, 10, 0.0, 1.959964**2 / (10 + 1.959964**2)),
        (81, 263, 0.2553, 0.3662),  # Newcombe 1998, Statistics in Medicine 17, 857-872, table I
        (15, 148, 0.0624, 0.1605),  # the same table
    ],
)
def test_wilson_interval(successes, trials, low, high):
    assert wilson_interval(successes, trials) == pytest.approx((low, high), abs=5e-5)


def test_wilson_interval_at_the_edges():
    assert wilson_interval(0, 0) == (0.0, 1.0)
    with pytest.raises(ConfigError):
        wilson_interval(3, 2)


def test_bootstrap_median():
    assert bootstrap_median([2.0, 2.0, 2.0]) == (2.0, 2.0, 2.0)
    assert all(math.isnan(value) for value in bootstrap_median([]))
    sample = np.random.default_rng(0).normal(5.0, 1.0, size=400)
    median, low, high = bootstrap_median(sample)
    assert median == np.median(sample) and low < median < high
    # The standard error of a normal sample's median is sqrt(pi / 2n) sigma.
    assert high - low == pytest.approx(2 * 1.96 * math.sqrt(math.pi / 800), rel=0.25)
    assert bootstrap_median(sample) == (median, low, high)


def test_bootstrap_median_covers():
    """About 95 of 100 intervals contain the true median 0; fewer than 88 or more than 99.5 would be a defect."""
    rng = np.random.default_rng(1)
    hits = sum(low <= 0.0 <= high for _, low, high in (bootstrap_median(rng.normal(size=60)) for _ in range(200)))
    assert 176 <= hits <= 199
