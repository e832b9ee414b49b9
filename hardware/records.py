"""The small frozen records that travel between rooms. Arrays may have leading batch dimensions, (..., n)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum

from hardware.arrays import Array, namespace
from hardware.errors import ConfigError, UnknownNameError


class RobotMode(Enum):
    """What the device says it can do now."""

    RUNNING = "running"
    """Powered, follows commands."""
    IDLE = "idle"
    """Connected, does not follow commands yet (program not running, motors off)."""
    PROTECTIVE_STOP = "protective stop"
    """Stopped by its own protection; can be released remotely once the cause is gone."""
    EMERGENCY_STOP = "emergency stop"
    """Stopped by an emergency stop; a person must release it at the robot."""
    FAULT = "fault"
    """Anything else in which it will not move."""


@dataclass(frozen=True, slots=True)
class RobotState:
    """One measurement of a robot.

    Joint arrays are in the order of `RobotSpec.joint_names`. A field the device does not measure is None.
    """

    capture_time_s: float | Array
    """Monotonic time at which the device measured it [s]; (...,) for a batch."""
    joint_position: Array
    """Joint positions, (..., num_joints) [rad]."""
    joint_velocity: Array
    """Joint velocities, (..., num_joints) [rad/s]."""
    joint_effort: Array | None = None
    """Joint torques, (..., num_joints) [Nm]."""
    tool_position: Array | None = None
    """Position of the tool in the base frame, (..., 3) [m]."""
    tool_quaternion: Array | None = None
    """Orientation of the tool in the base frame, (..., 4), w x y z."""
    base_position: Array | None = None
    """Position of a floating base in the world frame, (..., 3) [m]."""
    base_quaternion: Array | None = None
    """Orientation of a floating base in the world frame, (..., 4), w x y z."""
    base_linear_velocity: Array | None = None
    """Velocity of a floating base in its own frame, (..., 3) [m/s]."""
    base_angular_velocity: Array | None = None
    """Angular velocity of a floating base in its own frame, (..., 3) [rad/s]."""
    mode: RobotMode = RobotMode.RUNNING
    """What the device can do now; one value, also for a batch."""
    detail: str = ""
    """The device's own words for `mode`."""
    contacts: Mapping[str, bool] | None = None
    """Switches that feel the surroundings (bumpers, cliffs, wheel drops) by name: whether each is on now."""
    objects: Mapping[str, Array] | None = None
    """Poses of objects in the base frame by name, (..., 7): position [m], then quaternion w x y z. None where nothing
    perceives them. A simulator knows them; at a physical robot they come from perception."""

    proximity: Mapping[str, float] | None = None
    """Sensors that feel things without touch by name: the share of their full signal, 0 (nothing near) to 1."""

    @property
    def newest_capture_time_s(self) -> float:
        """Capture time, of the newest robot in a batch [s]."""
        time = self.capture_time_s
        return time if isinstance(time, float) else float(namespace(time).max(time))

    def object_pose(self, name: str) -> Array:
        """Pose of one object in the base frame, (..., 7): position [m], then quaternion w x y z.

        Raises:
            ConfigError: nothing perceives objects here.
            UnknownNameError: this object is not among those perceived.
        """
        if self.objects is None:
            raise ConfigError(
                f"the state carries no objects, but the pose of '{name}' is needed: in simulation the model must have "
                "a free or mocap body of that name; a physical robot needs a perception that gives it"
            )
        if name not in self.objects:
            raise UnknownNameError("object", name, self.objects)
        return self.objects[name]


@dataclass(frozen=True, slots=True)
class JointCommand:
    """What is sent to the device for one control cycle. A field that is None is not commanded."""

    position: Array | None = None
    """Target positions, (..., num_joints) [rad]."""
    velocity: Array | None = None
    """Target or feed-forward velocities, (..., num_joints) [rad/s]."""
    effort: Array | None = None
    """Target or feed-forward torques, (..., num_joints) [Nm]."""
    stiffness: Array | None = None
    """Proportional gains, (..., num_joints) [Nm/rad]."""
    damping: Array | None = None
    """Derivative gains, (..., num_joints) [Nm s/rad]."""

    def with_position(self, position: Array) -> JointCommand:
        """The same command with other target positions."""
        return replace(self, position=position)


@dataclass(frozen=True, slots=True)
class BaseCommand:
    """Velocity command of a mobile base, in its own frame (x forward, y left, z up)."""

    linear_velocity: Array
    """(..., 2) x and y [m/s]."""
    yaw_rate: Array
    """(...,) [rad/s]."""
