"""Slow motions of a Go1 between lying and standing, asked for explicitly: connecting never makes the robot stand up."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from hardware.arrays import FloatArray, frozen
from hardware.clock import Clock, SystemClock
from hardware.errors import DeviceFaultError
from hardware.go1.health import recovery_of
from hardware.go1.link import DEVICE
from hardware.go1.spec import FOLDED_POSE, GO1, kind_of
from hardware.records import JointCommand, RobotMode
from hardware.robot import Robot

FOLDED = frozen([FOLDED_POSE[kind_of(name)] for name in GO1.joint_names])
"""Legs folded under the trunk, (12,) [rad]."""


def ramp(start: ArrayLike, target: ArrayLike, share: float) -> tuple[FloatArray, FloatArray]:
    """Minimum-jerk way between two poses at rest.

    Args:
        start: (12,) [rad].
        target: (12,) [rad].
        share: of the duration that has passed, clipped to 0..1.

    Returns:
        Position, (12,) [rad], and its derivative by `share`, (12,) [rad].
    """
    begin, way = np.asarray(start, dtype=np.float64), np.subtract(target, start)
    s = min(max(share, 0.0), 1.0)
    return begin + way * s**3 * (10.0 - 15.0 * s + 6.0 * s * s), way * 30.0 * (s * (1.0 - s)) ** 2


def move_to(
    robot: Robot, target: ArrayLike, duration_s: float = 2.0, hold_s: float = 0.0, clock: Clock | None = None
) -> None:
    """Lead the joints from the measured pose to `target`, and hold it for `hold_s`; returns at the end.

    The caller must go on sending within the robot's silence limit, or call `stop`.

    Args:
        robot: a connected Go1.
        target: (12,) [rad].
        duration_s: time of the motion [s]; 2 s is what Unitree's own deployment code takes.
        hold_s: time to hold the pose afterwards [s].
        clock: paces the motion; default the system's.

    Raises:
        DeviceFaultError: the robot was stopped or reports a fault on the way.
        DeviceError: it cannot be read or commanded.
    """
    clock = clock if clock is not None else SystemClock()
    begin_s, start = clock.now(), robot.read().joint_position
    deadline_s = begin_s
    while (passed_s := clock.now() - begin_s) < duration_s + hold_s:
        state = robot.read()
        if state.mode is not RobotMode.RUNNING:
            raise DeviceFaultError(DEVICE, state.detail, recovery_of(state.detail))
        position, slope = ramp(start, target, passed_s / duration_s)
        robot.send(JointCommand(position=position, velocity=slope / duration_s))
        deadline_s = max(deadline_s + 1.0 / GO1.control_rate_hz, clock.now())
        clock.sleep_until(deadline_s)


def stand_up(robot: Robot, duration_s: float = 2.0, hold_s: float = 0.0, clock: Clock | None = None) -> None:
    """From lying with the legs folded: draw the feet under the hips, then stand in the default pose.

    Takes `duration_s` twice. Arguments and errors as for `move_to`.
    """
    move_to(robot, FOLDED, duration_s, clock=clock)
    move_to(robot, GO1.default_position, duration_s, hold_s, clock)


def lie_down(robot: Robot, duration_s: float = 2.0, clock: Clock | None = None) -> None:
    """From standing: fold the legs until the trunk is near the ground, then damp.

    Arguments and errors as for `move_to`.
    """
    try:
        move_to(robot, FOLDED, duration_s, clock=clock)
    finally:
        robot.stop()
