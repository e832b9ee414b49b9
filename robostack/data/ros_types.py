"""ROS 2 message types without ROS: definitions, and CDR bytes to and from numpy, by rosbags."""

from __future__ import annotations

import struct
from functools import cache
from typing import Any

from hardware.errors import DatasetError, MissingExtraError

JOINT_STATE = "sensor_msgs/msg/JointState"
JOINT_TRAJECTORY = "trajectory_msgs/msg/JointTrajectory"
COMPRESSED_IMAGE = "sensor_msgs/msg/CompressedImage"
IMAGE = "sensor_msgs/msg/Image"
TWIST = "geometry_msgs/msg/Twist"
TWIST_STAMPED = "geometry_msgs/msg/TwistStamped"
ODOMETRY = "nav_msgs/msg/Odometry"
STRING = "std_msgs/msg/String"


@cache
def message_types() -> Any:
    """The types of ROS 2 Jazzy, a rosbags type store.

    Raises:
        MissingExtraError: rosbags is not installed.
    """
    try:
        from rosbags.typesys import Stores, get_typestore
    except ImportError as error:
        raise MissingExtraError("rosbags", "data", "ROS messages without ROS") from error
    return get_typestore(Stores.ROS2_JAZZY)


def definition_of(type_name: str) -> str:
    """The definition of a message type with those it is made of, as MCAP's schema encoding "ros2msg" has it.

    Args:
        type_name: "sensor_msgs/msg/JointState".

    Raises:
        DatasetError: the type is none of the standard ones; give its definition where it is recorded.
    """
    store = message_types()
    if type_name not in store.fielddefs:
        raise DatasetError(f"message type '{type_name}' is not known here; give its definition to the recorder")
    return str(store.generate_msgdef(type_name, ros_version=2)[0])


def register_definition(type_name: str, text: str) -> None:
    """Make a type known from the text of a recorded schema; known types stay as they are.

    Raises:
        DatasetError: the text is not a message definition.
    """
    from rosbags.typesys import TypesysError, get_types_from_msg

    store = message_types()
    if type_name in store.fielddefs:
        return
    try:
        found = get_types_from_msg(text, type_name)
        store.register({name: fields for name, fields in found.items() if name not in store.fielddefs})
    except TypesysError as error:
        raise DatasetError(f"the definition of '{type_name}' cannot be read: {error}") from error


def to_cdr(message: Any) -> bytes:
    """A message of the type store as CDR bytes, with their header."""
    return bytes(message_types().serialize_cdr(message, message.__msgtype__))


def from_cdr(data: bytes, type_name: str) -> Any:
    """CDR bytes as a message of the type store.

    Where a message ends with an empty sequence of doubles, Fast CDR counts padding for numbers that do not come, and
    rosbags then finds four bytes too many: tried again without them.

    Raises:
        DatasetError: the bytes are not of this type.
    """
    from rosbags.serde import SerdeError

    store = message_types()
    reasons: tuple[type[Exception], ...] = (SerdeError, struct.error, ValueError, IndexError, UnicodeDecodeError)
    for whole in (data, data[:-4]):
        try:
            return store.deserialize_cdr(whole, type_name)
        except KeyError as error:
            raise DatasetError(f"message type '{type_name}' is not known") from error
        except reasons as error:
            reason: Exception = error
    raise DatasetError(f"a message is not a {type_name}: {reason}")


def new_message(type_name: str, **fields: Any) -> Any:
    """A message of the type store; nested messages are made the same way."""
    return message_types().types[type_name](**fields)


def header(stamp_ns: int, frame_id: str = "") -> Any:
    """A std_msgs/Header."""
    stamp = new_message("builtin_interfaces/msg/Time", sec=stamp_ns // 10**9, nanosec=stamp_ns % 10**9)
    return new_message("std_msgs/msg/Header", stamp=stamp, frame_id=frame_id)
