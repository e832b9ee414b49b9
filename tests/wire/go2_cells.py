"""One function per kind of failure: what the Go2's driver reports, what the robot does, and how both go on.

Each starts a virtual Go2 in its own process on the DDS domain it is given, runs the control chain of the driver node
against it, and raises AssertionError where something else happens than the page docs/robots/go2.md says.
"""

from __future__ import annotations

import itertools
import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np

from controllers.loop import ControlLoop
from controllers.reference import JointReference
from controllers.safety import SafetyFilter
from controllers.tracking import JointTrackingController
from hardware.errors import (
    DeviceFaultError,
    DeviceNotConnectedError,
    ProtocolError,
    RobostackError,
    StaleDataError,
)
from hardware.go2 import GO2
from hardware.go2.driver import Go2Config, Go2Robot
from hardware.records import JointCommand, RobotMode

EVER = 1e9


class Device:
    """A virtual Go2 in its own process."""

    def __init__(self, domain: int, **options: Any) -> None:
        flags = [f"--{name}={value}" for name, value in ({"preset": "nominal", "posture": "hung"} | options).items()]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "sim.devices.run", "go2", f"--domain={domain}", *flags],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdin is not None and self._process.stdout is not None
        self._in, self._out = self._process.stdin, self._process.stdout
        assert self._out.readline().startswith("ready go2")

    def ask(self, line: str) -> dict[str, Any]:
        self._in.write(line + "\n")
        self._in.flush()
        answer = json.loads(self._out.readline())
        assert isinstance(answer, dict) and "error" not in answer, answer
        return answer

    def status(self) -> dict[str, Any]:
        return self.ask("status")

    def inject(self, fault: str, value: float = 1.0) -> None:
        self.ask(f"inject {fault} {value}")

    @property
    def damped(self) -> bool:
        return bool(self.status()["damped"])

    @property
    def stiff(self) -> bool:
        status = self.status()
        return status["order_kp"] is not None and min(status["order_kp"]) > 30.0 and not status["damped"]

    def kill(self, number: int = signal.SIGTERM) -> None:
        if self._process.poll() is None:
            self._process.send_signal(number)
        self._process.wait(10.0)
        self._in.close()
        self._out.close()


def fresh_domain() -> int:
    """A DDS domain that no other test of this run uses; 0 and 1 are left to physical and other virtual robots."""
    return 2 + (os.getpid() * 31 + next(_serial)) % 230


_serial = itertools.count()


def until(ready: Callable[[], object], timeout_s: float = 10.0) -> None:
    deadline_s = time.monotonic() + timeout_s
    while not ready():
        assert time.monotonic() < deadline_s, "not reached in time"
        time.sleep(0.005)


def raises(kind: type[RobostackError], text: str, action: Callable[[], object]) -> None:
    try:
        action()
    except kind as error:
        assert text in str(error), f"'{text}' not in: {error}"
    else:
        raise AssertionError(f"{kind.__name__} was not raised")


@contextmanager
def device_at(domain: int, **options: Any) -> Iterator[Device]:
    device = Device(domain, **options)
    try:
        yield device
    finally:
        device.kill()


def config_at(domain: int, **options: Any) -> Go2Config:
    defaults = {"gain_ramp_s": 0.1, "connect_timeout_s": 3.0, "recheck_s": 0.1}
    return Go2Config(interface="lo", domain=domain, **(defaults | options))


def opened(domain: int, **options: Any) -> Go2Robot:
    return Go2Robot(config_at(domain, **options))


@contextmanager
def chain_at(domain: int, **options: Any) -> Iterator[tuple[Device, Go2Robot, ControlLoop]]:
    """A virtual Go2 and the running control loop that holds it."""
    with device_at(domain, **options) as device:
        robot = opened(domain)
        robot.connect()
        loop = ControlLoop(robot, JointTrackingController(GO2), SafetyFilter(GO2))
        try:
            loop.start()
            until(lambda: device.stiff)
            assert loop.fault is None, loop.fault
            yield device, robot, loop
        finally:
            loop.stop()
            robot.disconnect()


def faults(loop: ControlLoop, text: str) -> None:
    until(lambda: loop.fault is not None)
    assert text in str(loop.fault), loop.fault


def goes_on(device: Device, robot: Go2Robot, loop: ControlLoop) -> None:
    """What the driver node's service `reset` does, once the cause is gone."""
    loop.stop()
    robot.recover()
    loop.start()
    until(lambda: device.stiff)
    assert loop.fault is None, loop.fault
    assert robot.read().mode is RobotMode.RUNNING


def unplugged(domain: int) -> None:
    """No message passes: the loop stops on stale data; the robot's own watchdog damps; `recover` goes on."""
    with chain_at(domain) as (device, robot, loop):
        device.inject("unplugged")
        faults(loop, "stale")
        until(lambda: device.damped)
        assert device.status()["watchdog_trips"] == 1
        raises(DeviceNotConnectedError, "network cable", robot.recover)
        device.inject("unplugged", 0.0)
        goes_on(device, robot, loop)


def switched_off(domain: int) -> None:
    """The robot's process dies: stale data, and no connection until it is on again."""
    with chain_at(domain) as (device, robot, loop):
        device.kill(signal.SIGKILL)
        faults(loop, "stale")
        raises(DeviceNotConnectedError, f"DDS domain {domain}", robot.connect)
        with device_at(domain) as again:
            goes_on(again, robot, loop)


def frozen(domain: int) -> None:
    """It obeys but sends nothing: the loop stops on stale data, and the damping arrives."""
    with chain_at(domain) as (device, robot, loop):
        device.inject("frozen")
        faults(loop, "stale")
        until(lambda: device.damped)
        assert device.status()["watchdog_trips"] == 0, "the stop was not heard"
        device.inject("frozen", 0.0)
        goes_on(device, robot, loop)


def late(domain: int) -> None:
    """States come, but tell of the past: their age shows by the robot's clock."""
    with chain_at(domain) as (device, robot, loop):
        device.inject("late", 0.15)
        faults(loop, "stale")
        until(lambda: device.damped)
        until(lambda: _age_s(robot) > 0.1)
        device.inject("late", 0.0)
        goes_on(device, robot, loop)


def corrupted(domain: int) -> None:
    """Damaged states are dropped and counted; a few do not matter, a stream of them is silence."""
    with chain_at(domain) as (device, robot, loop):
        device.inject("corrupted", 3)
        until(lambda: robot.bad_packets >= 2)  # of three in a row, a newer one may replace one that nobody read yet
        until(lambda: _age_s(robot) < 0.02)
        assert loop.fault is None, loop.fault
        device.inject("corrupted", EVER)
        faults(loop, "checksum")
        until(lambda: device.damped)
        device.inject("corrupted", 0.0)
        goes_on(device, robot, loop)


def wrong_checksum(domain: int) -> None:
    """As damaged states; connecting says it."""
    with chain_at(domain) as (device, robot, loop):
        device.inject("wrong_checksum", EVER)
        faults(loop, "checksum")
        until(lambda: device.damped)
        raises(ProtocolError, "checksum of a LowState", robot.recover)
        device.inject("wrong_checksum", 0.0)
        goes_on(device, robot, loop)


def out_of_range(domain: int) -> None:
    """An encoder reads what the joint cannot reach: fault, damping, and no connection while it lasts."""
    with chain_at(domain) as (device, robot, loop):
        device.inject("out_of_range", 2.5)
        faults(loop, "'FR_calf_joint' at 2.5 rad, beyond its stops")
        until(lambda: device.damped)
        assert robot.read().mode is RobotMode.FAULT
        raises(DeviceFaultError, "FR_calf_joint", robot.recover)
        device.inject("out_of_range", math.nan)
        goes_on(device, robot, loop)


def driver_killed(domain: int) -> None:
    """SIGKILL in the middle of a motion: the robot hears nothing more and damps by itself; a new driver goes on."""
    with device_at(domain) as device:
        process = subprocess.Popen([sys.executable, __file__, str(domain)], stdout=subprocess.PIPE, text=True)
        try:
            assert process.stdout is not None and json.loads(process.stdout.readline()) == "moving"
            until(lambda: device.stiff and np.abs(device.status()["velocity"]).max() > 0.05)
            os.kill(process.pid, signal.SIGKILL)
            until(lambda: device.damped and max(device.status()["motor_modes"]) == 0x00)
            assert device.status()["watchdog_trips"] >= 1
        finally:
            process.kill()
            process.wait(10.0)
            assert process.stdout is not None
            process.stdout.close()
        robot = opened(domain)
        robot.connect()
        robot.send(JointCommand(position=robot.read().joint_position))
        robot.disconnect()
        until(lambda: device.damped)


def reference_stops(domain: int) -> None:
    """The policy falls silent: the safety filter holds, gives way, then has the motors damped."""
    with chain_at(domain) as (device, robot, loop):
        here = robot.read().joint_position
        loop.set_reference(JointReference("position", here + 0.05, horizon_s=0.05))
        faults(loop, "stale reference")
        until(lambda: device.damped)
        assert robot.read().mode is RobotMode.IDLE
        goes_on(device, robot, loop)


def operator_stop(domain: int) -> None:
    """`stop` from another thread: damping at once, repeated while it lasts; commands are refused until `recover`."""
    with chain_at(domain) as (device, robot, loop):
        robot.stop()
        until(lambda: device.damped)
        faults(loop, "stop by stop()")
        commands = int(device.status()["commands"])
        until(lambda: int(device.status()["commands"]) > commands + 10)
        status = device.status()
        assert status["damped"] and set(status["motor_modes"]) == {0x01} and set(status["order_kd"]) == {3.0}
        hold = JointCommand(position=robot.read().joint_position)
        raises(DeviceFaultError, "stop by stop()", lambda: robot.send(hold))
        goes_on(device, robot, loop)


def service_takes_over(domain: int) -> None:
    """Unitree's motion service takes the motors: fault, and the driver leaves them to it; `recover` has it let go."""
    with chain_at(domain) as (device, robot, loop):
        device.inject("service")
        faults(loop, "motion service 'normal' owns the motors")
        assert robot.read().mode is RobotMode.FAULT
        time.sleep(0.1)  # what was on its way
        commands = int(device.status()["commands"])
        time.sleep(0.2)
        assert int(device.status()["commands"]) == commands, "commands against the motion service"
        goes_on(device, robot, loop)
        assert device.status()["service"] == ""


def service_clings(domain: int) -> None:
    """The motion service does not let go: no connection, and not one command was sent."""
    with device_at(domain) as device:
        device.inject("service_clings")
        robot = opened(domain, connect_timeout_s=1.0)
        raises(DeviceFaultError, "motion service 'normal' owns the motors", robot.connect)
        assert device.status()["commands"] == 0
        device.inject("service_clings", 0.0)
        robot.connect()
        robot.disconnect()


def service_mute(domain: int) -> None:
    """Nobody says who owns the motors: no connection."""
    with device_at(domain) as device:
        device.inject("service_mute")
        robot = opened(domain, connect_timeout_s=1.0)
        raises(ProtocolError, "does not answer", robot.connect)
        assert device.status()["service"] == "normal"


def low_battery(domain: int) -> None:
    """Nearly empty: no connection."""
    with device_at(domain) as device:
        device.inject("low_battery", 4)
        robot = opened(domain)
        raises(DeviceFaultError, "battery at 4 %", robot.connect)
        device.inject("low_battery", 60)
        robot.connect()
        robot.disconnect()


def caller_pauses(domain: int) -> None:
    """The caller's loop stands still for longer than the watchdog: what comes after is refused, and damped."""
    with device_at(domain) as device:
        robot = opened(domain)
        robot.connect()
        hold = JointCommand(position=robot.read().joint_position)
        robot.send(hold)
        until(lambda: device.status()["watchdog_trips"] == 1)
        time.sleep(0.1)
        raises(DeviceFaultError, "no command for", lambda: robot.send(hold))
        until(lambda: device.damped)
        robot.recover()
        robot.send(JointCommand(position=robot.read().joint_position))
        robot.disconnect()


def _age_s(robot: Go2Robot) -> float:
    try:
        return time.monotonic() - float(robot.read().capture_time_s)
    except StaleDataError as error:
        return error.age_s


CELLS: tuple[Callable[[int], None], ...] = (
    unplugged,
    switched_off,
    frozen,
    late,
    corrupted,
    wrong_checksum,
    out_of_range,
    driver_killed,
    reference_stops,
    operator_stop,
    service_takes_over,
    service_clings,
    service_mute,
    low_battery,
    caller_pauses,
)
"""Every cell of the matrix."""


def _move_for_ever(domain: int) -> None:
    """A driver process to be killed: swings all joints until then."""
    robot = opened(domain)
    robot.connect()
    start, begin_s = robot.read().joint_position, time.monotonic()
    sys.stdout.write('"moving"\n')
    sys.stdout.flush()
    while True:
        with suppress(StaleDataError):
            robot.read()
        swing = 0.1 * math.sin(2.0 * math.pi * (time.monotonic() - begin_s))
        robot.send(JointCommand(position=np.clip(start + swing, GO2.position_min, GO2.position_max)))
        time.sleep(0.002)


if __name__ == "__main__":
    _move_for_ever(int(sys.argv[1]))
