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
