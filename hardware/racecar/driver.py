"""The driver of the car: speed and steering at 50 Hz over the serial protocol of the VESC."""

from __future__ import annotations

import contextlib
import math
import threading

import numpy as np

from hardware.clock import Clock, SystemClock
from hardware.errors import (
    ConfigError,
    DeviceError,
    DeviceFaultError,
    DeviceNotConnectedError,
    LimitViolationError,
    NonFiniteError,
    StaleDataError,
)
from hardware.planar_odometry import PlanarOdometry
from hardware.racecar import vesc
from hardware.racecar.config import RacecarConfig
from hardware.racecar.spec import RACECAR, STEERING_MAX, WHEELBASE
from hardware.racecar.value_requests import ValueRequests
from hardware.records import BaseCommand, RobotMode, RobotState
from hardware.serial_port import SerialPort
from hardware.spec import RobotSpec

DEVICE = "racecar"
PAUSE_S = 0.1
"""A caller that has not read for this long does not run a control loop [s]."""
ANSWER_S = 0.05
"""Longest wait for an answer after such a pause [s]; it takes 8 ms on a serial line, less over USB."""
_POLL_S = 0.005
_DRAIN_S = 0.05
_TACHOMETER_PER_TURN = 6
_SPEED_PLAUSIBLE = 10.0
_CREEP = 0.02
_ROUNDING = 1.01


class RacecarRobot:
    """A connection to one car; see `hardware.robot.Robot`. It takes `BaseCommand`; the curvature sets the steering.

    The way comes from the motor's commutation steps; the turn from the commanded steering angle, because nothing
    measures it. The VESC cuts the motor by itself when commands stop (its own timeout, 1 s as delivered).

    Args:
        config: port and scales.
        clock: the monotonic clock of capture times; default the system's.
    """

    def __init__(self, config: RacecarConfig, clock: Clock | None = None) -> None:
        self.config = config
        self._clock: Clock = clock if clock is not None else SystemClock()
        self._lock = threading.Lock()
        self._port: SerialPort | None = None
        self._stopped = False
        self.implausible_readings = 0
        self.last_round_trip_s: float | None = None
        """Time from a question to reading its answer, noticed in `read` [s]; None before the first."""
        """Readings whose tachometer had moved farther than the car can."""
        self._forget()

    @property
    def spec(self) -> RobotSpec:
        """The car."""
        return RACECAR

    @property
    def bad_frames(self) -> int:
        """Frames that were damaged on the line, since connecting."""
        return self._parser.bad_frames

    def connect(self) -> None:
        """Open the port, wait for the first values, and put the wheels straight. The motor is left alone.

        Raises:
            DeviceNotConnectedError: no port, or nothing answers.
            DeviceFaultError: the VESC reports a fault, or its kill switch is open.
        """
        self.disconnect()
        port = SerialPort(DEVICE, self.config.port)
        self._port = port
        self._forget()
        try:
            state = self._first_state(port)
            if state.mode is not RobotMode.RUNNING:
                raise DeviceFaultError(DEVICE, state.detail, _recovery(state))
            port.write(vesc.set_servo(self._servo(0.0)))
        except BaseException:
            self._port = None
            port.close()
            raise

    def recover(self) -> None:
        """Take commands again after a stop; call it only when a person has seen to the cause.

        Raises: as `connect`.
        """
        self.connect()

    def read(self) -> RobotState:
        """The newest measurement, and a question for the next. Never waits while it is called once per cycle.

        The VESC speaks only when asked. Where the caller has paused for longer than `PAUSE_S`, as between connecting
        and the start of a control loop, a measurement is asked for and waited for, for at most `ANSWER_S`.

        Raises:
            DeviceNotConnectedError: the connection is not open, or broke.
            StaleDataError: the newest measurement is older than `spec.state_age_max_s`.
        """
        port = self._opened()
        paused = self._clock.now() - self._polled_s > PAUSE_S
        state = self._poll(port)
        if paused:
            state = self._next_state(port, ANSWER_S)
        age_s = self._clock.now() - float(state.capture_time_s) if state is not None else math.inf
        if state is None or age_s > self.spec.state_age_max_s:
            raise StaleDataError(f"{DEVICE} state", age_s, self.spec.state_age_max_s)
        return state

    def send(self, command: BaseCommand) -> None:
        """Hand a velocity to motor and servo. Never waits.

        Below `speed_min` the motor brakes, because the VESC would let it coast; the wheels then keep their angle.

        Raises:
            ConfigError: it is no BaseCommand, or moves sideways.
            NonFiniteError: it contains a number that is not finite.
            LimitViolationError: a curve that is too sharp for the car, or a speed beyond its limits.
            DeviceFaultError: by the last state read, the car does not take commands; the message says why.
            DeviceNotConnectedError: the connection is not open, or broke.
        """
        port = self._opened()
        speed, steering = self._drive(command)
        state = self._state
        if state is not None and state.mode is not RobotMode.RUNNING:
            raise DeviceFaultError(DEVICE, state.detail, _recovery(state))
        slow = abs(speed) < self.config.speed_min
        motor = self._brake() if slow else vesc.set_rpm(round(speed * self.config.erpm_per_m_s))
        with self._lock:
            if self._stopped:
                raise DeviceFaultError(DEVICE, "a stop by stop()", "recover()")
            port.write(motor + vesc.set_servo(self._servo(steering)))
        self._steering = steering

    def stop(self) -> None:
        """Brake with the configured current; the VESC's timeout ends that later. Only `recover` or `connect` go on."""
        with self._lock:
            self._stopped = True
            if self._port is not None:
                with contextlib.suppress(DeviceError):
                    self._port.write(self._brake())

    def disconnect(self) -> None:
        """Stop the car and close. Idempotent, never raises."""
        port = self._port
        if port is None:
            return
        self.stop()
        port.close()
        self._port = None

    def _forget(self) -> None:
        self._parser, self._requests = vesc.FrameParser(), ValueRequests()
        self._odometry, self._steering = PlanarOdometry(), 0.0
        self._tachometer: int | None = None
        self._state: RobotState | None = None
        self._polled_s = self._clock.now()
        self._stopped = False
        self.implausible_readings = 0

    def _opened(self) -> SerialPort:
        if self._port is None:
            check = "that connect() was called, and not disconnect() since"
            raise DeviceNotConnectedError(DEVICE, self.config.port, check)
        return self._port

    def _poll(self, port: SerialPort) -> RobotState | None:
        """Take what has arrived, and ask anew where that is due."""
        self._polled_s = self._clock.now()
        bad_before = self._parser.bad_frames
        payloads = list(self._parser.feed(port.read()))
        now_s = self._clock.now()
        for payload in payloads:
            values = vesc.parse_values(payload)
            asked_s = self._requests.answered(now_s) if values is not None else None
            if values is not None and asked_s is not None:
                self.last_round_trip_s = now_s - asked_s
                self._accept(values, asked_s)
        if self._parser.bad_frames > bad_before and not payloads:
            self._requests.answered(now_s)
        if self._requests.due(now_s):
            port.write(vesc.get_values())
        return self._state

    def _accept(self, values: vesc.Values, capture_time_s: float) -> None:
        """Take over one answer."""
        steps_per_metre = _TACHOMETER_PER_TURN * self.config.erpm_per_m_s / 60.0
        speed = values.erpm / self.config.erpm_per_m_s
        curvature = math.tan(self._steering) / WHEELBASE
        before, self._tachometer = self._tachometer, values.tachometer
        if before is not None and self._state is not None:
            distance = _steps_between(before, values.tachometer) / steps_per_metre
            duration_s = max(capture_time_s - float(self._state.capture_time_s), _POLL_S)
            if abs(distance) > _SPEED_PLAUSIBLE * (duration_s + _CREEP) or abs(speed) > _SPEED_PLAUSIBLE:
                self.implausible_readings += 1
                return
            self._odometry.advance(distance, distance * curvature)
        mode, detail = self._mode(values)
        self._state = RobotState(
            capture_time_s=capture_time_s,
            joint_position=np.zeros(0),
            joint_velocity=np.zeros(0),
            base_position=self._odometry.position,
            base_quaternion=self._odometry.quaternion,
            base_linear_velocity=np.array([speed, 0.0, 0.0]),
            base_angular_velocity=np.array([0.0, 0.0, speed * curvature]),
            mode=mode,
            detail=detail,
        )

    def _mode(self, values: vesc.Values) -> tuple[RobotMode, str]:
        if values.kill_switch:
            return RobotMode.EMERGENCY_STOP, "its kill switch is open"
        if values.fault:
            return RobotMode.FAULT, f"VESC fault {values.fault}: {vesc.FAULTS.get(values.fault, 'see VESC Tool')}"
        if self._stopped:
            return RobotMode.IDLE, "stopped by the host"
        silent = ", motor cut: no command for the VESC's own timeout" if values.timed_out else ""
        return RobotMode.RUNNING, f"battery {values.input_voltage_v:.1f} V{silent}"

    def _drive(self, command: BaseCommand) -> tuple[float, float]:
        """Speed [m/s] and steering angle [rad] of a command: tan(steering) = wheelbase * yaw rate / speed."""
        if not isinstance(command, BaseCommand) or np.shape(command.linear_velocity) != (2,):
            raise ConfigError(f"the {DEVICE} takes a BaseCommand with two velocities, not {command!r}")
        speed, sideways = (float(value) for value in command.linear_velocity)
        yaw_rate = float(command.yaw_rate)
        if not all(map(math.isfinite, (speed, sideways, yaw_rate))):
            raise NonFiniteError(f"{DEVICE} command is not finite: {speed} {sideways} m/s, {yaw_rate} rad/s")
        if sideways != 0.0:
            raise ConfigError(f"the {DEVICE} cannot move sideways ({sideways} m/s)")
        base = RACECAR.base
        if base is not None and not -base.backward_max * _ROUNDING <= speed <= base.forward_max * _ROUNDING:
            raise LimitViolationError(f"{DEVICE} speed [m/s]", speed, -base.backward_max, base.forward_max)
        if abs(speed) < _CREEP:
            return speed, self._steering
        steering = math.atan(WHEELBASE * yaw_rate / speed)
        if abs(steering) > STEERING_MAX * _ROUNDING:
            raise LimitViolationError(f"{DEVICE} steering angle [rad]", steering, -STEERING_MAX, STEERING_MAX)
        return speed, steering

    def _servo(self, steering: float) -> float:
        config = self.config
        position = config.servo_straight + config.servo_per_rad * steering
        return min(max(position, config.servo_min), config.servo_max)

    def _brake(self) -> bytes:
        return vesc.set_brake(self.config.brake_current_a)

    def _first_state(self, port: SerialPort) -> RobotState:
        # What an earlier connection has asked for may still be under way.
        self._clock.sleep_until(self._clock.now() + _DRAIN_S)
        port.read()
        state = self._next_state(port, self.config.connect_timeout_s)
        if state is None:
            raise DeviceNotConnectedError(
                DEVICE, self.config.port, "that the VESC has power, and that the port is the VESC's: nothing answers"
            )
        return state

    def _next_state(self, port: SerialPort, timeout_s: float) -> RobotState | None:
        """Wait for one more answer; the newest state, whether it came or not."""
        before, deadline_s = self._state, self._clock.now() + timeout_s
        while self._poll(port) is before and self._clock.now() < deadline_s:
            self._clock.sleep_until(self._clock.now() + _POLL_S)
        return self._state


def _steps_between(before: int, after: int) -> int:
    """Commutation steps from one reading to the next, in the shorter way round of 32 bits."""
    return (after - before + 2**31) % 2**32 - 2**31


def _recovery(state: RobotState) -> str:
    if state.mode is RobotMode.EMERGENCY_STOP:
        return "close the kill switch at the car, then recover()"
    if state.mode is RobotMode.FAULT:
        return "remove the cause (battery, heat, wiring; VESC Tool tells more), then recover()"
    return "recover()"
