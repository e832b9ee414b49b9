"""The numbers of a ROS message by name, for the messages that robots of this stack send."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from hardware.errors import ConfigError, DatasetError
from robostack.data.features import JOINT_SUFFIXES
from robostack.data.ros_types import JOINT_STATE, JOINT_TRAJECTORY, ODOMETRY, TWIST, TWIST_STAMPED

JOINT_PARTS = ("position", "velocity", "effort")
POINT_PARTS = ("positions", "velocities", "effort")
_SINGULAR = {"positions": "position", "velocities": "velocity"}

Numbers = dict[str, float]


def reader_of(first: Any, type_name: str, fields: tuple[str, ...] = ()) -> Callable[[Any], Numbers]:
    """What reads the numbers of the messages of a topic.

    Args:
        first: the first message of the topic.
        type_name: its type.
        fields: parts of a JointState to read; empty for the first of position, velocity and effort that it has.

    Raises:
        ConfigError: no numbers are read from this type, or a part is unknown.
    """
    if type_name == JOINT_STATE:
        unknown = sorted(set(fields) - set(JOINT_PARTS))
        if unknown:
            raise ConfigError(f"a JointState has {', '.join(JOINT_PARTS)}, not {', '.join(unknown)}")
        parts = fields or _filled(first, JOINT_PARTS)
        return lambda message: _joints(message, message.name, parts)
    if type_name == JOINT_TRAJECTORY:
        parts = _filled(first.points[0], POINT_PARTS) if len(first.points) else POINT_PARTS[:1]
        return lambda message: _joints(message.points[0], message.joint_names, parts)
    if type_name in _BASE:
        return _BASE[type_name]
    known = ", ".join((JOINT_STATE, JOINT_TRAJECTORY, *_BASE))
    raise ConfigError(f"no numbers are read from a {type_name}; they are from {known}")


def _filled(message: Any, parts: tuple[str, ...]) -> tuple[str, ...]:
    """The first part that has values."""
    for part in parts:
        values = np.asarray(getattr(message, part))
        if values.size and np.all(np.isfinite(values)):
            return (part,)
    return parts[:1]


def _joints(values: Any, names: list[str], parts: tuple[str, ...]) -> Numbers:
    found: Numbers = {}
    for part in parts:
        numbers = getattr(values, part)
        if len(numbers) != len(names):
            raise DatasetError(f"a message has {len(numbers)} values of '{part}' for {len(names)} joints")
        end = JOINT_SUFFIXES[_SINGULAR.get(part, part)]
        found |= {name + end: float(number) for name, number in zip(names, numbers, strict=True)}
    return found


def _twist(twist: Any) -> Numbers:
    return {
        "linear.x": float(twist.linear.x),
        "linear.y": float(twist.linear.y),
        "angular.z": float(twist.angular.z),
    }


def _odometry(message: Any) -> Numbers:
    place, turn = message.pose.pose.position, message.pose.pose.orientation
    found = {f"position.{axis}": float(getattr(place, axis)) for axis in "xyz"}
    found |= {f"orientation.{axis}": float(getattr(turn, axis)) for axis in "wxyz"}
    return {**found, **_twist(message.twist.twist)}


_BASE: Mapping[str, Callable[[Any], Numbers]] = {
    TWIST: _twist,
    TWIST_STAMPED: lambda message: _twist(message.twist),
    ODOMETRY: _odometry,
}
"""Messages of robots on wheels."""
