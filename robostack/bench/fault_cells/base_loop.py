"""A virtual base in its own process and a control loop on it: what the fault cells of the mobile bases share."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from controllers.base import BaseSafetyFilter, BaseTrackingController
from controllers.loop import ControlLoop
from controllers.reference import BaseReference
from hardware.robot import ROBOTS
from robostack.bench.device_process import DeviceProcess
from robostack.bench.fault_cells.cell import CellFailedError
from robostack.bench.fault_cells.checks import faulted, runs

_HORIZON_S = 1.0
"""Horizon of each reference [s]; long, because the machine may be busy."""
_PERIOD_S = 0.02


def virtual(robot: str, port: str, *flags: str) -> DeviceProcess:
    """The virtual base, a context manager."""
    return DeviceProcess(robot, "--port", port, *flags)


@contextmanager
def driven(robot: str, port: str, **config: object) -> Iterator[ControlLoop]:
    """A running control loop on a connected driver, as the driver node makes it."""
    entry = ROBOTS.load(robot)
    connection = entry.open(entry.config_type()(port=port, **config))
    connection.connect()
    loop = ControlLoop(connection, BaseTrackingController(entry.spec), BaseSafetyFilter(entry.spec))
    try:
        loop.start()
        yield loop
    finally:
        loop.stop()
        connection.disconnect()


@contextmanager
def moving(
    robot: str, port: str, speed: float, *flags: str, **config: object
) -> Iterator[tuple[DeviceProcess, ControlLoop]]:
    """Device and loop, with the base at `speed` [m/s]."""
    with virtual(robot, port, *flags) as device, driven(robot, port, **config) as loop:
        near = 0.1 * abs(speed)
        keep(loop, speed, lambda: abs(device.status()["speed"] - abs(speed)) < near, "the commanded speed")
        yield device, loop


def keep(loop: ControlLoop, speed: float, ready: Callable[[], object], what: str, timeout_s: float = 10.0) -> None:
    """Command a speed [m/s] every 20 ms until `ready()` is true.

    Raises:
        CellFailedError: it was not within `timeout_s` [s]; the message says that `what` was not seen.
    """
    deadline_s = time.monotonic() + timeout_s
    while not ready():
        if time.monotonic() > deadline_s:
            raise CellFailedError(f"not seen within {timeout_s:g} s: {what}; fault of the loop: {loop.fault}")
        loop.set_reference(BaseReference(speed, 0.0, _HORIZON_S))
        time.sleep(_PERIOD_S)


def fault_of(loop: ControlLoop, speed: float, text: str) -> None:
    """Go on commanding until the loop has stopped the base for a reason with `text` in it.

    Raises:
        CellFailedError: it does not, or for another reason.
    """
    keep(loop, speed, lambda: loop.fault, f"a stop of the loop for '{text}'")
    faulted(loop, text)


def goes_on(loop: ControlLoop, device: DeviceProcess, speed: float) -> None:
    """Recover as the driver node's service `reset` does, and drive again.

    Raises:
        CellFailedError: the base does not drive.
    """
    loop.stop()
    driver_of(loop).recover()
    loop.start()
    keep(loop, speed, lambda: device.status()["speed"] > 0.5 * abs(speed), "a motion after recovery")
    runs(loop)


def driver_of(loop: ControlLoop) -> Any:
    """The driver, with what it offers beyond `hardware.robot.Robot`."""
    return loop.robot


def state_of(loop: ControlLoop) -> Any:
    """The newest measurement of the loop; a base measures its position and its contacts."""
    return loop.latest().state
