"""The driver of the UR5e: joint positions at 500 Hz over RTDE to a servo program of our own on the controller."""

from __future__ import annotations

import contextlib
import threading
from typing import cast

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
from hardware.spec import RobotSpec
from hardware.ur5e import status
from hardware.ur5e.bring_up import DEVICE, bring_up
from hardware.ur5e.config import UR5eConfig
from hardware.ur5e.dashboard import DashboardClient
from hardware.ur5e.servo_link import ServoLink
from hardware.ur5e.servo_program import ServoMode
from hardware.ur5e.spec import UR5E

__all__ = ["UR5eConfig", "UR5eRobot"]

_END_TIMEOUT_S = 1.0


class UR5eRobot:
    """A connection to one UR5e; see `hardware.robot.Robot`.

    Poses are in the controller's "base" frame, in which the model is made, so nothing is turned; URDF's `base_link` is
    half a turn about z away. The tool pose is that of the TCP set in the robot's installation: it is the flange
    (`tool0`) when that TCP is zero.

    Args:
        config: address and settings.
        clock: the monotonic clock of capture times; default the system's.
    """

    def __init__(self, config: UR5eConfig, clock: Clock | None = None) -> None:
        self.config = config
        self._clock: Clock = clock if clock is not None else SystemClock()
        self._lock = threading.Lock()
        self._link: ServoLink | None = None
        self._following = self._stopped = False

    @property
    def spec(self) -> RobotSpec:
        """The UR5e."""
        return UR5E

    @property
    def last_round_trip_s(self) -> float | None:
        """Time from sending a command to reading the first package that proves that the program has it [s].

        It is noticed in `read`, so it grows by up to one period of the caller's loop. None before the first.
        """
        return self._link.last_round_trip_s if self._link is not None else None

    @property
    def speed_scaling(self) -> float:
        """What the speed slider and the controller's limits leave of every motion, 0 to 1."""
        return self._link.speed_scaling if self._link is not None else 1.0

    def connect(self) -> None:
        """Open all connections, release the brakes if needed, and start the servo program, which holds still.

        Raises:
            DeviceNotConnectedError: nothing answers at the address.
            ProtocolError: the controller refuses a request, or the program does not start.
            DeviceFaultError: a stop that a person must clear first, or local control.
        """
        self._connect(unlock=False)

    def recover(self) -> None:
        """Release a protective stop and start again; call it only when a person has seen to the cause.

        Raises:
            DeviceNotConnectedError: nothing answers at the address.
            ProtocolError: the controller refuses a request, or the program does not start.
            DeviceFaultError: a stop that a person must clear first, or local control.
        """
        self._connect(unlock=True)

    def read(self) -> RobotState:
        """The newest measurement; never waits.

        Raises:
            DeviceNotConnectedError: the connection is not open, or broke.
            StaleDataError: the newest measurement is older than `spec.state_age_max_s`.
            ProtocolError: the controller sends what is no RTDE data.
        """
        state = self._opened().poll()
        age_s = self._clock.now() - cast(float, state.capture_time_s)
        if age_s > self.spec.state_age_max_s:
            raise StaleDataError("UR5e state", age_s, self.spec.state_age_max_s)
        return state

    def send(self, command: JointCommand) -> None:
        """Hand joint positions to the servo program; other fields of `command` are not used. Never waits.

        Raises:
            ConfigError: the command carries no positions, or not six.
            NonFiniteError: a position is not a finite number.
            LimitViolationError: a position is outside the joint's range, or the first one far from the measured.
            DeviceFaultError: by the last state read, the arm does not follow commands; the message says why.
            DeviceNotConnectedError: the connection is not open, or broke.
        """
        link = self._opened()
        state = link.state
        if state.mode is not RobotMode.RUNNING:
            raise DeviceFaultError(DEVICE, state.detail, status.RECOVERY[state.mode])
        target = _positions(command)
        self._check_range(target)
        if not self._following:
            self._check_first(target, state.joint_position)
        with self._lock:
            if self._stopped:
                raise DeviceFaultError(DEVICE, "a stop by stop()", status.RECOVERY[RobotMode.IDLE])
            link.write(ServoMode.FOLLOW, target)
        self._following = True

    def stop(self) -> None:
        """Controlled stop: the program decelerates the arm and ends. Only `recover` or `connect` starts it again."""
        with self._lock:
            self._stopped = True
            link = self._link
            if link is None:
                return
            try:
                link.write(ServoMode.STOP, link.state.joint_position)
                return
            except DeviceError:
                pass
        # Without the connection the program's own watchdog stops the arm; this is sooner and surer.
        self._stop_by_dashboard()

    def disconnect(self) -> None:
        """Stop the arm, wait until the program has ended (at most a second), close. Idempotent, never raises."""
        link = self._link
        if link is None:
            return
        self.stop()
        try:
            ended = link.wait(lambda state: state.mode is not RobotMode.RUNNING, _END_TIMEOUT_S)
        except DeviceError:
            ended = True  # the connection is gone, and stop() has done what can be done
        if not ended:
            self._stop_by_dashboard()
        link.close()
        self._link = None

    def _connect(self, *, unlock: bool) -> None:
        self.disconnect()
        config = self.config
        with DashboardClient(config.host, config.dashboard_port, config.connect_timeout_s) as dashboard:
            bring_up(dashboard, self._clock, power_on=config.power_on, unlock=unlock, timeout_s=config.power_timeout_s)
        link = ServoLink(config, self._clock)
        try:
            link.start_program()
        except BaseException:
            link.close()
            raise
        self._following = self._stopped = False
        self._link = link

    def _opened(self) -> ServoLink:
        if self._link is None:
            address = f"{self.config.host}:{self.config.rtde_port}"
            raise DeviceNotConnectedError(DEVICE, address, "that connect() was called, and not disconnect() since")
        return self._link

    def _check_range(self, target: FloatArray) -> None:
        outside = (target < self.spec.position_min) | (target > self.spec.position_max)
        if outside.any():
            joint = self.spec.joints[int(np.argmax(outside))]
            value = float(target[np.argmax(outside)])
            raise LimitViolationError(
                f"joint '{joint.name}' position [rad]", value, joint.position_min, joint.position_max
            )

    def _check_first(self, target: FloatArray, measured: FloatArray) -> None:
        step = np.abs(target - measured)
        index = int(np.argmax(step))
        limit = self.config.first_step_max_rad
        if step[index] > limit:
            raise LimitViolationError(
                f"first command of joint '{self.spec.joint_names[index]}' (start at the measured position) [rad]",
                float(target[index]),
                float(measured[index]) - limit,
                float(measured[index]) + limit,
            )

    def _stop_by_dashboard(self) -> None:
        config = self.config
        with (
            contextlib.suppress(DeviceError),
            DashboardClient(config.host, config.dashboard_port, config.connect_timeout_s) as dashboard,
        ):
            dashboard.stop_program()


def _positions(command: JointCommand) -> FloatArray:
    """The target of `command`, (6,) [rad], checked to be six finite numbers."""
    if command.position is None:
        raise ConfigError("the UR5e takes position commands; this command carries none. See UR5E.command_modes")
    target = np.asarray(command.position, dtype=np.float64)
    if target.shape != (len(UR5E.joints),):
        raise ConfigError(f"the UR5e takes {len(UR5E.joints)} joint positions, not an array of shape {target.shape}")
    if not np.isfinite(target).all():
        raise NonFiniteError(f"UR5e command is not finite: {target.tolist()}. The arm keeps its last target")
    return target
