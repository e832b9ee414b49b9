"""A driver process that moves its robot until it is killed: `python -m ...moving_driver ROBOT CONFIG SWING`."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress

import numpy as np

from hardware.config import load_config, plain
from hardware.errors import RobostackError, StaleDataError
from hardware.records import BaseCommand, JointCommand
from hardware.robot import ROBOTS, Robot
from robostack.bench.fault_cells.checks import expect, until

FORWARD = "forward"
"""Key of the speed [m/s] in the swing of a mobile base."""
_FREQUENCY_HZ = 0.5
_START_TIMEOUT_S = 30.0


@contextmanager
def moving_process(
    robot: str, config: object, swing: Mapping[str, float], moving: Callable[[], object]
) -> Iterator[subprocess.Popen[bytes]]:
    """A driver process that moves its robot, as soon as `moving()` is true; killed at the end.

    Args:
        robot: registry name.
        config: configuration of the driver.
        swing: joint -> amplitude [rad] of a sine of half a hertz; for a mobile base `FORWARD` -> speed [m/s].
        moving: whether the device is seen to move.

    Raises:
        CellFailedError: the process ends by itself, or nothing moves.
    """
    arguments = [robot, json.dumps(plain(config)), json.dumps(dict(swing))]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    process = subprocess.Popen([sys.executable, "-m", __name__, *arguments], env=environment)
    try:
        until(lambda: process.poll() is not None or moving(), "a motion", _START_TIMEOUT_S)
        expect(process.poll() is None, "the driver process ended by itself; see its error")
        yield process
    finally:
        process.kill()
        process.wait(10.0)


def kill_while_moving(robot: str, config: object, swing: Mapping[str, float], moving: Callable[[], object]) -> None:
    """Start a driver process, and end it with SIGKILL as soon as `moving()` is true; see `moving_process`.

    Raises:
        CellFailedError: the process ends by itself, or nothing moves.
    """
    with moving_process(robot, config, swing, moving):
        pass


def main(arguments: Sequence[str]) -> None:
    """Move until killed.

    Raises:
        DeviceError: the robot cannot be reached, or stops.
    """
    entry = ROBOTS.load(arguments[0])
    robot = entry.open(load_config(entry.config_type(), json.loads(arguments[1])))
    robot.connect()
    swing: dict[str, float] = json.loads(arguments[2])
    period_s = 1.0 / robot.spec.control_rate_hz
    command = _motion(robot, swing)
    begin_s = time.monotonic()
    while True:
        with suppress(StaleDataError):
            robot.read()
        robot.send(command(time.monotonic() - begin_s))
        time.sleep(period_s)


def _motion(robot: Robot, swing: Mapping[str, float]) -> Callable[[float], JointCommand | BaseCommand]:
    """The command at a time [s] after the start."""
    spec = robot.spec
    if FORWARD in swing:
        drive = BaseCommand(np.array([swing[FORWARD], 0.0]), np.float64(0.0))
        return lambda _: drive
    start = np.array(robot.read().joint_position)
    amplitude = spec.ordered(list(swing), list(swing.values()), fill=0.0)
    low, high = np.minimum(spec.position_min, start), np.maximum(spec.position_max, start)

    def at(time_s: float) -> JointCommand:
        sway = amplitude * math.sin(2.0 * math.pi * _FREQUENCY_HZ * time_s)
        return JointCommand(position=np.clip(start + sway, low, high))

    return at


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except RobostackError as error:
        sys.exit(f"driver of {sys.argv[1]}: {error}")
