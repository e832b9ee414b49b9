"""The keyboard of a terminal: works over SSH and without a display; see `hardware.teleoperator.Teleoperator`.

A terminal tells which key was pressed, not when it was released. The repetition of a held key is the dead-man switch:
a direction ends `hold_s` after its last press, and with no direction left the robot holds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hardware.clock import Clock, SystemClock
from hardware.errors import ConfigError, DeviceNotConnectedError
from hardware.teleoperation.keys import KeyDecoder
from hardware.teleoperation.terminal import KeyTerminal
from hardware.teleoperation.twist_config import TwistConfig
from hardware.teleoperator import OperatorCommand, OperatorEvent

DIRECTIONS: dict[str, tuple[int, float]] = {
    "w": (0, 1.0),
    "s": (0, -1.0),
    "a": (1, 1.0),
    "d": (1, -1.0),
    "e": (2, 1.0),
    "c": (2, -1.0),
    "u": (3, -1.0),
    "o": (3, 1.0),
    "i": (4, 1.0),
    "k": (4, -1.0),
    "j": (5, 1.0),
    "l": (5, -1.0),
}
"""Key -> axis of the tool's velocity in the base frame (x, y, z, about x, about y, about z) and sign."""
GRIPPER: dict[str, float] = {"v": 0.0, "b": 1.0}
"""Key -> opening the gripper goes to while it is held."""
SPEED: dict[str, float] = {"+": 1.25, "=": 1.25, "-": 0.8}
"""Key -> factor on the speed."""
EVENTS: dict[str, OperatorEvent] = {
    "right": OperatorEvent.SUCCESS,
    "n": OperatorEvent.SUCCESS,
    "down": OperatorEvent.FAILURE,
    "f": OperatorEvent.FAILURE,
    "left": OperatorEvent.RERECORD,
    "r": OperatorEvent.RERECORD,
    "esc": OperatorEvent.FINISH,
    "q": OperatorEvent.FINISH,
    "space": OperatorEvent.STOP,
    "enter": OperatorEvent.RESET,
    "tab": OperatorEvent.CLUTCH,
}
"""Key -> what it says. Arrow keys and Esc as in other recorders; n, r, q for terminals that keep those."""
HELP = (
    "w/s x, a/d y, e/c z, u/o i/k j/l turn about x y z, v/b gripper close/open, +/- speed, "
    "right success, down failure, left record again, Esc finish, SPACE STOP, Enter reset"
)
"""One line for the operator."""
_FACTOR_RANGE = (0.1, 4.0)


@dataclass(frozen=True)
class KeyboardConfig(TwistConfig):
    """Which terminal, and for how long a key counts as held.

    Raises:
        ConfigError: a setting out of range.
    """

    terminal: str = ""
    """Path of the terminal; empty: the one this command was started in."""
    hold_s: float = 0.3
    """A key counts as held for this long after its last press or repetition [s]. Most terminals repeat after 0.25 s to
    0.66 s for the first time, then 30 times per second."""
    motion: bool = True
    """Whether keys move the robot; without, they only say success, stop and so on, beside another device."""

    def __post_init__(self) -> None:
        TwistConfig.__post_init__(self)
        if not 0.05 <= self.hold_s <= 1.0:
            raise ConfigError(f"keyboard: hold_s = {self.hold_s} is outside [0.05, 1]")


class Keyboard:
    """A connection to the keyboard of one terminal.

    Args:
        config: terminal and speeds.
        clock: the monotonic clock of capture times; default the system's.
    """

    def __init__(self, config: KeyboardConfig, clock: Clock | None = None) -> None:
        self.config = config
        self.factor = 1.0
        """Speed chosen by the operator, as a factor on the configured one."""
        self._clock: Clock = clock if clock is not None else SystemClock()
        self._decoder = KeyDecoder()
        self._terminal: KeyTerminal | None = None
        self._pressed_s: dict[str, float] = {}
        self._sequence = 0

    def connect(self) -> None:
        """Take the terminal.

        Raises:
            DeviceNotConnectedError: there is none.
        """
        self.disconnect()
        self._terminal = KeyTerminal(self.config.terminal)

    def read(self) -> OperatorCommand:
        """The keys held now, and what was said since the last reading.

        Raises:
            DeviceNotConnectedError: the terminal is gone.
        """
        if self._terminal is None:
            raise DeviceNotConnectedError(
                "keyboard", self.config.terminal or "the terminal", "that connect() was called"
            )
        now_s = self._clock.now()
        events = [event for key in self._decoder.feed(self._terminal.read(), now_s) for event in self._take(key, now_s)]
        held = [key for key, pressed_s in self._pressed_s.items() if now_s - pressed_s <= self.config.hold_s]
        velocity = np.zeros(6)
        for key in held:
            if key in DIRECTIONS:
                axis, sign = DIRECTIONS[key]
                velocity[axis] += sign
        gripper = [GRIPPER[key] for key in held if key in GRIPPER]
        self._sequence += 1
        return OperatorCommand(
            capture_time_s=now_s,
            sequence=self._sequence,
            enabled=bool(held),
            tool_linear_velocity=velocity[:3] * self.config.linear_speed * self.factor,
            tool_angular_velocity=velocity[3:] * self.config.angular_speed * self.factor,
            gripper=gripper[-1] if gripper else None,
            events=tuple(events),
        )

    def disconnect(self) -> None:
        """Give the terminal back as it was. Idempotent, never raises."""
        terminal, self._terminal = self._terminal, None
        self._pressed_s.clear()
        if terminal is not None:
            terminal.close()

    def _take(self, key: str, now_s: float) -> list[OperatorEvent]:
        if key in SPEED:
            self.factor = min(max(self.factor * SPEED[key], _FACTOR_RANGE[0]), _FACTOR_RANGE[1])
        elif self.config.motion and (key in DIRECTIONS or key in GRIPPER):
            self._pressed_s.pop(key, None)  # the newest comes last
            self._pressed_s[key] = now_s
        event = EVENTS.get(key)
        return [event] if event is not None else []
