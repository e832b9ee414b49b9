"""A leader arm: the same bus with the torque off, moved by hand; see `hardware.teleoperator.Teleoperator`."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import numpy as np

from hardware.clock import Clock, SystemClock
from hardware.errors import ConfigError, DeviceNotConnectedError, StaleDataError
from hardware.robot import ROBOTS
from hardware.servo_bus.bring_up import BringUp
from hardware.servo_bus.calibration import joint_map
from hardware.servo_bus.config import ServoBusConfig, open_bus
from hardware.servo_bus.servo_model import family_model
from hardware.servo_bus.worker import BusSnapshot, BusWorker
from hardware.teleoperator import OperatorCommand


@dataclass(frozen=True)
class LeaderArmConfig(ServoBusConfig):
    """How to reach a leader arm.

    Raises:
        ConfigError: a setting out of range.
    """

    port: str = "/dev/ttyACM1"
    """Serial port; the links in /dev/serial/by-id keep their names."""
    robot: str = "so101"
    """Registry name of the follower: joint names, their order and ranges."""
    gripper_joint: str = "gripper"
    """The joint that is reported as gripper opening as well; empty: none."""
    rate_hz: float = 100.0
    """Rate of readings [Hz]."""
    reading_age_max_s: float = 0.1
    """A reading older than this is refused [s]."""
    enabled: bool = False
    """A leader arm has no dead-man switch. True: whoever holds it enables the follower all the time. False: the
    follower holds until `set_enabled(True)`, from a pedal or a key."""

    def __post_init__(self) -> None:
        ServoBusConfig.__post_init__(self)
        if not 1.0 <= self.rate_hz <= 500.0:
            raise ConfigError(f"leader arm configuration: rate_hz = {self.rate_hz} is outside [1, 500]")


class LeaderArm:
    """A connection to one leader arm. `read` gives each measurement a number; it never waits.

    Args:
        config: address and settings.
        clock: the monotonic clock of capture times; default the system's.

    Raises:
        UnknownNameError: no such follower, or it has no such gripper joint.
    """

    def __init__(self, config: LeaderArmConfig, clock: Clock | None = None) -> None:
        self.config = config
        self.spec = ROBOTS.load(config.robot).spec
        """The follower."""
        self._clock = clock if clock is not None else SystemClock()
        self._joints = joint_map(self.spec, config.calibration)
        self._model = family_model(config.servos)
        self._gripper: int | None = None
        if config.gripper_joint:
            self._gripper = int(self.spec.indices([config.gripper_joint])[0])
        self._worker: BusWorker | None = None
        self._enabled = threading.Event()
        self.set_enabled(config.enabled)
        self._sequence, self._seen_s = 0, float("-inf")

    def set_enabled(self, enabled: bool) -> None:
        """Say whether the dead-man switch is held. From any thread."""
        if enabled:
            self._enabled.set()
        else:
            self._enabled.clear()

    def connect(self) -> None:
        """Find the servos and switch their torque off; the arm must be supported, or hang.

        Raises:
            DeviceNotConnectedError: no such port, or a servo does not answer.
            ProtocolError: a servo of another model.
            DeviceFaultError: a servo is not in position mode.
        """
        self.disconnect()
        bus = open_bus(self.config, self._model, self._clock)
        try:
            steps = BringUp("leader arm", bus, self._model, self._joints, self._clock)
            steps.identify()
            steps.release()
            worker = BusWorker(bus, self._model, self._joints.ids, 1.0 / self.config.rate_hz, self._clock)
            worker.cycle()
        except BaseException:
            bus.close()
            raise
        self._worker = worker
        worker.start()

    def read(self) -> OperatorCommand:
        """The newest reading; the sequence number counts measurements, so that a repeated one shows.

        Raises:
            DeviceNotConnectedError: the arm is gone.
            StaleDataError: it does not answer any more.
        """
        newest = self._newest()
        age_s = self._clock.now() - newest.capture_time_s
        if age_s > self.config.reading_age_max_s:
            raise StaleDataError("leader arm", age_s, self.config.reading_age_max_s)
        if newest.capture_time_s != self._seen_s:
            self._sequence, self._seen_s = self._sequence + 1, newest.capture_time_s
        position = np.clip(self._joints.positions(newest.tick), self.spec.position_min, self.spec.position_max)
        gripper = None
        if self._gripper is not None:
            joint = self.spec.joints[self._gripper]
            opening = (position[self._gripper] - joint.position_min) / (joint.position_max - joint.position_min)
            gripper = float(opening)
        return OperatorCommand(
            capture_time_s=newest.capture_time_s,
            sequence=self._sequence,
            enabled=self._enabled.is_set(),
            joint_position=position,
            gripper=gripper,
        )

    def disconnect(self) -> None:
        """Close the bus; the torque stays off. Idempotent, never raises."""
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.end()
            worker.bus.close()

    def _newest(self) -> BusSnapshot:
        worker = self._worker
        if worker is None:
            check = "that connect() was called, and not disconnect() since"
            raise DeviceNotConnectedError("leader arm", self.config.port, check)
        if worker.failure is not None:
            raise worker.failure
        if worker.newest is None:
            raise StaleDataError("leader arm", float("inf"), self.config.reading_age_max_s)
        return worker.newest
