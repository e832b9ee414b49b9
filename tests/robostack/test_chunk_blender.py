"""Chunks on a clock: entered where their past ends, faded in, never beyond the bounds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardware.clock import VirtualClock
from hardware.errors import ConfigError
from robostack.policies.chunk_blender import ChunkBlender


def ramp(start, length=8):
    """A chunk whose action k is start + k."""
    return start + np.arange(length, dtype=np.float64)[:, None]


def test_a_late_chunk_is_entered_at_its_age():
    clock, blender = VirtualClock(), ChunkBlender(0.1, blend_steps=0)
    observed_s = clock.now()
    clock.sleep_until(observed_s + 0.31)
    assert blender.empty
    assert blender.offer(ramp(0.0), observed_s, clock.now())
    assert blender.at(clock.now()) == 3.0
    assert blender.remaining(clock.now()) == 5
    clock.sleep_until(observed_s + 0.4)
    assert blender.at(clock.now()) == 4.0


def test_a_loop_that_is_early_or_late_neither_repeats_nor_skips():
    blender = ChunkBlender(0.1, 0)
    blender.offer(ramp(0.0), 5.0, 5.0)
    assert [float(blender.at(5.0 + t)[0]) for t in (0.0, 0.06, 0.24, 0.26, 0.4)] == [0.0, 1.0, 2.0, 3.0, 4.0]


def test_overlap_fades_linearly():
    blender = ChunkBlender(0.1, blend_steps=3)
    blender.offer(ramp(0.0), 0.0, 0.0)
    blender.offer(ramp(10.0), 0.2, 0.4)  # from its step 2, which holds 12; the old plan holds 4 there
    found = [float(blender.at(0.1 * step)[0]) for step in range(4, 10)]
    # weights 1/4, 2/4, 3/4, then the new chunk alone
    assert found == pytest.approx([4 + 8 / 4, 5 + 8 / 2, 6 + 8 * 3 / 4, 15.0, 16.0, 17.0])


def test_fading_ends_where_the_old_plan_ends():
    blender = ChunkBlender(0.1, blend_steps=4)
    blender.offer(ramp(0.0, 3), 0.0, 0.0)
    blender.offer(ramp(10.0), 0.2, 0.2)  # only one old action, 2, is left
    assert [float(blender.at(0.1 * step)[0]) for step in (2, 3)] == pytest.approx([2 + 8 / 5, 11.0])


def test_a_chunk_of_the_past_is_refused_and_the_plan_stays():
    blender = ChunkBlender(0.1, 2)
    blender.offer(ramp(0.0), 1.0, 1.0)
    assert not blender.offer(ramp(50.0, 3), 0.9, 1.2)
    assert blender.at(1.2) == 2.0
    assert blender.at(9.0) == 7.0  # the last action of a plan that has run out
    assert blender.remaining(1.9) == -1
    blender.reset()
    assert blender.empty and blender.remaining(1.0) == 0
    with pytest.raises(ConfigError, match="offer"):
        blender.at(1.0)


@pytest.mark.parametrize(("period_s", "blend"), [(0.0, 1), (float("nan"), 1), (0.1, -1)])
def test_impossible_settings_are_refused(period_s, blend):
    with pytest.raises(ConfigError):
        ChunkBlender(period_s, blend)


@given(
    st.lists(st.tuples(st.integers(1, 6), st.integers(0, 7), st.integers(1, 12)), min_size=1, max_size=8),
    st.integers(0, 5),
    st.integers(0, 2**31),
)
def test_actions_stay_between_the_extremes_of_the_chunks(offers, blend, seed):
    rng, blender, now = np.random.default_rng(seed), ChunkBlender(0.05, blend), 0
    for wait, age, length in offers:
        chunk = rng.uniform(-1.0, 1.0, (2, length, 3))
        kept = chunk.copy()
        blender.offer(chunk, 0.05 * (now - age), 0.05 * now)
        np.testing.assert_array_equal(chunk, kept)  # the caller's array is its own
        for _ in range(wait):
            if not blender.empty:
                assert blender.at(0.05 * now).shape == (2, 3)
                assert np.all(np.abs(blender.at(0.05 * now)) <= 1.0)
            now += 1


INCREMENTS = np.array([-1.0, np.nan]), np.array([1.0, np.nan])
"""Of two elements, the first is an increment between -1 and 1."""


def two(*values):
    """A chunk whose elements both hold `values`."""
    return np.stack([np.array(values)] * 2, axis=-1)


def test_increments_lost_in_the_delay_are_made_up_for_within_the_bounds():
    blender = ChunkBlender(0.1, 0, INCREMENTS)
    blender.offer(two(0.1, 0.1, 0.1, 0.1, 0.1, 0.1), 0.0, 0.0)
    blender.offer(two(0.9, 0.9, 0.2, 0.0, 0.0, 0.0), 0.2, 0.4)
    found = np.array([blender.at(0.1 * step) for step in range(4, 8)])
    # asked for 0.9 + 0.9, done 0.1 + 0.1: 1.6 are missing; 0.2 + 1.6 is bounded to 1, the other 0.8 follow
    np.testing.assert_allclose(found[:, 0], [1.0, 0.8, 0.0, 0.0])
    np.testing.assert_allclose(found[:, 1], [0.2, 0.0, 0.0, 0.0])  # no increment: a plan in time


def test_a_plan_that_had_run_out_counts_with_what_it_went_on_doing():
    blender = ChunkBlender(0.1, 0, INCREMENTS)
    blender.offer(two(0.1, 0.3), 0.0, 0.0)
    blender.offer(two(0.5, 0.5, 0.0, 0.0), 0.1, 0.3)  # done meanwhile: 0.3, and 0.3 again
    np.testing.assert_allclose([blender.at(0.1 * step)[0] for step in (3, 4)], [0.4, 0.0])


def test_without_delay_increments_change_nothing():
    for increments in (None, INCREMENTS):
        blender = ChunkBlender(0.1, 0, increments)
        blender.offer(two(0.1, 0.1, 0.1), 0.0, 0.0)
        blender.offer(two(0.9, -0.4, 0.2), 0.1, 0.1)
        np.testing.assert_array_equal([blender.at(0.1 * step)[0] for step in (1, 2, 3)], [0.9, -0.4, 0.2])


@given(st.integers(0, 2**31), st.integers(1, 5))
def test_made_up_increments_reach_the_path_of_the_chunk_where_bounds_allow(seed, delay):
    rng = np.random.default_rng(seed)
    blender = ChunkBlender(0.1, 0, INCREMENTS)
    old, new = rng.uniform(-0.1, 0.1, (2, 8, 2))
    blender.offer(old, 0.0, 0.0)
    blender.offer(new, 0.0, 0.1 * delay)
    done = old[:delay].sum(axis=0) + sum(blender.at(0.1 * step) for step in range(delay, 8))
    assert done[0] == pytest.approx(new[:, 0].sum())
