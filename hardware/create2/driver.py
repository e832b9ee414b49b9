"""The driver of the Create 2: velocity commands at 50 Hz over the Open Interface."""

from __future__ import annotations

import contextlib
import math
import threading
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from hardware.clock import Clock, SystemClock
from hardware.create2 import open_interface as oi
from hardware.create2.base_state import BaseState, trouble
from hardware.create2.config import Create2Config
from hardware.create2.guard import Guard
from hardware.create2.open_interface import OiMode
from hardware.create2.spec import AXLE_LENGTH, CREATE2, STREAM_PERIOD_S
from hardware.errors import (
    ConfigError,
    DeviceError,
    DeviceFaultError,
    DeviceNotConnectedError,
    NonFiniteError,
    StaleDataError,
)
from hardware.records import BaseCommand, RobotMode, RobotState
from hardware.serial_port import SerialPort
from hardware.spec import RobotSpec

DEVICE = "Create 2"
BAUD_RATE = 115_200
_PACKET_S = oi.PACKET_BYTES * 10 / BAUD_RATE
_POLL_S = 0.005
_WAKE_S = 0.5
_MODE_CHANGE_S = 0.03
_ATTEMPTS = 2
_REST = BaseCommand(np.zeros(2), np.float64(0.0))


class Create2Robot:
    """A connection to one Create 2; see `hardware.robot.Robot`. It takes `BaseCommand`.

    The robot has no watchdog: it keeps its last speed for ever. While connected, a guard process stops it when this
    process dies or falls silent. Nothing stops it when the cable is pulled, but its own cliff sensors.

    Args:
        config: port and settings.
        clock: the monotonic clock of capture times; default the system's.
    """

    def __init__(self, config: Create2Config, clock: Clock | None = None) -> None:
        self.config = config
        self._clock: Clock = clock if clock is not None else SystemClock()
        self._lock = threading.Lock()
        self._port: SerialPort | None = None
        self._guard: Guard | None = None
        self._parser = oi.StreamParser()
        self._base = BaseState()
        self._state: RobotState | None = None
        self._wanted = OiMode.SAFE if config.oi_mode == "safe" else OiMode.FULL
        self._stopped = False

    @property
    def spec(self) -> RobotSpec:
        """The Create 2."""
        return CREATE2

    @property
    def bad_packets(self) -> int:
        """Packets that were damaged on the line, since connecting."""
        return self._parser.bad_packets

    @property
    def implausible_readings(self) -> int:
        """Encoder readings that no wheel can have made, since connecting."""
        return self._base.implausible_readings

    def connect(self) -> None:
        """Open the port, wake the robot if need be, start its sensor stream, and switch to the configured mode.

        Raises:
            DeviceNotConnectedError: no port, or nothing answers.
            DeviceFaultError: it does not take commands: lifted, at an edge, on its charger, asleep.
        """
        self.disconnect()
        port = SerialPort(DEVICE, self.config.port, BAUD_RATE)
        self._parser, self._base, self._state = oi.StreamParser(), BaseState(), None
        self._port = port
        try:
            self._start_stream(port)
            self._enter_mode(port)
            self._guard = Guard(port.descriptor, self.config.guard_silence_s)
        except BaseException:
            self._port = None
            port.close()
            raise

    def recover(self) -> None:
        """Take commands again after a stop; call it only when a person has seen to the cause.

        Raises: as `connect`.
        """
        port = self._port
        if port is None or self._guard is None or not self._guard.alive:
            self.connect()
            return
        try:
            self._enter_mode(port)
        except DeviceNotConnectedError:
            self.connect()

    def read(self) -> RobotState:
        """The newest measurement; never waits.

        Raises:
            DeviceNotConnectedError: the connection is not open, or broke.
            StaleDataError: the newest measurement is older than `spec.state_age_max_s`.
        """
        state = self._poll(self._opened())
        if state is None:
            raise StaleDataError(f"{DEVICE} state", math.inf, self.spec.state_age_max_s)
        age_s = self._clock.now() - float(state.capture_time_s)
        if age_s > self.spec.state_age_max_s:
            raise StaleDataError(f"{DEVICE} state", age_s, self.spec.state_age_max_s)
        return state

    def send(self, command: BaseCommand) -> None:
        """Hand a velocity to the wheels. Never waits.

        Raises:
            ConfigError: it is no BaseCommand, or moves sideways.
            NonFiniteError: it contains a number that is not finite.
            LimitViolationError: a wheel cannot be that fast.
            DeviceFaultError: by the last state read, the robot does not take commands; the message says why.
            DeviceNotConnectedError: the connection is not open, or broke.
        """
        port = self._opened()
        data = _wheels(command)
        state = self._state
        if state is not None and state.mode is not RobotMode.RUNNING:
            raise DeviceFaultError(DEVICE, state.detail, _recovery(state))
        with self._lock:
            if self._stopped:
                raise DeviceFaultError(DEVICE, "a stop by stop()", "recover()")
            port.write(data)
            if self._guard is not None:
                self._guard.tell(moving=data != _wheels(_REST))

    def stop(self) -> None:
        """Wheels to zero, then passive mode: motors off. Only `recover` or `connect` start it again."""
        with self._lock:
            self._stopped = True
            if self._port is not None:
                with contextlib.suppress(DeviceError):
                    self._port.write(_wheels(_REST) + oi.START)
            if self._guard is not None:
                self._guard.tell(moving=False)

    def disconnect(self) -> None:
        """Stop the robot, end the Open Interface, close. Idempotent, never raises."""
        port = self._port
        if port is None:
            return
        self.stop()
        with contextlib.suppress(DeviceError):
            port.write(oi.PAUSE_STREAM + oi.STOP)
        if self._guard is not None:
            self._guard.close()
        port.close()
        self._port = self._guard = None

    def _opened(self) -> SerialPort:
        if self._port is None:
            check = "that connect() was called, and not disconnect() since"
            raise DeviceNotConnectedError(DEVICE, self.config.port, check)
        return self._port

    def _poll(self, port: SerialPort) -> RobotState | None:
        """Take what has arrived."""
        readings = list(self._parser.feed(port.read()))
        now_s = self._clock.now()
        for index, reading in enumerate(readings):
            if reading is None:
                self._base.skip()
            elif self._base.take(reading):
                # The newest packet took its time on the line; those before it came one period earlier each.
                age_s = _PACKET_S + (len(readings) - 1 - index) * STREAM_PERIOD_S
                state = self._base.state(now_s - age_s, self._wanted)
                self._state = _stopped(state) if self._stopped else state
        return self._state

    def _start_stream(self, port: SerialPort) -> None:
        """Begin the Open Interface, waking the robot if it does not answer at once."""
        for attempt in range(_ATTEMPTS):
            if attempt:
                self._pulse_wake_line(port)
            port.write(oi.START + oi.stream_request())
            if self._wait(port, lambda _: True, self.config.connect_timeout_s / _ATTEMPTS):
                return
        raise DeviceNotConnectedError(
            DEVICE, self.config.port, "that it is switched on and awake (press CLEAN once), and the cable's plug"
        )

    def _enter_mode(self, port: SerialPort) -> None:
        """Switch to the mode in which the robot takes commands, with its wheels at rest."""
        command = oi.SAFE if self._wanted is OiMode.SAFE else oi.FULL
        for attempt in range(_ATTEMPTS):
            if attempt:
                self._pulse_wake_line(port)
            for part in (oi.START, command, _wheels(_REST)):
                port.write(part)
                self._clock.sleep_until(self._clock.now() + _MODE_CHANGE_S)
            self._poll(port)  # what it said before
            self._stopped = False
            if self._wait(
                port, lambda state: state.mode is RobotMode.RUNNING, self.config.connect_timeout_s / _ATTEMPTS
            ):
                return
        reading = self._base.reading
        why = trouble(reading) if reading is not None else ""
        if "home base" in why:
            raise DeviceFaultError(
                DEVICE,
                f"that it stays passive: {why}",
                "take it off the home base (there it falls asleep), press CLEAN",
            )
        if why:
            raise DeviceFaultError(DEVICE, f"that it stays passive: {why}", "put it on the floor, away from edges")
        raise DeviceFaultError(DEVICE, "that it stays passive, for no reason it tells", "press CLEAN to wake it")

    def _pulse_wake_line(self, port: SerialPort) -> None:
        """Pull BRC low, which the robot's own cable wires to RTS; on ports without modem lines nothing happens."""
        if port.set_rts(True):  # a set RTS is a low voltage at the robot
            self._clock.sleep_until(self._clock.now() + _WAKE_S)
            port.set_rts(False)
            self._clock.sleep_until(self._clock.now() + _WAKE_S)

    def _wait(self, port: SerialPort, ready: Callable[[RobotState], bool], timeout_s: float) -> bool:
        """Read until a new state is `ready`; False when `timeout_s` [s] have passed. Not for a control loop."""
        deadline_s, before = self._clock.now() + timeout_s, self._state
        while self._clock.now() < deadline_s:
            state = self._poll(port)
            if state is not None and state is not before and ready(state):
                return True
            self._clock.sleep_until(self._clock.now() + _POLL_S)
        return False


def _wheels(command: BaseCommand) -> bytes:
    """The command to the wheels: v -+ w * axle / 2."""
    if not isinstance(command, BaseCommand) or np.shape(command.linear_velocity) != (2,):
        raise ConfigError(f"the Create 2 takes a BaseCommand with two velocities, not {command!r}")
    forward, sideways = (float(value) for value in command.linear_velocity)
    yaw_rate = float(command.yaw_rate)
    if not all(map(math.isfinite, (forward, sideways, yaw_rate))):
        raise NonFiniteError(f"Create 2 command is not finite: {forward} {sideways} m/s, {yaw_rate} rad/s")
    if sideways != 0.0:
        raise ConfigError(f"the Create 2 cannot move sideways ({sideways} m/s)")
    half = 0.5 * AXLE_LENGTH * yaw_rate
    return oi.drive_direct(forward - half, forward + half)


def _stopped(state: RobotState) -> RobotState:
    """`state` after `stop()`."""
    if state.mode is RobotMode.PROTECTIVE_STOP:
        return state
    return replace(state, mode=RobotMode.IDLE, detail="stopped by the host")


def _recovery(state: RobotState) -> str:
    if state.mode is RobotMode.PROTECTIVE_STOP:
        return "put it on the floor, away from edges and off its charger, then recover()"
    return "recover()"
