"""What a state of the Go2 says about itself: whether its numbers can be true; and what a person does about a fault."""

from __future__ import annotations

import math

import numpy as np

from hardware.go2.packets import LowState
from hardware.go2.spec import GO2

RANGE_TOLERANCE_RAD = 0.3
"""How far beyond its range a joint may read [rad]: play, and zero positions set by hand."""
SPEED_TOLERANCE = 1.5
"""Factor on the joints' speed limits up to which a reading is believed."""
OWNED = "that its motion service '{}' owns the motors"
_RECOVERY_OWNED = "end what started it (remote control, app), let the robot lie down, then connect again"
_RECOVERY_ELSE = "see to the cause with the robot lying down, then connect again"


def recovery_of(fault: str) -> str:
    """What a person does about `fault`."""
    return _RECOVERY_OWNED if "motion service" in fault else _RECOVERY_ELSE


def reading_fault(state: LowState) -> str:
    """Which reading cannot be true; "" if all is well."""
    if not math.isfinite(float(state.position.sum() + state.velocity.sum() + state.angular_velocity.sum())):
        return "readings that are not finite"
    outside = np.maximum(GO2.position_min - state.position, state.position - GO2.position_max) > RANGE_TOLERANCE_RAD
    if outside.any():
        joint = int(np.argmax(outside))
        return f"joint '{GO2.joint_names[joint]}' at {state.position[joint]:.3g} rad, beyond its stops"
    fast = np.abs(state.velocity) > SPEED_TOLERANCE * GO2.velocity_max
    if fast.any():
        joint = int(np.argmax(fast))
        return f"joint '{GO2.joint_names[joint]}' at {state.velocity[joint]:.3g} rad/s, faster than it can turn"
    if not abs(float(state.quaternion @ state.quaternion) - 1.0) < 0.1:
        return f"an orientation of its IMU that is no rotation: {np.round(state.quaternion, 3).tolist()}"
    return ""
