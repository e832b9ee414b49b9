"""The driver of an arm of position servos on one bus; see `hardware.robot.Robot`."""

from __future__ import annotations

import contextlib
import threading
from dataclasses import dataclass

import numpy as np

from hardware.arrays import FloatArray
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
from hardware.records import JointCommand, RobotMode, RobotState
from hardware.servo_bus.bring_up import BringUp
from hardware.servo_bus.calibration import joint_map
from hardware.servo_bus.config import ServoBusConfig, open_bus
from hardware.servo_bus.servo_model import family_model
from hardware.servo_bus.worker import BusSnapshot, BusWorker
from hardware.spec import RobotSpec

_STOPPED = "stopped by the host"
_RECOVERY = "see to the cause, support the arm, then call recover()"
_HOLD_TIMEOUT_S = 0.3
_SPEED_RESERVE = 1.5
"""The servos' own speed limit over the robot's: they bound what is wrong, and leave alone what is right."""


@dataclass(frozen=True)
class ServoArmConfig(ServoBusConfig):
    """How to reach and drive an arm of servos.

    Raises:
        ConfigError: a setting out of range.
    """

    hold_power: float = 0.6
    """Share of the motors' power with which the arm holds after a stop; too little lets it sink."""
    temperature_max_c: float = 65.0
    """A servo this hot stops the arm [degree Celsius]; the servos switch themselves off at 70 to 80."""
    command_timeout_s: float = 0.2
    """The arm is held after this time without a command [s]."""
    first_step_max_rad: float = 0.1
    """The first command must be this close to the measured position, per joint [rad]."""
    reading_margin_rad: float = 0.35
    """A position this far outside a joint's range is not believed, and stops the arm [rad]."""
    release_on_disconnect: bool = False
    """Whether to switch the torque off at the end: the arm falls unless someone or something carries it."""

    def __post_init__(self) -> None:
        ServoBusConfig.__post_init__(self)
        ranges = {
            "hold_power": (0.1, 1.0),
            "temperature_max_c": (30.0, 80.0),
            "command_timeout_s": (0.02, 2.0),
            "first_step_max_rad": (1e-3, 1.0),
            "reading_margin_rad": (0.0, 3.0),
        }
        for name, (low, high) in ranges.items():
            if not low <= getattr(self, name) <= high:
                raise ConfigError(f"servo arm configuration: {name} = {getattr(self, name)} is outside [{low}, {high}]")


class ServoArm:
    """A connection to one arm.

    Its safe reaction is to hold the present position with reduced power (`hold_power`): an arm without brakes falls
    when the torque goes off. A fault stays until `recover`.

    Args:
        spec: the robot.
        config: address and settings.
        clock: the monotonic clock of capture times; default the system's.
    """

    def __init__(self, spec: RobotSpec, config: ServoArmConfig, clock: Clock | None = None) -> None:
        self.config = config
        self._spec, self._clock = spec, clock if clock is not None else SystemClock()
        self._joints = joint_map(spec, config.calibration)
        self._model = family_model(config.servos)
        self._lock = threading.Lock()
        self._worker: BusWorker | None = None
        self._following = self._stopped = False
        self._fault = ""

    @property
    def spec(self) -> RobotSpec:
        """The robot."""
        return self._spec

    @property
    def temperature(self) -> FloatArray | None:
        """Temperatures of the servos in the joints' order, (n,) [degree Celsius]; None before the first reading."""
        newest = self._worker.newest if self._worker is not None else None
        return newest.temperature if newest is not None else None

    @property
    def last_round_trip_s(self) -> float | None:
        """Time from asking all servos to the last answer, of the newest complete reading [s]; None before the first."""
        return self._worker.bus.counters.last_complete_s if self._worker is not None else None

    @property
    def bad_packets(self) -> int:
        """Readings dropped since connecting because an answer was missing or damaged."""
        return self._worker.bus.counters.incomplete if self._worker is not None else 0

    def connect(self) -> None:
        """Find the servos and switch the torque on where the arm stands; nothing moves.

        Raises:
            DeviceNotConnectedError: no such port, or a servo does not answer.
            ProtocolError: a servo of another model, or one that does not keep what is written.
            DeviceFaultError: a servo reports a fault, or is too hot.
        """
        self._connect(unlock=False)

    def recover(self) -> None:
        """Clear the servos' faults and start again; the torque of those goes off for a moment. Raises as `connect`."""
        self._connect(unlock=True)

    def read(self) -> RobotState:
        """The newest measurement; never waits.

        Raises:
            DeviceNotConnectedError: the connection is not open, or broke.
            StaleDataError: the newest complete measurement is older than `spec.state_age_max_s`.
        """
        newest = self._newest()
        age_s = self._clock.now() - newest.capture_time_s
        if age_s > self.spec.state_age_max_s:
            raise StaleDataError(f"{self.spec.name} state", age_s, self.spec.state_age_max_s)
        return self._state(newest)

    def send(self, command: JointCommand) -> None:
        """Hand joint positions to the bus thread; other fields of `command` are not used. Never waits.

        Raises:
            ConfigError: the command carries no positions, or of another number of joints.
            NonFiniteError: a position is not a finite number.
            LimitViolationError: a position is outside the joint's range, or the first one far from the measured.
            DeviceFaultError: the arm was stopped, or has a fault.
            DeviceNotConnectedError: the connection is not open, or broke.
        """
        state = self._state(self._newest())
        if state.mode is not RobotMode.RUNNING:
            raise DeviceFaultError(self.spec.name, state.detail, _RECOVERY)
        target = self._checked(command)
        if not self._following:
            self._check_first(target, state.joint_position)
        with self._lock:
            if self._stopped or self._worker is None:
                raise DeviceFaultError(self.spec.name, _STOPPED, _RECOVERY)
            self._worker.put(self._joints.ticks(target))
        self._following = True

    def stop(self) -> None:
        """Hold the present position with reduced power. Only `recover` or `connect` ends it."""
        with self._lock:
            self._stopped = True
            if self._worker is not None:
                self._worker.hold(self.config.hold_power, _STOPPED)

    def disconnect(self) -> None:
        """Stop, wait until the servos have it (at most 0.3 s), close. Idempotent, never raises."""
        worker = self._worker
        if worker is None:
            return
        self.stop()
        worker.wait_held(_HOLD_TIMEOUT_S)
        worker.end()
        if self.config.release_on_disconnect:
            register = self._model.torque_register
            with contextlib.suppress(DeviceError):
                worker.bus.sync_write(register.address, dict.fromkeys(self._joints.ids, register.bytes_of(0)))
        worker.bus.close()
        self._worker = None

    def _connect(self, *, unlock: bool) -> None:
        self.disconnect()
        spec, config = self.spec, self.config
        bus = open_bus(config, self._model, self._clock)
        try:
            steps = BringUp(spec.name, bus, self._model, self._joints, self._clock)
            steps.identify()
            complaints = steps.complaints()
            if complaints and unlock:
                steps.clear(list(complaints))
                complaints = steps.complaints()
            hot = self._hot(np.array([reading.temperature for reading in steps.readings()]))
            if complaints or hot:
                action = _RECOVERY if complaints else "let it cool down, and find out what it carries"
                raise DeviceFaultError(spec.name, hot or "; ".join(complaints.values()), action)
            steps.power_up([_SPEED_RESERVE * joint.velocity_max for joint in spec.joints], config.command_timeout_s)
            period_s = 1.0 / spec.control_rate_hz
            worker = BusWorker(
                bus, self._model, self._joints.ids, period_s, self._clock, config.command_timeout_s, config.hold_power
            )
            worker.cycle()
        except BaseException:
            bus.close()
            raise
        self._following = self._stopped = False
        self._fault = ""
        self._worker = worker
        worker.start()

    def _newest(self) -> BusSnapshot:
        worker = self._worker
        if worker is None:
            check = "that connect() was called, and not disconnect() since"
            raise DeviceNotConnectedError(self.spec.name, self.config.port, check)
        if worker.failure is not None:
            raise worker.failure
        if worker.newest is None:
            raise StaleDataError(f"{self.spec.name} state", float("inf"), self.spec.state_age_max_s)
        return worker.newest

    def _state(self, newest: BusSnapshot) -> RobotState:
        joints = self._joints
        position = joints.positions(newest.tick)
        self._fault = self._fault or self._complaint(newest, position)
        mode, detail = RobotMode.RUNNING, ""
        held = self._worker.held if self._worker is not None else _STOPPED
        if self._fault:
            mode, detail = RobotMode.FAULT, self._fault
        elif self._stopped:
            mode, detail = RobotMode.IDLE, f"{_STOPPED}: holds with {self.config.hold_power:.0%} of the power"
        elif held:
            mode, detail = RobotMode.FAULT, f"{held}: holds with {self.config.hold_power:.0%} of the power"
        return RobotState(
            capture_time_s=newest.capture_time_s,
            joint_position=position,
            joint_velocity=joints.in_joint_direction(newest.velocity),
            joint_effort=joints.in_joint_direction(newest.effort),
            mode=mode,
            detail=detail,
        )

    def _complaint(self, newest: BusSnapshot, position: FloatArray) -> str:
        """What is wrong with the arm; "" where nothing is."""
        names = self.spec.joint_names
        complaints = [
            f"'{name}': {', '.join(words)}" for name, words in zip(names, newest.faults, strict=True) if words
        ]
        hot = self._hot(newest.temperature)
        if hot:
            complaints.append(hot)
        margin = self.config.reading_margin_rad
        for joint, value in zip(self.spec.joints, position.tolist(), strict=True):
            if not joint.position_min - margin <= value <= joint.position_max + margin:
                complaints.append(
                    f"'{joint.name}' reads {value:.3f} rad, outside [{joint.position_min:.3f}, "
                    f"{joint.position_max:.3f}]: check its calibration and its horn"
                )
        return "; ".join(complaints)

    def _hot(self, temperature: FloatArray) -> str:
        index = int(np.argmax(temperature))
        if temperature[index] < self.config.temperature_max_c:
            return ""
        limit = self.config.temperature_max_c
        return f"'{self.spec.joint_names[index]}' has {temperature[index]:.0f} C, limit {limit:.0f} C"

    def _checked(self, command: JointCommand) -> FloatArray:
        count = len(self.spec.joints)
        if command.position is None or np.shape(command.position) != (count,):
            raise ConfigError(f"{self.spec.name} takes {count} joint positions per command")
        target = np.asarray(command.position, dtype=np.float64)
        if not np.isfinite(target).all():
            raise NonFiniteError(f"command for {self.spec.name} is not finite: {target.tolist()}")
        outside = (target < self.spec.position_min) | (target > self.spec.position_max)
        if outside.any():
            index = int(np.argmax(outside))
            joint = self.spec.joints[index]
            what = f"joint '{joint.name}' position [rad]"
            raise LimitViolationError(what, float(target[index]), joint.position_min, joint.position_max)
        return target

    def _check_first(self, target: FloatArray, measured: FloatArray) -> None:
        step = np.abs(target - measured)
        index = int(np.argmax(step))
        limit = self.config.first_step_max_rad
        if step[index] > limit:
            what = f"first command of joint '{self.spec.joint_names[index]}' (start at the measured position) [rad]"
            value, centre = float(target[index]), float(measured[index])
            raise LimitViolationError(what, value, centre - limit, centre + limit)
