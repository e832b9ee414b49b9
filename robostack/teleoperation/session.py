"""One operator at one robot: reads the device, couples it, and reacts when it falls silent. Knows no ROS."""

from __future__ import annotations

from dataclasses import dataclass

from controllers.reference import BaseReference, JointReference
from hardware.errors import ConfigError, DeviceError, StaleDataError
from hardware.records import RobotState
from hardware.teleoperator import OperatorCommand, OperatorEvent, Teleoperator
from robostack.teleoperation.coupling import OperatorCoupling


@dataclass(frozen=True)
class SessionConfig:
    """How patient the session is with its device.

    Raises:
        ConfigError: a setting out of range.
    """

    stop_after_s: float = 1.0
    """A device that was in use and is silent for this long stops the robot [s]; until then it holds."""
    reconnect_s: float = 1.0
    """Time between two attempts to reach a device that is gone [s]."""

    def __post_init__(self) -> None:
        if not 0.1 <= self.stop_after_s <= 60.0:
            raise ConfigError(f"teleoperation: stop_after_s = {self.stop_after_s} is outside [0.1, 60]")
        if not self.reconnect_s > 0.0:
            raise ConfigError(f"teleoperation: reconnect_s = {self.reconnect_s} must be positive")


@dataclass(frozen=True, slots=True)
class SessionStep:
    """What one period leads to."""

    reference: JointReference | BaseReference | None
    """What the robot is to do; None: hold."""
    enabled: bool
    """Whether the robot follows the operator."""
    stop: bool
    """Whether the robot is to be stopped now: the operator said so, or the device fell silent."""
    events: tuple[OperatorEvent, ...]
    """What was said."""
    message: str
    """What the operator should know."""


class OperatorSession:
    """See the module.

    Args:
        device: moves the robot.
        coupling: turns its commands into set-points.
        keys: a second device that only says success, stop and so on; None: none.
        config: patience.
    """

    def __init__(
        self,
        device: Teleoperator,
        coupling: OperatorCoupling,
        keys: Teleoperator | None = None,
        config: SessionConfig | None = None,
    ) -> None:
        self.device, self.coupling, self.keys = device, coupling, keys
        self.config = config if config is not None else SessionConfig()
        self._connected = False
        self._heard_s: float | None = None
        self._in_use = False
        self._held_s = float("-inf")
        self._tried_s = float("-inf")
        self._problem = ""

    def connect(self) -> None:
        """Open the devices, unless they are open.

        Raises:
            DeviceError: the device that moves the robot is not there, or not as it should be.
        """
        if self._connected:
            return
        self.coupling.prepare()
        self.device.connect()
        self._connected = True
        if self.keys is not None:
            try:
                self.keys.connect()
            except DeviceError:  # a convenience: without a terminal there are no keys
                self.keys = None

    def disconnect(self) -> None:
        """Close the devices. Idempotent, never raises."""
        self._connected = False
        self.device.disconnect()
        if self.keys is not None:
            self.keys.disconnect()

    def step(self, state: RobotState | None, now_s: float) -> SessionStep:
        """One period.

        Args:
            state: newest measurement; None: the robot may not be moved now, only events count.
            now_s: monotonic time [s].

        Raises:
            ConfigError: this device cannot move this robot.
        """
        command = self._read(now_s)
        events = [] if command is None else list(command.events)
        events += self._say()
        if OperatorEvent.CLUTCH in events:
            self._toggle(command)
        silent_s = now_s - self._heard_s if self._heard_s is not None else 0.0
        silent = self._in_use and silent_s > self.config.stop_after_s
        stop = OperatorEvent.STOP in events or silent
        if stop:
            self._disengage()
            self._in_use = False
        if stop or state is None:
            self.coupling.release()
            message = f"the operator's device is silent for {silent_s:.1f} s" if silent else self._problem
            return SessionStep(None, False, stop, tuple(events), message)
        coupled = self.coupling.step(command, state, now_s)
        self._in_use = self._in_use or coupled.enabled
        return SessionStep(coupled.reference, coupled.enabled, False, tuple(events), self._problem or coupled.message)

    def _read(self, now_s: float) -> OperatorCommand | None:
        """The newest command; None while the device cannot be read."""
        try:
            if not self._connected:
                if now_s - self._tried_s < self.config.reconnect_s:
                    return None
                self._tried_s = now_s
                self.device.connect()
                self._connected = True
            command = self.device.read()
        except StaleDataError as error:  # for now; it counts as silence
            self._problem = str(error)
            return None
        except DeviceError as error:
            if self._connected:
                self._connected = False
                self._tried_s = now_s
                self._disengage()
                self.device.disconnect()
            self._problem = str(error)
            return None
        self._problem = ""
        self._heard_s = max(command.capture_time_s, self._heard_s or command.capture_time_s)
        fresh = command.capture_time_s > now_s - self.coupling.config.command_age_max_s
        if command.enabled:
            self._held_s = command.capture_time_s
        elif fresh and command.capture_time_s > self._held_s:
            # The operator is there and has let go: silence from now on harms nobody. A device that has lost its
            # operator does not hold any more either, but it has no newer reading to say so.
            self._in_use = False
        return command

    def _say(self) -> list[OperatorEvent]:
        """What was said with the keys."""
        if self.keys is None:
            return []
        try:
            return list(self.keys.read().events)
        except DeviceError as error:
            self._problem = str(error)
            self.keys.disconnect()
            self.keys = None
            return []

    def _toggle(self, command: OperatorCommand | None) -> None:
        """The clutch of a device without a dead-man switch."""
        set_enabled = getattr(self.device, "set_enabled", None)
        if set_enabled is not None and command is not None:
            set_enabled(not command.enabled)

    def _disengage(self) -> None:
        """After a stop or a loss a device without a dead-man switch must be coupled anew, by a person."""
        set_enabled = getattr(self.device, "set_enabled", None)
        if set_enabled is not None:
            set_enabled(False)
