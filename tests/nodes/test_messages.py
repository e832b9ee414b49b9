from __future__ import annotations

import math

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from hypothesis import given
from hypothesis import strategies as st

from controllers.reference import JointReference
from hardware.errors import ProtocolError
from hardware.records import RobotState
from hardware.spec import JointSpec, RobotSpec
from robostack.nodes.messages import (
    diagnostics_message,
    imu_to_message,
    reference_from_message,
    reference_to_message,
    stamp_from_ns,
    stamp_to_ns,
    state_from_message,
    state_to_message,
    tool_to_message,
)

SPEC = RobotSpec(
    name="three",
    joints=tuple(JointSpec(name, -3.0, 3.0, 2.0, 10.0, 100.0, 50.0) for name in ("base", "elbow", "wrist")),
    control_rate_hz=100.0,
    command_modes=("position",),
    base_frame="base_link",
    tool_frame="tool0",
)
STAMP = Time(sec=12, nanosec=345)


def a_state(**values):
    return RobotState(7.0, np.array([0.1, 0.2, 0.3]), np.array([1.0, 2.0, 3.0]), **values)


def test_all_four_arrays_are_filled_and_unknown_effort_is_nan():
    message = state_to_message(a_state(), SPEC, STAMP)
    assert list(message.name) == ["base", "elbow", "wrist"]
    assert list(message.position) == [0.1, 0.2, 0.3]
    assert list(message.velocity) == [1.0, 2.0, 3.0]
    assert len(message.effort) == 3
    assert all(math.isnan(value) for value in message.effort)
    assert message.header.stamp == STAMP
    assert state_from_message(message, SPEC, 7.0).joint_effort is None


def test_state_round_trip_with_effort_in_another_joint_order():
    message = state_to_message(a_state(joint_effort=np.array([4.0, 5.0, 6.0])), SPEC, STAMP)
    order = [2, 0, 1]
    for name in ("name", "position", "velocity", "effort"):
        values = list(getattr(message, name))
        setattr(message, name, [values[index] for index in order])
    state = state_from_message(message, SPEC, 7.0)
    np.testing.assert_array_equal(state.joint_position, [0.1, 0.2, 0.3])
    np.testing.assert_array_equal(state.joint_velocity, [1.0, 2.0, 3.0])
    np.testing.assert_array_equal(state.joint_effort, [4.0, 5.0, 6.0])


def test_joints_of_another_robot_in_the_same_message_are_ignored():
    message = state_to_message(a_state(), SPEC, STAMP)
    message.name = [*message.name, "gripper"]
    for name in ("position", "velocity", "effort"):
        setattr(message, name, [*getattr(message, name), 9.0])
    np.testing.assert_array_equal(state_from_message(message, SPEC, 0.0).joint_position, [0.1, 0.2, 0.3])


def test_a_missing_joint_is_named():
    message = state_to_message(a_state(), SPEC, STAMP)
    message.name = ["base", "elbow", "wrong"]
    with pytest.raises(ProtocolError, match="lacks joints of 'three': wrist"):
        state_from_message(message, SPEC, 0.0)


@pytest.mark.parametrize(
    "reference",
    [
        JointReference("velocity", np.array([0.1, -0.2, 0.3]), 0.04),
        JointReference("position", np.array([0.1, -0.2, 0.3]), 0.05),
        JointReference("position", np.array([0.1, -0.2, 0.3]), 0.05, velocity=np.array([1.0, 2.0, 3.0])),
        JointReference("effort", np.array([4.0, 5.0, 6.0]), 0.002),
    ],
)
def test_reference_round_trip(reference):
    message = reference_to_message(reference, SPEC, STAMP, "session")
    back = reference_from_message(message, SPEC, 3.5)
    assert (back.mode, back.created_s) == (reference.mode, 3.5)
    assert back.horizon_s == pytest.approx(reference.horizon_s, abs=1e-9)
    np.testing.assert_array_equal(back.value, reference.value)
    assert (back.velocity is None) == (reference.velocity is None)
    assert message.header.frame_id == "session"
    assert len(message.points) == 1
    assert bool(message.points[0].positions) == (reference.mode == "position")


def test_a_reference_is_matched_by_joint_name():
    message = reference_to_message(JointReference("velocity", np.array([1.0, 2.0, 3.0]), 0.1), SPEC, STAMP, "s")
    message.joint_names = ["wrist", "base", "elbow"]
    np.testing.assert_array_equal(reference_from_message(message, SPEC, 0.0).value, [2.0, 3.0, 1.0])


def test_not_a_number_passes_so_that_the_safety_filter_sees_it():
    message = reference_to_message(JointReference("velocity", np.full(3, np.nan), 0.1), SPEC, STAMP, "s")
    assert np.all(np.isnan(reference_from_message(message, SPEC, 0.0).value))


def _two_points(message):
    message.points = [message.points[0], message.points[0]]


def _unknown_joint(message):
    message.joint_names = ["base", "elbow", "rist"]


def _twice(message):
    message.joint_names = ["base", "elbow", "elbow"]


def _lacking(message):
    message.joint_names = ["base", "elbow"]
    message.points[0].velocities = [1.0, 2.0]


def _short(message):
    message.points[0].velocities = [1.0, 2.0]


def _empty(message):
    message.points[0].velocities = []


def _no_horizon(message):
    message.points[0].time_from_start.nanosec = 0


@pytest.mark.parametrize(
    ("damage", "text"),
    [
        (_two_points, "exactly one"),
        (_unknown_joint, "unknown joints rist; 'three' has base, elbow, wrist"),
        (_twice, "names a joint twice"),
        (_lacking, "lacks joints of 'three': wrist"),
        (_short, "2 values for 3 joint names"),
        (_empty, "without positions, velocities or effort"),
        (_no_horizon, "no time_from_start"),
    ],
)
def test_a_bad_command_is_one_clear_error(damage, text):
    message = reference_to_message(JointReference("velocity", np.array([1.0, 2.0, 3.0]), 0.1), SPEC, STAMP, "s")
    damage(message)
    with pytest.raises(ProtocolError, match=text):
        reference_from_message(message, SPEC, 0.0)


def test_tool_pose_keeps_the_order_of_the_quaternion():
    state = a_state(tool_position=np.array([1.0, 2.0, 3.0]), tool_quaternion=np.array([0.5, 0.1, 0.2, 0.3]))
    message = tool_to_message(state, SPEC, STAMP)
    assert (message.pose.orientation.w, message.pose.orientation.z) == (0.5, 0.3)
    assert (message.pose.orientation.x, message.pose.orientation.y) == (0.1, 0.2)
    assert (message.pose.position.x, message.pose.position.z) == (1.0, 3.0)
    assert tool_to_message(a_state(), SPEC, STAMP) is None


def test_imu_is_in_the_base_frame_and_says_that_acceleration_is_not_reported():
    state = a_state(base_quaternion=np.array([0.5, 0.1, 0.2, 0.3]), base_angular_velocity=np.array([1.0, 2.0, 3.0]))
    message = imu_to_message(state, SPEC, STAMP)
    assert message.header.frame_id == SPEC.base_frame and message.header.stamp == STAMP
    assert (message.orientation.w, message.orientation.x, message.orientation.z) == (0.5, 0.1, 0.3)
    assert (message.angular_velocity.x, message.angular_velocity.z) == (1.0, 3.0)
    assert message.linear_acceleration_covariance[0] == -1.0 and message.orientation_covariance[0] == 0.0
    assert imu_to_message(a_state(), SPEC, STAMP) is None


@given(st.integers(min_value=0, max_value=2**31 * 10**9 - 1))
def test_stamps_keep_every_nanosecond(time_ns):
    assert stamp_to_ns(stamp_from_ns(time_ns)) == time_ns


def test_diagnostics_carry_level_text_and_values():
    message = diagnostics_message(
        STAMP, "driver: control loop", "error", "stale", {"overruns": 3, "p99_ms": 0.25}, "ur5e"
    )
    status = message.status[0]
    assert (status.level, status.message, status.hardware_id) == (b"\x02", "stale", "ur5e")
    assert {value.key: value.value for value in status.values} == {"overruns": "3", "p99_ms": "0.25"}
