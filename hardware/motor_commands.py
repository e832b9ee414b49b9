"""Commands for robots whose joints each take position, velocity, torque and both gains: checked and completed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hardware.arrays import Array, FloatArray, frozen
from hardware.errors import ConfigError, LimitViolationError, NonFiniteError
from hardware.records import JointCommand
from hardware.spec import RobotSpec

_VELOCITY_TOLERANCE = 1.01
"""Set-points that follow the velocity limits may exceed them by rounding and interpolation."""


@dataclass(frozen=True, slots=True)
class MotorTargets:
    """A complete command, every array (num_joints,) in the order of the specification."""

    position: FloatArray | None
    """[rad]; None: no position term."""
    velocity: FloatArray
    """[rad/s]."""
    effort: FloatArray
    """Feed-forward [Nm]."""
    stiffness: FloatArray
    """[Nm/rad]; 0 without a position."""
    damping: FloatArray
    """[Nm s/rad]."""


class MotorCommands:
    """What a command for one robot may be.

    Args:
        spec: the robot; gives gains and limits.
        device: its name in messages.
        stiffness_max: largest stiffness accepted [Nm/rad].
        damping_max: largest damping accepted [Nm s/rad].
    """

    def __init__(self, spec: RobotSpec, device: str, stiffness_max: float, damping_max: float) -> None:
        self.spec, self._device = spec, device
        self._stiffness_max, self._damping_max = stiffness_max, damping_max
        self._zero = frozen(np.zeros(len(spec.joints)))

    def checked(self, command: JointCommand) -> MotorTargets:
        """`command` with what it leaves open: no motion, no torque, and the gains of the specification.

        Without a position there is no stiffness; with an effort alone no damping either, unless the command carries it.

        Raises:
            ConfigError: it is empty, or of wrong shape.
            NonFiniteError: it contains what is not a finite number.
        """
        position = self._array("position", command.position)
        velocity, effort = self._array("velocity", command.velocity), self._array("effort", command.effort)
        stiffness, damping = self._array("stiffness", command.stiffness), self._array("damping", command.damping)
        if position is None and velocity is None and effort is None:
            raise ConfigError(
                f"a command for the {self._device} carries a position, a velocity or an effort; this one has none"
            )
        moves = position is not None or velocity is not None
        if position is None:
            stiffness = self._zero
        return MotorTargets(
            position,
            self._zero if velocity is None else velocity,
            self._zero if effort is None else effort,
            self.spec.stiffness if stiffness is None else stiffness,
            (self.spec.damping if moves else self._zero) if damping is None else damping,
        )

    def check_ranges(self, targets: MotorTargets, floor: FloatArray, ceiling: FloatArray) -> None:
        """Refuse what lies outside the joints' ranges.

        Args:
            targets: the command.
            floor: lowest positions, (num_joints,) [rad].
            ceiling: highest positions, (num_joints,) [rad].

        Raises:
            LimitViolationError: joint, value and range.
        """
        speed = _VELOCITY_TOLERANCE * self.spec.velocity_max
        if targets.position is not None:
            self._require_within("position [rad]", targets.position, floor, ceiling)
        self._require_within("velocity [rad/s]", targets.velocity, -speed, speed)
        self._require_within("effort [Nm]", targets.effort, -self.spec.effort_max, self.spec.effort_max)
        self._require_within("stiffness [Nm/rad]", targets.stiffness, self._zero, self._zero + self._stiffness_max)
        self._require_within("damping [Nm s/rad]", targets.damping, self._zero, self._zero + self._damping_max)

    def _array(self, name: str, value: Array | None) -> FloatArray | None:
        if value is None:
            return None
        array = np.asarray(value, dtype=np.float64)
        if array.shape != self._zero.shape:
            raise ConfigError(
                f"the {self._device} takes {len(self._zero)} values as {name}, not an array of shape {array.shape}"
            )
        if not np.isfinite(array).all():
            raise NonFiniteError(f"{self._device} command: {name} is not finite: {array.tolist()}")
        return array

    def _require_within(self, what: str, values: FloatArray, low: FloatArray, high: FloatArray) -> None:
        outside = (values < low) | (values > high)
        if outside.any():
            joint = int(np.argmax(outside))
            raise LimitViolationError(
                f"joint '{self.spec.joint_names[joint]}' {what}",
                float(values[joint]),
                float(low[joint]),
                float(high[joint]),
            )
