"""Between the records of mobile bases and standard ROS messages (REP-103, REP-105)."""

from __future__ import annotations

from typing import Any

from builtin_interfaces.msg import Time
from geometry_msgs.msg import Twist
from nav_msgs.msg import Odometry

from controllers.reference import BaseReference
from hardware.arrays import Array
from hardware.errors import ProtocolError
from hardware.records import RobotState
from hardware.spec import RobotSpec

ODOMETRY_FRAME = "odom"
"""Frame in which the base counts its way; its origin is where the driver connected."""


def odometry_to_message(state: RobotState, spec: RobotSpec, stamp: Time) -> Odometry | None:
    """Pose and velocity of the base; None if the state has none.

    Covariances stay zero, which means unknown: nobody has measured how far the wheels slip on your floor.

    Args:
        state: one robot, no batch.
        spec: the robot; its base frame is the child frame.
        stamp: the capture time, as ROS time.
    """
    if state.base_position is None or state.base_quaternion is None:
        return None
    message = Odometry(child_frame_id=spec.base_frame)
    message.header.stamp, message.header.frame_id = stamp, ODOMETRY_FRAME
    place, turn = message.pose.pose.position, message.pose.pose.orientation
    place.x, place.y, place.z = _numbers(state.base_position)
    turn.w, turn.x, turn.y, turn.z = _numbers(state.base_quaternion)
    linear, angular = message.twist.twist.linear, message.twist.twist.angular
    if state.base_linear_velocity is not None and state.base_angular_velocity is not None:
        linear.x, linear.y, linear.z = _numbers(state.base_linear_velocity)
        angular.x, angular.y, angular.z = _numbers(state.base_angular_velocity)
    return message


def is_rest(twist: Twist) -> bool:
    """Whether a twist asks to stand still."""
    parts = (twist.linear, twist.angular)
    return all(value == 0.0 for part in parts for value in (part.x, part.y, part.z))


def base_reference_from_message(twist: Twist, spec: RobotSpec, horizon_s: float, created_s: float) -> BaseReference:
    """A twist, in the base's own frame, as set-point.

    Args:
        twist: only `linear.x` and `angular.z` may differ from zero.
        spec: the robot.
        horizon_s: time for which the command is valid [s].
        created_s: monotonic time of the stamp [s].

    Raises:
        ProtocolError: it asks for a motion that no wheeled base can make.
    """
    impossible: dict[str, float] = {
        "linear.y": twist.linear.y,
        "linear.z": twist.linear.z,
        "angular.x": twist.angular.x,
        "angular.y": twist.angular.y,
    }
    wrong = [f"{name} = {value:g}" for name, value in impossible.items() if value != 0.0]
    if wrong:
        raise ProtocolError(f"cmd_vel has {', '.join(wrong)}; {spec.name} drives with linear.x and angular.z only")
    return BaseReference(twist.linear.x, twist.angular.z, horizon_s, created_s)


def _numbers(values: Array) -> tuple[Any, ...]:
    return tuple(float(value) for value in values)
