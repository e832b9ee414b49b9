"""What every teleoperation device offers."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from hardware.arrays import FloatArray


class OperatorEvent(Enum):
    """What an operator can say besides moving."""

    SUCCESS = "success"
    FAILURE = "failure"
    RERECORD = "re-record"
    STOP = "stop"


@dataclass(frozen=True, slots=True)
class OperatorCommand:
    """One reading of a teleoperation device."""

    capture_time_s: float
    """Monotonic time of the reading [s]."""
    sequence: int
    """Counts up by one per reading; a reader sees lost and repeated ones."""
    enabled: bool
    """Whether the dead-man switch is held; when not, the robot holds."""
    tool_linear_velocity: FloatArray | None = None
    """In the base frame, (3,) [m/s]."""
    tool_angular_velocity: FloatArray | None = None
    """In the base frame, (3,) [rad/s]."""
    joint_position: FloatArray | None = None
    """Of a leader arm, in the follower's joint order, (num_joints,) [rad]."""
    gripper: float | None = None
    """0 closed to 1 open."""
    events: tuple[OperatorEvent, ...] = ()
    """What was pressed since the last reading."""


class Teleoperator(Protocol):
    """A connection to one teleoperation device."""

    def connect(self) -> None:
        """Open the device.

        Raises:
            DeviceNotConnectedError: no such device.
        """
        ...

    def read(self) -> OperatorCommand:
        """The newest reading.

        Raises:
            DeviceNotConnectedError: the device is gone.
        """
        ...

    def disconnect(self) -> None:
        """Close the device. Idempotent, never raises."""
        ...
