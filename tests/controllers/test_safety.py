"""The safety filter: every limit holds whatever is asked, every intervention has a reason, stops latch."""

from __future__ import annotations

import dataclasses

import mujoco
import numpy as np
import pytest
from example_arm import ARM_JOINTS, ARM_XML
from fake_robot import PERIOD, REST, SPEC, state_at
from hypothesis import given, settings
from hypothesis import strategies as st

from controllers.interpolation import JerkLimitedInterpolator
from controllers.kinematics import SerialChain
from controllers.reference import JointReference
from controllers.safety import SafetyAction, SafetyConfig, SafetyFilter, SafetyReason
from hardware.records import JointCommand, RobotMode

Action, Reason = SafetyAction, SafetyReason
CHAIN = SerialChain.from_model(mujoco.MjModel.from_xml_string(ARM_XML), ARM_JOINTS, "tool", "base")
MOVING = np.array([1.0, 1.0, 0.0, 1.0, 1.0, 1.0])
TOOL = CHAIN.forward(REST)[0]
BOXED = dataclasses.replace(SPEC, workspace_min=tuple(TOOL - 0.05), workspace_max=tuple(TOOL + 0.05))


class Run:
    """A filter in a loop with a robot that is exactly where it was sent."""

    def __init__(self, spec=SPEC, chain=None, config=None, start=REST):
        self.filter = SafetyFilter(spec, chain, config)
        self.position, self.time, self.track = np.array(start), 0.0, []
        self.filter.reset(state_at(start))

    def step(self, position, age=0.0, **fields):
        self.time += PERIOD
        result = self.filter.apply(
            JointCommand(position=position), state_at(self.position, self.time, **fields), age, self.time
        )
        if result.command is not None:
            self.position = result.command.position
        self.track.append(self.position)
        return result

    def rates(self):
        track = np.array([REST, *self.track])
        velocity = np.diff(track, axis=0) / PERIOD
        return track, velocity, np.diff(velocity, axis=0) / PERIOD


def test_a_motion_within_the_limits_passes_untouched():
    run = Run()
    motion = JerkLimitedInterpolator(
        SPEC.velocity_max, SPEC.acceleration_max, SPEC.jerk_max, SPEC.position_min, SPEC.position_max
    )
    motion.reset(REST)
    rng = np.random.default_rng(0)
    for index in range(1500):
        if index % 20 == 0:
            motion.retarget(JointReference("velocity", rng.uniform(-2, 2, 6) * [1, 1, 0.02, 1, 1, 1], 0.04))
        motion.advance(PERIOD)
        position = motion.state()[0]
        inside = np.all(
            (position > SPEC.position_min + 0.1 * (SPEC.position_max < 1)) & (position < SPEC.position_max - 0.021)
        )
        result = run.step(position)
        if not inside:
            break
        assert result.action is Action.PASS and result.reasons == () and result.command.position is position, (
            index,
            result,
        )
    assert index > 100


def test_missed_cycles_of_a_motion_within_the_limits_are_no_violation():
    run = Run()
    run.step(REST)
    begin = run.time
    for cycles in (1, 1, 2, 1, 3, 1, 1, 2, 2, 1, 1) * 3:
        run.time += (cycles - 1) * PERIOD
        elapsed = run.time + PERIOD - begin
        result = run.step(REST + 0.5 * 7.9 * MOVING * elapsed**2)
        assert result.reasons == (), (cycles, result.reasons)


def test_a_jump_is_turned_into_a_braked_motion_without_overshoot():
    run = Run()
    run.step(REST)
    goal = REST + np.array([0.2, -0.1, 0.05, 0.2, 0.0, 0.01])
    first = run.step(goal)
    assert first.action is Action.LIMITED and Reason.VELOCITY in first.reasons
    for _ in range(300):
        last = run.step(goal)
    assert last.action is Action.PASS
    track, velocity, acceleration = run.rates()
    assert np.abs(velocity).max() <= 2.0 * 1.0011 and np.abs(acceleration).max() <= 8.0 * 1.0011
    np.testing.assert_allclose(track[-1], goal, atol=1e-9)
    assert np.all((track - goal) * np.sign(goal - REST) < 1e-6)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.floats(-4, 4), st.floats(-4, 4), st.integers(1, 60)), min_size=1, max_size=12))
def test_limits_hold_whatever_is_asked(asked):
    run = Run(config=SafetyConfig(tracking_error_max=10.0))
    run.step(REST)
    for first, second, count in asked:
        for _ in range(count):
            result = run.step(np.array([first, second, first, second, first, second]))
            assert result.action in (Action.LIMITED, Action.PASS) and (result.action is Action.PASS) == (
                not result.reasons
            )
    track, velocity, acceleration = run.rates()
    assert np.abs(velocity).max() <= 2.0 * 1.0011 and np.abs(acceleration).max() <= 8.0 * 1.0011
    low, high = SPEC.position_min + 0.02, SPEC.position_max - 0.02
    assert np.all((track >= low - 1e-9) & (track <= high + 1e-9))


def test_position_margin_is_reached_and_kept():
    run = Run(config=SafetyConfig(tracking_error_max=10.0))
    run.step(REST)
    for _ in range(2000):
        result = run.step(np.full(6, 10.0))
    np.testing.assert_allclose(run.position, SPEC.position_max - 0.02, atol=1e-6)
    assert Reason.POSITION in result.reasons


def test_set_point_stays_near_a_blocked_robot():
    run = Run()
    run.step(REST)
    for index in range(500):
        now = index * PERIOD
        run.filter.apply(JointCommand(position=REST + 0.002 * index), state_at(REST, now), 0.0, now)
    assert np.all(run.filter.position - REST <= 0.25 + 1e-9) and run.filter.counts[Reason.TRACKING_ERROR] > 100


def test_workspace_walls_are_approached_slowed_slid_along_and_left_freely():
    run = Run(BOXED, CHAIN)
    run.step(REST)
    outward = np.zeros(6)
    outward[:] = CHAIN.jacobian(REST)[2] * 3.0  # up, and a little of everything
    reasons, target = set(), REST.copy()
    for _ in range(400):
        target = target + np.clip(outward, -0.3, 0.3) * PERIOD
        reasons |= set(run.step(target).reasons)
    heights = np.array([CHAIN.forward(q)[0] for q in run.track])
    assert Reason.WORKSPACE in reasons
    assert np.all(np.abs(heights - TOOL) <= 0.05 + 1e-3) and heights[-1, 2] > TOOL[2] + 0.045
    for _ in range(300):
        last = run.step(REST)
    assert np.abs(CHAIN.forward(run.position)[0] - TOOL).max() < 1e-3 and last.action is Action.PASS


def test_from_outside_the_workspace_only_the_way_in_is_open():
    outside = dataclasses.replace(
        SPEC, workspace_min=tuple(TOOL + np.array([-1, -1, 0.02])), workspace_max=tuple(TOOL + 1.0)
    )
    up = np.linalg.pinv(CHAIN.jacobian(REST)[:3])[:, 2]
    down = Run(outside, CHAIN)
    down.step(REST)
    for index in range(100):
        result = down.step(REST - 0.0002 * index * up)
    assert Reason.WORKSPACE in result.reasons and abs(CHAIN.forward(down.position)[0][2] - TOOL[2]) < 1e-3
    inward = Run(outside, CHAIN)
    inward.step(REST)
    for index in range(100):
        result = inward.step(REST + 0.0002 * index * up)
    assert Reason.WORKSPACE not in result.reasons and CHAIN.forward(inward.position)[0][2] > TOOL[2] + 0.015


def test_first_command_must_be_near_the_measured_position():
    run = Run()
    result = run.step(REST + np.array([0.06, 0, 0, 0, 0, 0]))
    assert result.action is Action.HOLD and result.reasons == (Reason.START_JUMP,)
    np.testing.assert_allclose(result.command.position, REST, atol=1e-12)
    assert run.step(REST + 0.04).action is Action.LIMITED  # near enough, but still approached within the limits
    assert np.abs(run.position - REST).max() < 1e-4


def test_stale_reference_holds_then_damps_then_stops_and_recovers():
    run = Run()
    for index in range(200):
        run.step(REST + 0.001 * index * MOVING)
    np.testing.assert_allclose(run.filter.velocity, 0.5 * MOVING, atol=1e-9)
    actions, age = [], 0.0
    while age < 0.6:
        age += PERIOD
        actions.append((round(age, 6), run.step(REST + 10.0, age=age).action))
    by_age = dict(actions)
    assert by_age[0.09] is Action.LIMITED and by_age[0.11] is Action.HOLD and by_age[0.29] is Action.HOLD
    assert by_age[0.31] is Action.DAMP and by_age[0.49] is Action.DAMP and by_age[0.51] is Action.STOP
    np.testing.assert_allclose(run.filter.velocity, 0.0, atol=1e-9)
    _, _, acceleration = run.rates()
    assert np.abs(acceleration).max() <= 8.0 * 1.0011
    assert run.step(run.position).action is Action.PASS  # this stop is not latched here; the loop latches it
    assert run.filter.counts[Reason.STALE_REFERENCE] == sum(a is not Action.LIMITED for _, a in actions)


def test_damping_gives_way_to_where_the_robot_is():
    run = Run()
    run.step(REST)
    pushed = REST + 0.1
    for index in range(200):
        now = run.time + index * PERIOD
        result = run.filter.apply(JointCommand(position=REST, velocity=REST), state_at(pushed, now), 0.4, now)
    assert result.action is Action.DAMP
    np.testing.assert_allclose(result.command.position, pushed, atol=1e-3)
    np.testing.assert_array_equal(result.command.velocity, 0.0)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_non_finite_numbers_latch_a_stop_until_reset(bad):
    run = Run()
    run.step(REST)
    result = run.step(np.array([0.0, bad, 0, 0, 0, 0]))
    assert result.action is Action.STOP and result.command is None and result.reasons == (Reason.NON_FINITE_COMMAND,)
    assert run.step(REST).action is Action.STOP
    run.filter.reset(state_at(REST))
    assert run.step(REST).action is Action.PASS
    broken = run.filter.apply(JointCommand(REST), state_at(REST + bad, run.time), 0.0, run.time)
    assert broken.reasons == (Reason.NON_FINITE_STATE,) and run.step(REST).action is Action.STOP


def test_other_stops_do_not_latch():
    run = Run()
    run.step(REST)
    assert run.step(np.zeros(3)).reasons == (Reason.MALFORMED_COMMAND,)
    assert run.filter.apply(JointCommand(), state_at(REST, run.time), 0.0, run.time).reasons == (
        Reason.MALFORMED_COMMAND,
    )
    assert run.step(REST, mode=RobotMode.PROTECTIVE_STOP).reasons == (Reason.DEVICE_FAULT,)
    old = run.filter.apply(JointCommand(REST), state_at(REST, run.time - 0.06), 0.0, run.time)
    assert old.action is Action.STOP and old.reasons == (Reason.STALE_STATE,)
    assert run.step(REST).action is Action.PASS


def test_torques_are_clipped_and_change_gradually():
    guard = SafetyFilter(SPEC)
    results = [
        guard.apply(JointCommand(effort=np.full(6, 80.0)), state_at(REST, k * PERIOD), 0.0, k * PERIOD)
        for k in range(40)
    ]
    efforts = np.array([result.command.effort[0] for result in results])
    np.testing.assert_allclose(efforts[:3], [2.0, 4.0, 6.0])
    assert efforts[-1] == 50.0 and results[0].reasons == (Reason.EFFORT, Reason.RATE_OF_CHANGE)
    assert results[-1].reasons == (Reason.EFFORT,)
    faded = guard.apply(JointCommand(effort=np.full(6, 80.0)), state_at(REST, 0.08), 0.2, 0.08)
    assert faded.action is Action.HOLD and faded.command.effort[0] == 48.0


def test_velocity_commands_are_limited_and_brake_at_the_joint_limit():
    guard, position = SafetyFilter(SPEC), REST.copy()
    for k in range(2000):
        now = k * PERIOD
        result = guard.apply(JointCommand(velocity=np.full(6, 9.0)), state_at(position, now), 0.0, now)
        assert np.abs(result.command.velocity).max() <= 2.0 * 1.0011
        position = position + result.command.velocity * PERIOD
    assert {Reason.VELOCITY, Reason.POSITION} <= set(result.reasons)
    np.testing.assert_allclose(position, SPEC.position_max - 0.02, atol=1e-3)
