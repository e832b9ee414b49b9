"""How the joints of one arm are built: which servo moves each, where its zero is, which way it turns."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from hardware.arrays import FloatArray
from hardware.config import load_config
from hardware.errors import ConfigError, UnknownNameError
from hardware.servo_bus.servo_model import RAD_PER_TICK, TICKS_PER_TURN
from hardware.spec import RobotSpec

_ID_MAX = 252


@dataclass(frozen=True)
class JointCalibration:
    """One joint."""

    id: int
    """Address of its servo on the bus."""
    zero_tick: int = TICKS_PER_TURN // 2
    """What its servo reads where the joint is at zero [1/4096 turn]."""
    direction: Literal[-1, 1] = 1
    """1 where the servo counts up when the joint does, else -1."""

    def __post_init__(self) -> None:
        if not 0 <= self.id <= _ID_MAX:
            raise ConfigError(f"id {self.id} is outside [0, {_ID_MAX}]")
        if not 0 <= self.zero_tick < TICKS_PER_TURN:
            raise ConfigError(f"zero_tick {self.zero_tick} is outside [0, {TICKS_PER_TURN - 1}]")


@dataclass(frozen=True)
class ArmCalibration:
    """All joints of one arm, by name."""

    joints: dict[str, JointCalibration]
    """Joint name -> its calibration."""


class JointMap:
    """Ticks of servos to positions of joints and back.

    Args:
        spec: the robot.
        calibration: of every joint of the robot, and no other.

    Raises:
        UnknownNameError: the calibration names a joint that the robot lacks.
        ConfigError: a joint is missing, two joints share a servo, or a joint's range leaves the servo's turn.
    """

    def __init__(self, spec: RobotSpec, calibration: ArmCalibration) -> None:
        self.spec = spec
        for name in calibration.joints:
            if name not in spec.joint_names:
                raise UnknownNameError(f"joint of '{spec.name}' in its calibration", name, spec.joint_names)
        missing = [name for name in spec.joint_names if name not in calibration.joints]
        if missing:
            raise ConfigError(f"the calibration of '{spec.name}' lacks joint {', '.join(missing)}; add it")
        joints = [calibration.joints[name] for name in spec.joint_names]
        self.ids = tuple(joint.id for joint in joints)
        """Address of each joint's servo, in the robot's order."""
        if len(set(self.ids)) != len(self.ids):
            raise ConfigError(f"two joints of '{spec.name}' have the same servo; ids in its calibration: {self.ids}")
        self._zero = np.array([joint.zero_tick for joint in joints], dtype=np.float64)
        self._direction = np.array([joint.direction for joint in joints], dtype=np.float64)
        self._require_reach()

    def positions(self, ticks: FloatArray) -> FloatArray:
        """Joint positions of servo readings, (n,) [rad]."""
        return (ticks - self._zero) * self._direction * RAD_PER_TICK

    def ticks(self, positions: FloatArray) -> list[int]:
        """Servo goals of joint positions, (n,) [rad]."""
        ticks: list[int] = np.rint(self._zero + self._direction * positions / RAD_PER_TICK).astype(int).tolist()
        return ticks

    def in_joint_direction(self, values: FloatArray) -> FloatArray:
        """Velocities or torques of servos as those of joints, (n,)."""
        return values * self._direction

    def _require_reach(self) -> None:
        for bound in (self.spec.position_min, self.spec.position_max):
            for name, tick in zip(self.spec.joint_names, self.ticks(bound), strict=True):
                if not 0 <= tick < TICKS_PER_TURN:
                    raise ConfigError(
                        f"joint '{name}': with this zero_tick its range reaches tick {tick}, outside the servo's turn "
                        f"[0, {TICKS_PER_TURN - 1}]. Mount the horn nearer to the middle, or set the zero in the servo"
                    )


def joint_map(spec: RobotSpec, path: str) -> JointMap:
    """The joints as the calibration file `path` says; "": servos 1, 2, ... with their zero in the middle.

    Raises:
        ConfigError: the file cannot be read, or contradicts the robot.
        UnknownNameError: it names a joint that the robot lacks.
    """
    if not path:
        joints = {name: JointCalibration(index + 1) for index, name in enumerate(spec.joint_names)}
        return JointMap(spec, ArmCalibration(joints))
    return JointMap(spec, load_config(ArmCalibration, Path(path)))
