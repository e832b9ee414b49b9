"""What a command for the Go2 may be, checked and completed before it is packed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hardware.arrays import Array, FloatArray, frozen
from hardware.errors import ConfigError, LimitViolationError, NonFiniteError
from hardware.go2.spec import GO2
from hardware.records import JointCommand

STIFFNESS_MAX, DAMPING_MAX = 1000.0, 100.0
"""Larger gains are refused as mistakes [Nm/rad], [Nm s/rad]; no joint here is stable with them at 500 Hz."""
_VELOCITY_TOLERANCE = 1.01
"""Set-points that follow the velocity limits may exceed them by rounding and interpolation."""
_ZERO = frozen(np.zeros(len(GO2.joints)))


@dataclass(frozen=True, slots=True)
class MotorTargets:
    """A complete command, every array (12,) in the order of the specification."""

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


def checked(command: JointCommand) -> MotorTargets:
    """`command` with what it leaves open: no motion, no torque, and the gains of the specification.

    Without a position there is no stiffness; with an effort alone no damping either, unless the command carries it.

    Raises:
        ConfigError: it is empty, or of wrong shape.
        NonFiniteError: it contains what is not a finite number.
    """
    position = _array("position", command.position)
    velocity, effort = _array("velocity", command.velocity), _array("effort", command.effort)
    stiffness, damping = _array("stiffness", command.stiffness), _array("damping", command.damping)
    if position is None and velocity is None and effort is None:
        raise ConfigError("a command for the Go2 carries a position, a velocity or an effort; this one has none")
    moves = position is not None or velocity is not None
    if position is None:
        stiffness = _ZERO
    return MotorTargets(
        position,
        _ZERO if velocity is None else velocity,
        _ZERO if effort is None else effort,
        GO2.stiffness if stiffness is None else stiffness,
        (GO2.damping if moves else _ZERO) if damping is None else damping,
    )


def check_ranges(targets: MotorTargets, floor: FloatArray, ceiling: FloatArray) -> None:
    """Refuse what lies outside the joints' ranges.

    Args:
        targets: the command.
        floor: lowest positions, (12,) [rad].
        ceiling: highest positions, (12,) [rad].

    Raises:
        LimitViolationError: joint, value and range.
    """
    speed = _VELOCITY_TOLERANCE * GO2.velocity_max
    if targets.position is not None:
        _require_within("position [rad]", targets.position, floor, ceiling)
    _require_within("velocity [rad/s]", targets.velocity, -speed, speed)
    _require_within("effort [Nm]", targets.effort, -GO2.effort_max, GO2.effort_max)
    _require_within("stiffness [Nm/rad]", targets.stiffness, _ZERO, _ZERO + STIFFNESS_MAX)
    _require_within("damping [Nm s/rad]", targets.damping, _ZERO, _ZERO + DAMPING_MAX)


def _array(name: str, value: Array | None) -> FloatArray | None:
    if value is None:
        return None
    array = np.asarray(value, dtype=np.float64)
    if array.shape != _ZERO.shape:
        raise ConfigError(f"the Go2 takes {len(_ZERO)} values as {name}, not an array of shape {array.shape}")
    if not np.isfinite(array).all():
        raise NonFiniteError(f"Go2 command: {name} is not finite: {array.tolist()}")
    return array


def _require_within(what: str, values: FloatArray, low: FloatArray, high: FloatArray) -> None:
    outside = (values < low) | (values > high)
    if outside.any():
        joint = int(np.argmax(outside))
        raise LimitViolationError(
            f"joint '{GO2.joint_names[joint]}' {what}", float(values[joint]), float(low[joint]), float(high[joint])
        )
