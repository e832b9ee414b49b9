"""Between the records of mobile bases and standard ROS messages (REP-103, REP-105)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from geometry_msgs.msg import Twist, TwistStamped
from nav_msgs.msg import Odometry

from controllers.reference import BaseReference
from hardware.arrays import Array
from hardware.errors import ProtocolError
from hardware.records import RobotState
from hardware.spec import RobotSpec

ODOMETRY_FRAME = "odom"
"""Frame in which the base counts its way; its origin is where the driver connected."""
CONTACTS, PROXIMITY = "contacts", "proximity"
"""Names of the two statuses of the topic `contacts`."""


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


@dataclass(frozen=True)
class Surroundings:
    """What a robot feels of its surroundings."""

    contacts: Mapping[str, bool]
    """Switches by name."""
    proximity: Mapping[str, float]
    """Sensors without touch by name, 0 to 1."""


def surroundings_to_message(state: RobotState, spec: RobotSpec, stamp: Time) -> DiagnosticArray | None:
    """Switches and proximity sensors; None if the state has none.

    No standard message carries named switches; this one carries names, values and a stamp. A status "contacts" has the
    values 0 and 1, a status "proximity" shares of the full signal.

    Args:
        state: one robot, no batch.
        spec: the robot.
        stamp: the capture time, as ROS time.
    """
    if state.contacts is None and state.proximity is None:
        return None
    message = DiagnosticArray()
    message.header.stamp, message.header.frame_id = stamp, spec.base_frame
    for name, values in ((CONTACTS, state.contacts), (PROXIMITY, state.proximity)):
        pairs = [KeyValue(key=key, value=f"{float(value):.6g}") for key, value in (values or {}).items()]
        message.status.append(DiagnosticStatus(name=name, hardware_id=spec.name, values=pairs))
    return message


def surroundings_from_message(message: DiagnosticArray) -> Surroundings:
    """What `surroundings_to_message` packed.

    Raises:
        ProtocolError: a value is no number.
    """
    found: dict[str, dict[str, float]] = {CONTACTS: {}, PROXIMITY: {}}
    for status in message.status:
        for pair in status.values:
            try:
                found.setdefault(status.name, {})[pair.key] = float(pair.value)
            except ValueError as error:
                raise ProtocolError(f"contacts: {status.name} {pair.key} = '{pair.value}' is no number") from error
    return Surroundings({name: value > 0.5 for name, value in found[CONTACTS].items()}, found[PROXIMITY])


def state_from_odometry(message: Odometry, felt: Surroundings | None, capture_time_s: float) -> RobotState:
    """Odometry, and what is felt at that time, as measurement.

    Args:
        message: of one robot.
        felt: from the message `contacts` of the same time; None for a robot without.
        capture_time_s: monotonic time of the stamp [s].
    """
    place, turn = message.pose.pose.position, message.pose.pose.orientation
    linear, angular = message.twist.twist.linear, message.twist.twist.angular
    return RobotState(
        capture_time_s=capture_time_s,
        joint_position=np.zeros(0),
        joint_velocity=np.zeros(0),
        base_position=np.array([place.x, place.y, place.z]),
        base_quaternion=np.array([turn.w, turn.x, turn.y, turn.z]),
        base_linear_velocity=np.array([linear.x, linear.y, linear.z]),
        base_angular_velocity=np.array([angular.x, angular.y, angular.z]),
        contacts=felt.contacts if felt is not None else None,
        proximity=felt.proximity if felt is not None else None,
    )


def base_reference_to_message(reference: BaseReference, spec: RobotSpec, stamp: Time, sender: str) -> TwistStamped:
    """A velocity as twist; `sender` goes into `header.frame_id`, as for joints.

    Args:
        reference: what to do.
        spec: the robot.
        stamp: capture time of the measurement that it answers, so that its age covers the whole way.
        sender: identifies the commanding session.
    """
    message = TwistStamped()
    message.header.stamp, message.header.frame_id = stamp, sender
    message.twist.linear.x, message.twist.angular.z = float(reference.linear_velocity), float(reference.yaw_rate)
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
