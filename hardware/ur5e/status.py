"""What the controller's state words mean for a driver.

Source: Universal Robots, "Real-Time Data Exchange (RTDE) Guide" (safety_status_bits, robot_mode, runtime_state).
"""

from __future__ import annotations

from collections.abc import Sequence

from hardware.records import RobotMode
from hardware.ur5e.servo_program import ServoState
from hardware.ur5e.spec import UR5E

READING_MARGIN_RAD = 0.1
"""A position this far outside a joint's range is not believed [rad]: the controller stops at the range."""
_PROTECTIVE_STOP = 1 << 2
_SAFETY_BITS: tuple[tuple[int, RobotMode, str], ...] = (
    (1 << 5, RobotMode.EMERGENCY_STOP, "system emergency stop"),
    (1 << 6, RobotMode.EMERGENCY_STOP, "robot emergency stop"),
    (1 << 7, RobotMode.EMERGENCY_STOP, "emergency stop"),
    (1 << 8, RobotMode.FAULT, "safety violation"),
    (1 << 9, RobotMode.FAULT, "safety fault"),
    (_PROTECTIVE_STOP, RobotMode.PROTECTIVE_STOP, "protective stop"),
    (1 << 4, RobotMode.FAULT, "safeguard stop"),
    (1 << 3, RobotMode.FAULT, "recovery mode"),
    (1 << 10, RobotMode.FAULT, "stopped for safety"),
)
"""Bits of safety_status_bits that keep the arm from moving, gravest first."""

ROBOT_MODE_RUNNING = 7
"""Value of robot_mode with released brakes."""
_ROBOT_MODES = {
    -1: "no controller",
    0: "disconnected",
    1: "confirm safety",
    2: "booting",
    3: "power off",
    4: "power on",
    5: "idle, brakes closed",
    6: "back-drive",
    8: "updating firmware",
}

PLAYING = 2
"""Value of runtime_state while a program runs."""
_RUNTIME_STATES = {0: "stopping", 1: "stopped", 3: "pausing", 4: "paused", 5: "resuming"}
_PAUSED = (3, 4, 5)

_ENDED: dict[int, str] = {
    ServoState.HOST_SILENT: "it stopped because the host fell silent",
    ServoState.STOPPED: "it was stopped by the host",
    ServoState.FIRST_TARGET_TOO_FAR: "it refused a first target far from the measured position",
}

RECOVERY = {
    RobotMode.RUNNING: "nothing to do",
    RobotMode.IDLE: "call recover(), or connect again",
    RobotMode.PROTECTIVE_STOP: "clear what the arm touched, wait 5 s, then call recover()",
    RobotMode.EMERGENCY_STOP: "release the emergency stop button, then call recover()",
    RobotMode.FAULT: "read the teach pendant, clear the cause, then call recover()",
}
"""What a person does to leave each mode."""


def arm_mode(safety_status_bits: int, robot_mode: int) -> tuple[RobotMode, str]:
    """What the arm can do, whatever program runs, and the words for it."""
    for bit, mode, words in _SAFETY_BITS:
        if safety_status_bits & bit:
            return mode, words
    if robot_mode != ROBOT_MODE_RUNNING:
        return RobotMode.IDLE, f"robot mode: {_ROBOT_MODES.get(robot_mode, str(robot_mode))}"
    return RobotMode.RUNNING, ""


def program_mode(runtime_state: int, servo_state: int, own_program: bool) -> tuple[RobotMode, str]:
    """Whether the servo program follows commands, and the words for it.

    Args:
        runtime_state: RTDE variable of that name.
        servo_state: what the program last said of itself, a `ServoState`.
        own_program: whether the program that runs or ran last is the one of this connection.
    """
    if not own_program:
        return RobotMode.FAULT, "another program took the place of the servo program"
    if runtime_state == PLAYING:
        return RobotMode.RUNNING, ""
    word = _RUNTIME_STATES.get(runtime_state, str(runtime_state))
    if runtime_state in _PAUSED:
        return RobotMode.IDLE, f"servo program {word}: somebody paused it at the teach pendant"
    if servo_state in (ServoState.HOLDING, ServoState.FOLLOWING):
        return RobotMode.FAULT, f"servo program {word}: it died (an error, its second watchdog, or the teach pendant)"
    mode = RobotMode.IDLE if servo_state == ServoState.STOPPED else RobotMode.FAULT
    return mode, f"servo program {word}: {_ENDED.get(servo_state, f'state {servo_state}')}"


def reading_fault(position: Sequence[float]) -> str:
    """Which joint reads what it cannot reach, in words; "" where all readings can be true.

    Args:
        position: measured joint positions in the specification's order, (6,) [rad].
    """
    for joint, value in zip(UR5E.joints, position, strict=True):
        if not joint.position_min - READING_MARGIN_RAD <= value <= joint.position_max + READING_MARGIN_RAD:
            return f"joint '{joint.name}' reads {value:.3f} rad, beyond its stops"
    return ""
