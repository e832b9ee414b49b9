"""The interpolated motion: within every limit whatever is asked, smooth at every change, exact where it ends."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controllers.interpolation import JerkLimitedInterpolator
from controllers.reference import JointReference
from hardware.errors import ConfigError

V, A, J, LOW, HIGH = np.array([2.0, 1.0]), np.array([8.0, 3.0]), np.array([200.0, 20.0]), [-1.0, -0.3], [1.0, 0.6]


def interpolator(batch=()):
    made = JerkLimitedInterpolator(V, A, J, LOW, HIGH)
    made.reset(np.zeros((*batch, 2)))
    return made


def velocity(*value, horizon=0.04):
    return JointReference("velocity", np.array(value), horizon)


def position(*value, horizon=0.04, arrival=None):
    return JointReference("position", np.array(value), horizon, None if arrival is None else np.array(arrival))


def assert_within_limits(samples, relative=1e-4):
    p, v, a = samples
    assert np.all(np.abs(v) <= V * (1.0 + relative)), np.abs(v).max(axis=0)
    assert np.all(np.abs(a) <= A * (1.0 + relative)), np.abs(a).max(axis=0)
    assert np.all((p >= np.array(LOW) - 1e-4) & (p <= np.array(HIGH) + 1e-4)), (p.min(axis=0), p.max(axis=0))


component = st.floats(-3.0, 3.0)
steps = st.lists(
    st.tuples(
        st.sampled_from(["velocity", "position", "arriving"]), component, component, component, st.floats(0.001, 0.7)
    ),
    min_size=1,
    max_size=8,
)


def reference_of(step):
    mode, first, second, third, duration = step
    if mode == "velocity":
        return velocity(first, second), duration
    return position(first, second, arrival=(third, 0.1) if mode == "arriving" else None), duration


@settings(max_examples=250, deadline=None)
@given(steps)
def test_limits_hold_and_motion_is_continuous_whatever_is_asked(asked):
    motion = interpolator()
    for step in asked:
        reference, duration = reference_of(step)
        before = motion.state()
        motion.retarget(reference)
        for old, new, unit in zip(before, motion.state(), (1.0, 1.0, A), strict=True):
            np.testing.assert_allclose(new / unit, old / unit, atol=1e-9)
        times = np.linspace(0.0, 3.0, 1501)
        p, v, a = motion.sample(times)
        assert_within_limits((p, v, a))
        h = times[1]
        # The next sample follows from this one within what one jerk limit can do in a step: C2, and jerk-limited.
        assert np.all(np.abs(np.diff(a, axis=0)) <= J * h * 1.0001 + 1e-6)
        assert np.all(np.abs(np.diff(v, axis=0) - h * a[:-1]) <= 0.5 * J * h * h * 1.0001 + 1e-8)
        assert np.all(np.abs(np.diff(p, axis=0) - h * v[:-1] - h * h / 2 * a[:-1]) <= J * h**3 / 6 * 1.0001 + 1e-8)
        motion.advance(duration)
    p, v, a = motion.sample(np.array([60.0]))
    assert_within_limits((p, v, a))


@settings(max_examples=100, deadline=None)
@given(steps)
def test_every_plan_ends_where_it_was_asked_to(asked):
    motion = interpolator()
    for step in asked:
        reference, duration = reference_of(step)
        motion.retarget(reference)
        motion.advance(duration)
    motion.retarget(position(0.4, -0.2))
    p, v, a = motion.sample(np.array([30.0]))
    np.testing.assert_allclose(p[0], [0.4, -0.2], atol=1e-9)
    np.testing.assert_allclose([v[0], a[0]], 0.0, atol=1e-9)


def test_velocity_transition_is_the_three_phase_optimum():
    # 0 -> 1 rad/s at 8 rad/s^2, 200 rad/s^3: ramps of 0.04 s, hold 1 / 8 - 0.04 s, as computed by hand.
    motion = interpolator()
    motion.retarget(velocity(1.0, 0.0))
    p, v, a = motion.sample(np.array([0.02, 0.04, 0.125, 0.145, 0.165, 0.3]))
    np.testing.assert_allclose(a[:, 0], [4.0, 8.0, 8.0, 4.0, 0.0, 0.0], atol=1e-9)
    np.testing.assert_allclose(v[:, 0], [0.04, 0.16, 0.84, 0.96, 1.0, 1.0], atol=1e-9)
    np.testing.assert_allclose(p[4:, 0], [0.0825, 0.2175], atol=1e-9)
    np.testing.assert_array_equal([p[:, 1], v[:, 1], a[:, 1]], 0.0)


def test_velocity_is_clipped_and_brakes_to_rest_at_the_position_limit():
    motion = interpolator()
    motion.retarget(velocity(50.0, -50.0))
    p, v, _ = motion.sample(np.linspace(0.0, 20.0, 4001))
    np.testing.assert_allclose(v[:, 0].max(), 2.0, atol=1e-12)
    np.testing.assert_allclose(p[-1], [1.0, -0.3], atol=1e-6)
    np.testing.assert_allclose(v[-1], 0.0, atol=1e-12)
    motion.advance(20.0)
    motion.retarget(velocity(2.0, 1.0))  # pushing on does nothing, moving back in is free
    p, v, _ = motion.sample(np.array([0.0, 0.25]))
    assert v[1, 0] == pytest.approx(0.0, abs=1e-3) and v[1, 1] > 0.4


def test_from_outside_the_limits_only_the_way_in_is_open():
    motion = interpolator()
    motion.reset(np.array([1.2, -0.5]))
    motion.retarget(velocity(1.0, -1.0))
    p, _, _ = motion.sample(np.linspace(0, 1, 50))
    np.testing.assert_allclose(p, np.broadcast_to([1.2, -0.5], p.shape), atol=1e-12)
    motion.retarget(velocity(-1.0, 1.0))
    assert np.all(motion.sample(np.array([0.3]))[0][0] * [-1, 1] > np.array([-1.2, -0.5]) + 0.05)


def test_quintic_arrives_on_time_with_its_velocity_then_coasts_and_stops():
    motion = interpolator()
    motion.retarget(position(0.2, 0.0, horizon=0.8, arrival=(0.3, 0.0)))
    p, v, a = motion.sample(np.array([0.8, 1.6, 5.0]))
    np.testing.assert_allclose([p[0, 0], v[0, 0], a[0, 0]], [0.2, 0.3, 0.0], atol=1e-9)
    np.testing.assert_allclose([p[1, 0], v[1, 0]], [0.2 + 0.3 * 0.8, 0.3], atol=1e-9)
    assert v[2, 0] == 0.0 and 0.44 < p[2, 0] < 0.5


def test_long_move_is_stretched_just_enough_and_joints_arrive_together():
    motion = interpolator()
    motion.retarget(position(0.9, 0.3, horizon=0.01))
    p, v, a = motion.sample(np.linspace(0.0, 3.0, 30001))
    assert_within_limits((p, v, a))
    jerk = np.abs(np.diff(a, axis=0)).max(axis=0) / 1e-4
    assert jerk[1] == pytest.approx(J[1], rel=1e-3)  # joint 1 needs (60 * 0.3 / 20)^(1/3) s at its jerk limit
    assert np.argmax(p[:, 0] >= 0.9 - 1e-12) * 1e-4 == pytest.approx(np.cbrt(60 * 0.3 / 20), abs=3e-3)
    np.testing.assert_allclose(p[:, 1] * 3.0, p[:, 0], atol=1e-12)  # a straight line in joint space


def test_block_equals_tick_by_tick():
    block, ticks = interpolator(), interpolator()
    rng = np.random.default_rng(0)
    for mode in ("velocity", "position") * 20:
        reference = JointReference(mode, rng.normal(size=2), 0.04)
        block.retarget(reference)
        ticks.retarget(reference)
        expected = block.sample(np.arange(1, 21) * 0.002)
        for index in range(20):
            ticks.advance(0.002)
            for whole, single in zip(expected, ticks.state(), strict=True):
                np.testing.assert_allclose(single, whole[index], atol=1e-12)
        block.advance(0.04)


def test_batch_equals_loop_and_partial_reset_touches_only_its_robots():
    batch, singles = interpolator((5,)), [interpolator() for _ in range(5)]
    rng = np.random.default_rng(1)
    times = np.linspace(0.0, 0.5, 11)
    for turn in range(12):
        mode = ("velocity", "position")[turn % 2]
        value = rng.normal(size=(5, 2)) * 2.0
        batch.retarget(JointReference(mode, value, 0.04))
        for single, row in zip(singles, value, strict=True):
            single.retarget(JointReference(mode, row, 0.04))
        for index, single in enumerate(singles):
            for together, alone in zip(batch.sample(times), single.sample(times), strict=True):
                np.testing.assert_allclose(together[:, index], alone, atol=1e-11)
        for motion in (batch, *singles):
            motion.advance(0.07)
        if turn == 6:
            start = rng.uniform(-0.2, 0.2, (2, 2))
            batch.reset(start, ids=np.array([1, 3]))
            singles[1].reset(start[0])
            singles[3].reset(start[1])


def test_reset_with_velocity_comes_to_rest():
    motion = interpolator()
    motion.reset(np.array([0.0, 0.1]), np.array([0.5, -0.2]))
    p, v, a = motion.sample(np.array([0.0, 5.0]))
    np.testing.assert_allclose([p[0], v[0]], [[0.0, 0.1], [0.5, -0.2]])
    np.testing.assert_array_equal([v[1], a[1]], 0.0)


def test_refuses_what_it_cannot_do():
    with pytest.raises(ConfigError, match="jerk_max"):
        JerkLimitedInterpolator(V, A, [0.0, 1.0], LOW, HIGH)
    with pytest.raises(ConfigError, match="position_min"):
        JerkLimitedInterpolator(V, A, J, [1.0, 0.0], [0.0, 1.0])
    with pytest.raises(ConfigError, match="effort"):
        interpolator().retarget(JointReference("effort", np.zeros(2), 0.04))


def test_unlimited_positions_cruise_for_ever():
    motion = JerkLimitedInterpolator([2.0], [8.0], [200.0], [-np.inf], [np.inf])
    motion.retarget(velocity(1.5))
    p, v, _ = motion.sample(np.array([100.0, 101.0]))
    np.testing.assert_allclose(np.diff(p[:, 0]), 1.5)
    np.testing.assert_allclose(v, 1.5)
