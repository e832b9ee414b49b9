from __future__ import annotations

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Twist

from controllers.reference import BaseReference
from hardware.create2 import CREATE2
from hardware.errors import ProtocolError
from hardware.records import RobotState
from robostack.nodes.base_messages import (
    base_reference_from_message,
    base_reference_to_message,
    is_rest,
    odometry_to_message,
    state_from_odometry,
    surroundings_from_message,
    surroundings_to_message,
)


def test_odometry_carries_pose_velocity_frames_and_capture_time():
    state = RobotState(
        1.0, np.zeros(0), np.zeros(0),
        base_position=np.array([1.0, 2.0, 0.0]), base_quaternion=np.array([0.8, 0.0, 0.0, 0.6]),
        base_linear_velocity=np.array([0.3, 0.0, 0.0]), base_angular_velocity=np.array([0.0, 0.0, -0.5]),
    )  # fmt: skip
    message = odometry_to_message(state, CREATE2, Time(sec=7))
    assert (message.header.frame_id, message.child_frame_id, message.header.stamp.sec) == ("odom", "base_footprint", 7)
    pose, twist = message.pose.pose, message.twist.twist
    assert (pose.position.x, pose.position.y) == (1.0, 2.0)
    assert (pose.orientation.w, pose.orientation.z) == (0.8, 0.6)
    assert (twist.linear.x, twist.angular.z) == (0.3, -0.5)
    assert not np.any(message.pose.covariance)


def test_a_state_without_pose_has_no_odometry():
    assert odometry_to_message(RobotState(1.0, np.zeros(0), np.zeros(0)), CREATE2, Time()) is None


def test_a_twist_becomes_a_reference():
    twist = Twist()
    assert is_rest(twist)
    twist.linear.x, twist.angular.z = 0.2, -0.4
    assert not is_rest(twist)
    reference = base_reference_from_message(twist, CREATE2, 0.25, 3.0)
    assert (reference.linear_velocity, reference.yaw_rate) == (0.2, -0.4)
    assert (reference.horizon_s, reference.created_s) == (0.25, 3.0)


def test_a_twist_that_no_wheels_can_follow_is_refused():
    twist = Twist()
    twist.linear.y, twist.angular.x = 0.1, 0.5
    with pytest.raises(ProtocolError, match=r"linear.y = 0.1, angular.x = 0.5; create2 drives with"):
        base_reference_from_message(twist, CREATE2, 0.2, 0.0)


def test_what_a_base_measures_and_feels_comes_back_from_its_messages():
    state = RobotState(
        1.0, np.zeros(0), np.zeros(0),
        base_position=np.array([1.0, 2.0, 0.0]), base_quaternion=np.array([0.8, 0.0, 0.0, 0.6]),
        base_linear_velocity=np.array([0.3, 0.0, 0.0]), base_angular_velocity=np.array([0.0, 0.0, -0.5]),
        contacts={"bumper_left": True, "cliff_right": False}, proximity={"light_bump_left": 0.25},
    )  # fmt: skip
    felt = surroundings_from_message(surroundings_to_message(state, CREATE2, Time(sec=7)))
    back = state_from_odometry(odometry_to_message(state, CREATE2, Time(sec=7)), felt, 1.0)
    for name in ("base_position", "base_quaternion", "base_linear_velocity", "base_angular_velocity"):
        np.testing.assert_array_equal(getattr(back, name), getattr(state, name))
    assert (back.contacts, back.proximity, back.capture_time_s) == (state.contacts, state.proximity, 1.0)
    assert back.joint_position.shape == (0,)


def test_a_robot_that_feels_nothing_has_no_contacts_message_and_nonsense_is_refused():
    state = RobotState(1.0, np.zeros(0), np.zeros(0))
    assert surroundings_to_message(state, CREATE2, Time()) is None
    touched = RobotState(1.0, np.zeros(0), np.zeros(0), contacts={"bumper_left": True})
    message = surroundings_to_message(touched, CREATE2, Time(sec=7))
    assert (message.header.stamp.sec, message.header.frame_id) == (7, "base_footprint")
    message.status[0].values[0].value = "pressed"
    with pytest.raises(ProtocolError, match="bumper_left = 'pressed' is no number"):
        surroundings_from_message(message)


def test_a_velocity_goes_there_and_back_with_its_sender_and_stamp():
    message = base_reference_to_message(BaseReference(0.2, -0.4, 0.15), CREATE2, Time(sec=3), "policy-1")
    assert (message.header.stamp.sec, message.header.frame_id) == (3, "policy-1")
    back = base_reference_from_message(message.twist, CREATE2, 0.15, 0.0)
    assert back == BaseReference(0.2, -0.4, 0.15)
