"""A gamepad through the kernel's joystick interface, parsed here; see `hardware.teleoperator.Teleoperator`.

Source: Linux kernel, include/uapi/linux/joystick.h (struct js_event, JSIOCGAXMAP, JSIOCGBTNMAP) and
include/uapi/linux/input-event-codes.h (ABS_*, BTN_*). Axes and buttons are matched by those names, which differ in
order from pad to pad.
"""

from __future__ import annotations

import fcntl
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hardware.clock import Clock, SystemClock
from hardware.errors import ConfigError, DeviceNotConnectedError, UnknownNameError
from hardware.teleoperation.device_file import DeviceFile
from hardware.teleoperation.twist_config import TwistConfig, past_dead_zone
from hardware.teleoperator import OperatorCommand, OperatorEvent

_EVENT = struct.Struct("=IhBB")  # time [ms], value, type, number
_BUTTON, _AXIS, _INITIAL = 0x01, 0x02, 0x80
_FULL = 32767.0
_GET_AXES, _GET_BUTTONS = 0x80406A32, 0x84006A34
_AXIS_NAMES = {0: "x", 1: "y", 2: "z", 3: "rx", 4: "ry", 5: "rz", 0x10: "hat_x", 0x11: "hat_y"}
_BUTTON_NAMES = {
    0x130: "a",
    0x131: "b",
    0x133: "x",
    0x134: "y",
    0x136: "tl",
    0x137: "tr",
    0x13A: "select",
    0x13B: "start",
    0x13C: "mode",
    0x13D: "thumb_l",
    0x13E: "thumb_r",
}
AXES = ("x", "y", "z", "rx", "ry", "rz", "hat_x", "hat_y")
"""Axes of a pad that does not tell its own: the order of the kernel's driver for Xbox pads."""
BUTTONS = ("a", "b", "x", "y", "tl", "tr", "select", "start", "mode", "thumb_l", "thumb_r")
"""Buttons of the same."""
EVENTS = {
    "a": OperatorEvent.SUCCESS,
    "x": OperatorEvent.FAILURE,
    "select": OperatorEvent.RERECORD,
    "start": OperatorEvent.FINISH,
    "b": OperatorEvent.STOP,
    "y": OperatorEvent.RESET,
}
"""Button -> what it says."""
HELP = (
    "hold RB to move; left stick x y, right stick z and turn, pad tilt, RT/LT close/open the gripper; A success, "
    "X failure, Back record again, Start finish, B STOP, Y reset"
)
"""One line for the operator."""
# Up and left are negative on sticks and pads; triggers rest at -1.
_VELOCITY = (("y", -1.0), ("x", -1.0), ("ry", -1.0), ("hat_x", 1.0), ("hat_y", -1.0), ("rx", -1.0))
_TRIGGERS = (("rz", 0.0), ("z", 1.0))
_PRESSED = -0.5


@dataclass(frozen=True)
class GamepadConfig(TwistConfig):
    """Which gamepad, and how it is read.

    Raises:
        ConfigError: a setting out of range.
    """

    device: str = ""
    """Device file; empty: the first of /dev/input/js*."""
    dead_zone: float = 0.12
    """Deflection of a stick that counts as none, as a share of the full one."""
    dead_man: str = "tr"
    """Button that must be held: tr and tl are the upper shoulder buttons."""
    silence_s: float = 2.0
    """Longest time without any change of sticks or buttons while the dead-man button is held [s]: the kernel reports
    only changes, so that a pad out of reach looks like one that is held perfectly still."""

    def __post_init__(self) -> None:
        TwistConfig.__post_init__(self)
        if not 0.0 <= self.dead_zone <= 0.9:
            raise ConfigError(f"gamepad: dead_zone = {self.dead_zone} is outside [0, 0.9]")
        if self.dead_man not in BUTTONS:
            raise UnknownNameError("button of the gamepad", self.dead_man, BUTTONS)
        if not self.silence_s > 0.0:
            raise ConfigError(f"gamepad: silence_s = {self.silence_s} must be positive")


class Gamepad:
    """A connection to one gamepad.

    Args:
        config: device file and speeds.
        clock: the monotonic clock of capture times; default the system's.
    """

    def __init__(self, config: GamepadConfig, clock: Clock | None = None) -> None:
        self.config = config
        self._clock: Clock = clock if clock is not None else SystemClock()
        self._file: DeviceFile | None = None
        self._axis_names: tuple[str, ...] = AXES
        self._button_names: tuple[str, ...] = BUTTONS
        self._axes: dict[str, float] = {}
        self._buttons: set[str] = set()
        self._rest = b""
        self._heard_s = float("-inf")
        self._sequence = 0

    def connect(self) -> None:
        """Open the device and learn its layout.

        Raises:
            DeviceNotConnectedError: no gamepad.
        """
        self.disconnect()
        path = self.config.device or next(map(str, sorted(Path("/dev/input").glob("js*"))), "/dev/input/js0")
        check = "the cable or the pairing, `ls /dev/input/js*`, and that you are in the group `input`"
        self._file = DeviceFile("gamepad", path, check)
        self._axis_names, self._button_names = _layout(self._file.descriptor)
        self._axes, self._buttons, self._rest = {}, set(), b""

    def read(self) -> OperatorCommand:
        """Sticks and buttons now, and what was pressed since the last reading.

        Raises:
            DeviceNotConnectedError: the gamepad is gone.
        """
        if self._file is None:
            raise DeviceNotConnectedError(
                "gamepad", self.config.device or "/dev/input/js*", "that connect() was called"
            )
        now_s = self._clock.now()
        data = self._rest + b"".join(self._file.read())
        whole = len(data) - len(data) % _EVENT.size
        self._rest = data[whole:]
        pressed = [name for event in _EVENT.iter_unpack(data[:whole]) for name in self._take(*event)]
        if whole:
            self._heard_s = now_s
        deflection = np.array([sign * self._axes.get(name, 0.0) for name, sign in _VELOCITY])
        velocity = past_dead_zone(deflection, self.config.dead_zone)
        gripper = [opening for name, opening in _TRIGGERS if self._axes.get(name, -1.0) > _PRESSED]
        self._sequence += 1
        return OperatorCommand(
            capture_time_s=now_s,
            sequence=self._sequence,
            enabled=self.config.dead_man in self._buttons and now_s - self._heard_s <= self.config.silence_s,
            tool_linear_velocity=velocity[:3] * self.config.linear_speed,
            tool_angular_velocity=velocity[3:] * self.config.angular_speed,
            gripper=gripper[0] if gripper else None,
            events=tuple(EVENTS[name] for name in pressed if name in EVENTS),
        )

    def disconnect(self) -> None:
        """Close the device. Idempotent, never raises."""
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def _take(self, _time_ms: int, value: int, kind: int, number: int) -> list[str]:
        """Keep one event; the name of the button if one was pressed."""
        initial, kind = bool(kind & _INITIAL), kind & ~_INITIAL
        if kind == _AXIS and number < len(self._axis_names):
            self._axes[self._axis_names[number]] = value / _FULL
        elif kind == _BUTTON and number < len(self._button_names):
            name = self._button_names[number]
            if value:
                self._buttons.add(name)
                return [] if initial else [name]
            self._buttons.discard(name)
        return []


def _layout(descriptor: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of axes and buttons by number, as the pad's kernel driver gives them."""
    axes, buttons = bytearray(64), bytearray(1024)
    try:
        fcntl.ioctl(descriptor, _GET_AXES, axes)
        fcntl.ioctl(descriptor, _GET_BUTTONS, buttons)
    except OSError:  # a recording, which knows no requests
        return AXES, BUTTONS
    codes = struct.unpack(f"={len(buttons) // 2}H", buttons)
    return (
        tuple(_AXIS_NAMES.get(code, f"axis_{code}") for code in axes),
        tuple(_BUTTON_NAMES.get(code, f"button_{code}") for code in codes),
    )
