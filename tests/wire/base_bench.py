"""A virtual base in its own process, a control loop on it, and patience: what the fault cells of the bases share."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from controllers.base import BaseSafetyFilter, BaseTrackingController
from controllers.loop import ControlLoop
from controllers.reference import BaseReference
from hardware.errors import RobostackError
from hardware.robot import ROBOTS

STALL_S = 0.05
HORIZON_S = 1.0
"""Patient too, for busy machines."""


class Device:
    """One virtual device as a process, controlled by the lines of its standard input."""

    def __init__(self, robot: str, port: str, *flags: str) -> None:
        command = [sys.executable, "-m", "sim.devices.run", robot, "--port", port, *flags]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.robot, self.port = robot, port
        if not self._line().startswith(f"ready {robot}"):
            raise AssertionError(f"the virtual {robot} did not start")

    def say(self, text: str) -> dict[str, Any]:
        assert self.process.stdin is not None
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()
        answer = json.loads(self._line())
        assert "error" not in answer, answer
        return answer

    def inject(self, fault: str, value: float = 1.0) -> None:
        self.say(f"inject {fault} {value}")

    def status(self) -> dict[str, Any]:
        return self.say("status")

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(10.0)
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()

    def _line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline()


@contextlib.contextmanager
def virtual(robot: str, port: str, *flags: str) -> Iterator[Device]:
    """The device, ended at the end."""
    device = Device(robot, port, *flags)
    try:
        yield device
    finally:
        device.close()


@contextlib.contextmanager
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


@contextlib.contextmanager
def moving(robot: str, port: str, speed: float, *flags: str, **config: object) -> Iterator[tuple[Device, ControlLoop]]:
    """Device and loop, with the base at `speed` [m/s]."""
    with virtual(robot, port, *flags) as device, driven(robot, port, **config) as loop:
        keep(loop, speed, lambda: abs(device.status()["speed"] - abs(speed)) < 0.1 * abs(speed))
        yield device, loop


def keep(
    loop: ControlLoop, speed: float, ready: Callable[[], object], yaw_rate: float = 0.0, limit_s: float = 10.0
) -> None:
    """Command a velocity every 20 ms until `ready` is true."""
    deadline_s = time.monotonic() + limit_s
    while not ready():
        if time.monotonic() > deadline_s:
            raise AssertionError(f"not reached in {limit_s} s; fault: {loop.fault}; state: {loop.latest().state}")
        loop.set_reference(BaseReference(speed, yaw_rate, HORIZON_S))
        time.sleep(0.02)


def until(ready: Callable[[], object], limit_s: float = 10.0) -> None:
    """Wait until `ready` is true."""
    deadline_s = time.monotonic() + limit_s
    while not ready():
        if time.monotonic() > deadline_s:
            raise AssertionError(f"not reached in {limit_s} s")
        time.sleep(0.005)


def fault_of(loop: ControlLoop, speed: float, text: str) -> None:
    """Go on commanding until the loop reports a fault that has `text` in it."""
    keep(loop, speed, lambda: loop.fault)
    assert text in str(loop.fault), loop.fault


def raises(kind: type[RobostackError], text: str, action: Callable[[], object]) -> None:
    """`action` raises `kind`, with `text` in its message."""
    try:
        action()
    except kind as error:
        assert text in str(error), f"'{text}' not in: {error}"
    else:
        raise AssertionError(f"{kind.__name__} was not raised")


def goes_on(loop: ControlLoop, device: Device, speed: float) -> None:
    """Recover as the service `reset` does, and drive again."""
    loop.stop()
    loop.robot.recover()  # type: ignore[attr-defined]
    loop.start()
    keep(loop, speed, lambda: device.status()["speed"] > 0.5 * abs(speed))
    assert loop.fault is None


DRIVER = """
import sys, time, numpy as np
from hardware.records import BaseCommand
from hardware.robot import ROBOTS
name, port, speed = sys.argv[1], sys.argv[2], float(sys.argv[3])
entry = ROBOTS.load(name)
robot = entry.open(entry.config_type()(port=port))
robot.connect()
print("driving", flush=True)
while True:
    robot.read()
    robot.send(BaseCommand(np.array([speed, 0.0]), np.float64(0.0)))
    time.sleep(0.02)
"""


@contextlib.contextmanager
def driver_process(robot: str, port: str, speed: float) -> Iterator[subprocess.Popen[str]]:
    """A process of its own that drives, for those who kill it."""
    process = subprocess.Popen(
        [sys.executable, "-c", DRIVER, robot, port, str(speed)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None and process.stdout.readline() == "driving\n"
        yield process
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


class StallMeter:
    """Measures for how long this machine does not run us at all."""

    def __enter__(self) -> StallMeter:
        self.longest_s, self._ended = 0.0, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        last_s = time.monotonic()
        while not self._ended.wait(0.005):
            now_s = time.monotonic()
            self.longest_s, last_s = max(self.longest_s, now_s - last_s), now_s


def run_cell(cell: Callable[[str], None], port: str, attempts: int = 4) -> None:
    """Run `cell`; again only if it failed while the machine stalled for a good part of what counts as stale."""
    for attempt in range(attempts):
        with StallMeter() as meter:
            try:
                cell(f"{port}{attempt}")
                return
            except (AssertionError, RobostackError):
                if meter.longest_s < STALL_S or attempt == attempts - 1:
                    raise
