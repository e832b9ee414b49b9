"""What a state of the Go1 says about itself: who owns the motors, and whether its numbers can be true."""

from __future__ import annotations

import math

import numpy as np

from hardware.arrays import frozen
from hardware.go1.packets import LOW_LEVEL, OVERHEAT, SERVO, LowState
from hardware.go1.spec import GO1, MECHANICAL_RANGE, kind_of

RANGE_TOLERANCE_RAD = 0.3
"""How far beyond its stop a joint may read [rad]: play, and zero positions set by hand."""
SPEED_TOLERANCE = 1.5
"""Factor on the joints' speed limits up to which a reading is believed."""
_LOW, _HIGH = (
    frozen([MECHANICAL_RANGE[kind_of(name)][end] for name in GO1.joint_names])
    + (-RANGE_TOLERANCE_RAD, RANGE_TOLERANCE_RAD)[end]
    for end in (0, 1)
)

HIGH_LEVEL_OWNS = "that its high-level mode owns the motors"
RECOVERY = {
    HIGH_LEVEL_OWNS: (
        "let the robot lie down, switch it to low level with the remote control (L2+A twice, L2+B, then L1+L2+START), "
        "end its sport-mode program, then connect again"
    )
}
_RECOVERY_ELSE = "see to the cause with the robot lying down, then connect again"


def recovery_of(fault: str) -> str:
    """What a person does about `fault`."""
    return RECOVERY.get(fault, _RECOVERY_ELSE)


def owner_fault(state: LowState, *, servo_commanded: bool) -> str:
    """Why the motors are not ours; "" if they are.

    Two signs: the level flag, and motors in servo mode although nothing but damping by mode was commanded.
    """
    if state.level_flag != LOW_LEVEL:
        return HIGH_LEVEL_OWNS
    if not servo_commanded and bool((state.mode == SERVO).any()):
        return HIGH_LEVEL_OWNS
    return ""


def reading_fault(state: LowState) -> str:
    """Which reading cannot be true, or which motor is too hot; "" if all is well."""
    if not math.isfinite(float(state.position.sum() + state.velocity.sum() + state.angular_velocity.sum())):
        return "readings that are not finite"
    outside = (state.position < _LOW) | (state.position > _HIGH)
    if outside.any():
        joint = int(np.argmax(outside))
        return f"joint '{GO1.joint_names[joint]}' at {state.position[joint]:.3g} rad, beyond its stops"
    fast = np.abs(state.velocity) > SPEED_TOLERANCE * GO1.velocity_max
    if fast.any():
        joint = int(np.argmax(fast))
        return f"joint '{GO1.joint_names[joint]}' at {state.velocity[joint]:.3g} rad/s, faster than it can turn"
    if not abs(float(state.quaternion @ state.quaternion) - 1.0) < 0.1:
        return f"an orientation of its IMU that is no rotation: {np.round(state.quaternion, 3).tolist()}"
    hot = state.mode == OVERHEAT
    if hot.any():
        joint = int(np.argmax(hot))
        return f"that the motor of '{GO1.joint_names[joint]}' is too hot ({state.temperature[joint]:.0f} deg C)"
    return ""


def power(state: LowState) -> float:
    """Mechanical power of all motors, driving or braking [W]."""
    return float(np.abs(state.effort * state.velocity).sum())
