"""Between the records of the stack and standard ROS messages. Joints are matched by name, in any order."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from builtin_interfaces.msg import Duration, Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from geometry_msgs.msg import PoseStamped, TwistStamped
from sensor_msgs.msg import Imu, JointState
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from controllers.reference import JointReference, ReferenceMode
from hardware.arrays import Array, FloatArray
from hardware.errors import ProtocolError
from hardware.records import BaseCommand, JointCommand, RobotState
from hardware.spec import RobotSpec

Level = Literal["ok", "warning", "error", "stale"]
LEVELS: dict[Level, bytes] = {
    "ok": DiagnosticStatus.OK,
    "warning": DiagnosticStatus.WARN,
    "error": DiagnosticStatus.ERROR,
    "stale": DiagnosticStatus.STALE,
}


def stamp_from_ns(time_ns: int) -> Time:
    """A ROS time stamp from nanoseconds."""
    return Time(sec=time_ns // 1_000_000_000, nanosec=time_ns % 1_000_000_000)


def stamp_to_ns(stamp: Time) -> int:
    """Nanoseconds of a ROS time stamp."""
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)


def state_to_message(state: RobotState, spec: RobotSpec, stamp: Time) -> JointState:
    """A measurement as JointState; what the device does not measure is NaN, never left out.

    Args:
        state: one robot, no batch.
        spec: the robot; gives names and order.
        stamp: the capture time, as ROS time.
    """
    message = JointState()
    message.header.stamp = stamp
    message.header.frame_id = spec.base_frame
    message.name = list(spec.joint_names)
    message.position = _numbers(state.joint_position)
    message.velocity = _numbers(state.joint_velocity)
    message.effort = _numbers(state.joint_effort) if state.joint_effort is not None else [math.nan] * len(spec.joints)
    return message


def state_from_message(message: JointState, spec: RobotSpec, capture_time_s: float) -> RobotState:
    """A JointState as measurement; joints of other robots in it are ignored.

    Args:
        message: in any joint order.
        spec: the robot.
        capture_time_s: monotonic time of the stamp [s].

    Raises:
        ProtocolError: a joint of the robot is missing, or an array has another length than the names.
    """
    position = _by_name(message.name, message.position, spec, "joint_states.position")
    velocity = _by_name(message.name, message.velocity, spec, "joint_states.velocity")
    effort = _by_name(message.name, message.effort, spec, "joint_states.effort") if message.effort else None
    if effort is not None and np.all(np.isnan(effort)):
        effort = None
    return RobotState(
        capture_time_s=capture_time_s, joint_position=position, joint_velocity=velocity, joint_effort=effort
    )


def command_to_message(command: JointCommand | BaseCommand, spec: RobotSpec, stamp: Time) -> JointState | TwistStamped:
    """A command to the device, for recorders; what it does not carry is left empty.

    Args:
        command: one robot, no batch.
        spec: the robot; gives names and order.
        stamp: capture time of the measurement that the command answers, as ROS time.
    """
    if isinstance(command, BaseCommand):
        message = TwistStamped()
        linear, angular = message.twist.linear, message.twist.angular
        linear.x, linear.y = _numbers(command.linear_velocity)
        angular.z = float(command.yaw_rate)
    else:
        message = JointState(name=list(spec.joint_names))
        for name in ("position", "velocity", "effort"):
            values = getattr(command, name)
            if values is not None:
                setattr(message, name, _numbers(values))
    message.header.stamp, message.header.frame_id = stamp, spec.base_frame
    return message


def tool_to_message(state: RobotState, spec: RobotSpec, stamp: Time) -> PoseStamped | None:
    """The tool's pose in the base frame; None if the state has none."""
    if state.tool_position is None or state.tool_quaternion is None:
        return None
    message = PoseStamped()
    message.header.stamp = stamp
    message.header.frame_id = spec.base_frame
    place, turn = message.pose.position, message.pose.orientation
    place.x, place.y, place.z = _numbers(state.tool_position)
    turn.w, turn.x, turn.y, turn.z = _numbers(state.tool_quaternion)
    return message


def imu_to_message(state: RobotState, spec: RobotSpec, stamp: Time) -> Imu | None:
    """Orientation and angular velocity of a floating base; None if the state has none.

    By REP-145, covariances of zero mean unknown, and -1 first means that a quantity is not reported: the acceleration.

    Args:
        state: one robot, no batch.
        spec: the robot; its base frame is the frame of the message.
        stamp: the capture time, as ROS time.
    """
    if state.base_quaternion is None or state.base_angular_velocity is None:
        return None
    message = Imu()
    message.header.stamp, message.header.frame_id = stamp, spec.base_frame
    turn, rate = message.orientation, message.angular_velocity
    turn.w, turn.x, turn.y, turn.z = _numbers(state.base_quaternion)
    rate.x, rate.y, rate.z = _numbers(state.base_angular_velocity)
    message.linear_acceleration_covariance[0] = -1.0
    return message


def reference_to_message(reference: JointReference, spec: RobotSpec, stamp: Time, sender: str) -> JointTrajectory:
    """A set-point as trajectory of one point.

    Args:
        reference: one robot, no batch.
        spec: the robot.
        stamp: capture time of the measurement that the set-point answers, so that its age covers the whole way.
        sender: identifies the commanding session; goes into `header.frame_id`.
    """
    point = JointTrajectoryPoint()
    value = _numbers(reference.value)
    if reference.mode == "position":
        point.positions = value
        if reference.velocity is not None:
            point.velocities = _numbers(reference.velocity)
    elif reference.mode == "velocity":
        point.velocities = value
    else:
        point.effort = value
    horizon_ns = round(reference.horizon_s * 1e9)
    point.time_from_start = Duration(sec=horizon_ns // 1_000_000_000, nanosec=horizon_ns % 1_000_000_000)
    message = JointTrajectory(joint_names=list(spec.joint_names), points=[point])
    message.header.stamp = stamp
    message.header.frame_id = sender
    return message


def reference_from_message(message: JointTrajectory, spec: RobotSpec, created_s: float) -> JointReference:
    """A trajectory of one point as set-point. Positions decide the mode, then velocities, then efforts.

    Args:
        message: in any joint order.
        spec: the robot.
        created_s: monotonic time of the stamp [s].

    Raises:
        ProtocolError: not one point, no values, joints missing, unknown or named twice, or no time_from_start.
    """
    if len(message.points) != 1:
        raise ProtocolError(
            f"joint_trajectory has {len(message.points)} points; this driver streams set-points: send exactly one"
        )
    unknown = sorted(set(message.joint_names) - set(spec.joint_names))
    if unknown:
        raise ProtocolError(
            f"joint_trajectory names unknown joints {', '.join(unknown)}; "
            f"'{spec.name}' has {', '.join(spec.joint_names)}"
        )
    point, names = message.points[0], message.joint_names
    horizon_s = point.time_from_start.sec + point.time_from_start.nanosec * 1e-9
    if horizon_s <= 0.0:
        raise ProtocolError("joint_trajectory has no time_from_start; give the period of the sender")
    mode: ReferenceMode
    velocity = None
    if point.positions:
        mode, value = "position", _by_name(names, point.positions, spec, "joint_trajectory.positions")
        if point.velocities:
            velocity = _by_name(names, point.velocities, spec, "joint_trajectory.velocities")
    elif point.velocities:
        mode, value = "velocity", _by_name(names, point.velocities, spec, "joint_trajectory.velocities")
    elif point.effort:
        mode, value = "effort", _by_name(names, point.effort, spec, "joint_trajectory.effort")
    else:
        raise ProtocolError("joint_trajectory has a point without positions, velocities or effort")
    return JointReference(mode=mode, value=value, horizon_s=horizon_s, velocity=velocity, created_s=created_s)


def diagnostics_message(
    stamp: Time, name: str, level: Level, summary: str, values: Mapping[str, object], hardware_id: str
) -> DiagnosticArray:
    """One status as DiagnosticArray. `name` is "node: part" by convention."""
    status = DiagnosticStatus(level=LEVELS[level], name=name, message=summary, hardware_id=hardware_id)
    status.values = [KeyValue(key=key, value=_text(value)) for key, value in values.items()]
    message = DiagnosticArray(status=[status])
    message.header.stamp = stamp
    return message


def _text(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _numbers(values: Array) -> list[float]:
    return [float(value) for value in np.asarray(values, dtype=np.float64).reshape(-1)]


def _by_name(names: Sequence[str], values: Sequence[float], spec: RobotSpec, what: str) -> FloatArray:
    """`values` in the robot's order, (num_joints,).

    Raises:
        ProtocolError: lengths differ, a name occurs twice, or a joint is missing.
    """
    if len(names) != len(values):
        raise ProtocolError(f"{what} has {len(values)} values for {len(names)} joint names")
    if tuple(names) == spec.joint_names:  # the usual case, and by far the fastest
        return np.array(values, dtype=np.float64)
    given = dict(zip(names, values, strict=True))
    if len(given) != len(names):
        raise ProtocolError(f"{what} names a joint twice: {', '.join(names)}")
    missing = [name for name in spec.joint_names if name not in given]
    if missing:
        raise ProtocolError(f"{what} lacks joints of '{spec.name}': {', '.join(missing)}")
    return np.array([given[name] for name in spec.joint_names], dtype=np.float64)
