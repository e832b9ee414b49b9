"""What every teleoperation device offers, and how one is registered."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol, cast, runtime_checkable

from hardware.arrays import FloatArray
from hardware.registry import Registry, load_object


class OperatorEvent(Enum):
    """What an operator can say besides moving."""

    SUCCESS = "success"
    """End the episode, it succeeded; between episodes: begin the next one now."""
    FAILURE = "failure"
    """End the episode, it failed; it is kept."""
    RERECORD = "re-record"
    """Discard the running episode and record it again."""
    FINISH = "finish"
    """End the session in order; a running episode is kept."""
    STOP = "stop"
    """Emergency stop: the robot's own stop, at once; latched until RESET."""
    RESET = "reset"
    """A person has seen to the cause of a stop: make the robot ready again."""
    CLUTCH = "clutch"
    """For devices without a dead-man switch: follow them from now on, or no longer."""


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
    """0 closed to 1 open: where the gripper is to go, at bounded speed; None: stay."""
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


@runtime_checkable
class OperatorDisplay(Protocol):
    """What a device has besides, if it can show the operator something. Called from the node's thread; never waits."""

    def show_frame(self, camera: str, jpeg: bytes, capture_time_s: float) -> None:
        """Show the newest image of a camera.

        Args:
            camera: name of the camera.
            jpeg: the image as JPEG.
            capture_time_s: monotonic time of the exposure [s].
        """
        ...

    def show_status(self, status: Mapping[str, object]) -> None:
        """Show how things are, a few times per second.

        Args:
            status: plain values that JSON can carry. Keys: `robot` (name), `enabled` (whether the robot follows the
                operator), `safety` (one line from the driver: ok, what it limits, why it stopped), `stopped` (whether
                it is stopped until a reset), `state_age_s` (age of the newest measurement, null: none yet), `rate_hz`
                and `lateness_ms` (of the operator's commands), `phase` ("wait", "operate", "record", "reset", "done"),
                `recording`, `episode` (from 0), `episodes` (wanted; 0: not recording), `episode_time_s`
                (null: not told), and `message`.
        """
        ...


@dataclass(frozen=True)
class TeleoperatorEntry:
    """How a device registers: `TELEOPERATOR = TeleoperatorEntry(...)` in a module of `robostack.teleoperation`."""

    device: str
    """"module:Class"; imported only when opened. The class takes one argument, its configuration."""
    config: str
    """"module:Class" of its configuration, a frozen dataclass with a default for every field. A field named `robot` is
    filled with the registry name of the robot that is operated."""
    summary: str
    """One line for `robostack list teleoperators`."""

    def config_type(self) -> type[Any]:
        """The configuration dataclass of the device."""
        return cast(type[Any], load_object(self.config))

    def open(self, config: object | None = None) -> Teleoperator:
        """The device, not yet connected, with `config` (default: the configuration's defaults)."""
        device = cast(Callable[[object], Teleoperator], load_object(self.device))
        return device(config if config is not None else self.config_type()())


TELEOPERATORS: Registry[TeleoperatorEntry] = Registry("teleoperator", "robostack.teleoperation", "TELEOPERATOR")
"""Every device: modules of that package, and entry points of the group `robostack.teleoperators`."""
