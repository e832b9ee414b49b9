"""One function per kind of failure: what the Go1's driver reports, what the robot does, and how both go on.

Each starts a virtual Go1 on the loopback address it is given, runs the control chain of the driver node against it, and
raises AssertionError where something else happens than the page docs/robots/go1.md says.
"""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import threading
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
from hardware.go1 import GO1
from hardware.go1.driver import Go1Config, Go1Robot
from hardware.records import JointCommand, RobotMode, RobotState
from sim.devices.go1.config import VirtualGo1Config
from sim.devices.go1.device import VirtualGo1

EVER = 1e9
STALL_S = 0.04


def until(ready: Callable[[], object], timeout_s: float = 10.0) -> None:
    deadline_s = time.monotonic() + timeout_s
    while not ready():
        assert time.monotonic() < deadline_s, "not reached in time"
        time.sleep(0.002)


def raises(kind: type[RobostackError], text: str, action: Callable[[], object]) -> None:
    try:
        action()
    except kind as error:
        assert text in str(error), f"'{text}' not in: {error}"
    else:
        raise AssertionError(f"{kind.__name__} was not raised")


@contextmanager
def device_at(host: str, **options: Any) -> Iterator[VirtualGo1]:
    device = VirtualGo1(VirtualGo1Config(host=host, **{"preset": "nominal", "posture": "hung"} | options))
    device.start()
    try:
        yield device
    finally:
        device.stop()


def config_at(host: str, **options: Any) -> Go1Config:
    return Go1Config(host=host, **{"gain_ramp_s": 0.1, "connect_timeout_s": 1.0} | options)


@contextmanager
def chain_at(host: str, **options: Any) -> Iterator[tuple[VirtualGo1, Go1Robot, ControlLoop]]:
    """A virtual Go1 and the running control loop that holds it."""
    with device_at(host, **options) as device:
        robot = Go1Robot(config_at(host))
        robot.connect()
        loop = ControlLoop(robot, JointTrackingController(GO1), SafetyFilter(GO1))
        try:
            loop.start()
            until(lambda: stiff(device))
            assert loop.fault is None, loop.fault
            yield device, robot, loop
        finally:
            loop.stop()
            robot.disconnect()


def fresh(robot: Go1Robot) -> RobotState:
    """A state, also where this machine stalls for a moment."""
    deadline_s = time.monotonic() + 10.0
    while True:
        try:
            return robot.read()
        except StaleDataError:
            if time.monotonic() > deadline_s:
                raise
            time.sleep(0.002)


def stiff(device: VirtualGo1) -> bool:
    stiffness = device.status()["stiffness"]
    return isinstance(stiffness, list) and min(stiffness) > 30.0 and not device.status()["damped"]


def damped(device: VirtualGo1) -> bool:
    return bool(device.status()["damped"])


def faults(loop: ControlLoop, text: str) -> None:
    until(lambda: loop.fault is not None)
    assert text in str(loop.fault), loop.fault


def goes_on(device: VirtualGo1, robot: Go1Robot, loop: ControlLoop) -> None:
    """What the driver node's service `reset` does, once the cause is gone."""
    loop.stop()
    robot.recover()
    loop.start()
    until(lambda: stiff(device))
    assert loop.fault is None, loop.fault
    assert fresh(robot).mode is RobotMode.RUNNING


def unplugged(host: str) -> None:
    """No packet passes: the loop stops on stale data; the robot's own watchdog damps; `recover` goes on."""
    with chain_at(host) as (device, robot, loop):
        device.inject("unplugged")
        faults(loop, "stale")
        until(lambda: damped(device))
        assert device.status()["watchdog_trips"] == 1
        raises(DeviceNotConnectedError, "network cable", robot.recover)
        device.inject("unplugged", 0.0)
        goes_on(device, robot, loop)


def switched_off(host: str) -> None:
    """The port is closed: the operating system reports it, and the loop stops."""
    with chain_at(host) as (device, robot, loop):
        device.stop()
        faults(loop, "not connected")
        raises(DeviceNotConnectedError, host, robot.connect)
        device.start()
        goes_on(device, robot, loop)


def frozen(host: str) -> None:
    """It obeys but answers nothing: the loop stops on stale data, and the damping arrives."""
    with chain_at(host) as (device, robot, loop):
        device.inject("frozen")
        faults(loop, "stale")
        until(lambda: damped(device))
        assert device.status()["watchdog_trips"] == 0, "the stop was not heard"
        device.inject("frozen", 0.0)
        goes_on(device, robot, loop)


def late(host: str) -> None:
    """Answers come, but tell of the past: their age shows by the robot's clock."""
    with chain_at(host) as (device, robot, loop):
        device.inject("late", 0.25)
        faults(loop, "stale")
        until(lambda: damped(device))
        until(lambda: _age_s(robot) > 0.15)
        device.inject("late", 0.0)
        goes_on(device, robot, loop)


def corrupted(host: str) -> None:
    """Damaged packets are dropped and counted; a few do not matter, a stream of them is silence."""
    with chain_at(host) as (device, robot, loop):
        device.inject("corrupted", 5)
        until(lambda: robot.bad_packets >= 5)
        until(lambda: _age_s(robot) < 0.02)
        assert loop.fault is None, loop.fault
        device.inject("corrupted", EVER)
        faults(loop, "bad packets; checksum")
        until(lambda: damped(device))
        device.inject("corrupted", 0.0)
        goes_on(device, robot, loop)


def wrong_checksum(host: str) -> None:
    """As damaged packets; at connect the message names the other form of the checksum."""
    with chain_at(host) as (device, robot, loop):
        device.inject("wrong_checksum", EVER)
        faults(loop, "checksum")
        until(lambda: damped(device))
        raises(ProtocolError, "set crc to 'encrypted'", robot.recover)
        device.inject("wrong_checksum", 0.0)
        goes_on(device, robot, loop)


def out_of_range(host: str) -> None:
    """An encoder reads what the joint cannot reach: fault, damping, and no connection while it lasts."""
    with chain_at(host) as (device, robot, loop):
        device.inject("out_of_range", 2.5)
        faults(loop, "'FR_calf_joint' at 2.5 rad, beyond its stops")
        until(lambda: damped(device))
        assert fresh(robot).mode is RobotMode.FAULT
        raises(DeviceFaultError, "FR_calf_joint", robot.recover)
        device.inject("out_of_range", math.nan)
        goes_on(device, robot, loop)


def driver_killed(host: str) -> None:
    """SIGKILL in the middle of a motion: the robot hears nothing more and damps by itself; a new driver goes on."""
    with device_at(host) as device:
        process = subprocess.Popen([sys.executable, __file__, host], stdout=subprocess.PIPE, text=True)
        try:
            assert process.stdout is not None and json.loads(process.stdout.readline()) == "moving"
            until(lambda: stiff(device) and np.abs(device.status()["velocity"]).max() > 0.05)
            os.kill(process.pid, signal.SIGKILL)
            until(lambda: damped(device) and max(device.status()["motor_modes"]) == 0x00)
            assert device.status()["watchdog_trips"] == 1
        finally:
            process.kill()
            process.wait(10.0)
        robot = Go1Robot(config_at(host))
        robot.connect()
        robot.send(JointCommand(position=fresh(robot).joint_position))
        robot.disconnect()
        until(lambda: damped(device))


def reference_stops(host: str) -> None:
    """The policy falls silent: the safety filter holds, gives way, then has the motors damped."""
    with chain_at(host) as (device, robot, loop):
        here = fresh(robot).joint_position
        loop.set_reference(JointReference("position", here + 0.05, horizon_s=0.05))
        faults(loop, "stale reference")
        until(lambda: damped(device))
        assert fresh(robot).mode is RobotMode.IDLE
        goes_on(device, robot, loop)


def operator_stop(host: str) -> None:
    """`stop` from another thread: damping at once, repeated while it lasts; commands are refused until `recover`."""
    with chain_at(host) as (device, robot, loop):
        robot.stop()
        until(lambda: damped(device))
        faults(loop, "stop by stop()")
        commands = int(device.status()["commands"])
        until(lambda: int(device.status()["commands"]) > commands + 10)
        assert damped(device) and set(device.status()["motor_modes"]) == {0x0A}
        hold = JointCommand(position=fresh(robot).joint_position)
        raises(DeviceFaultError, "stop by stop()", lambda: robot.send(hold))
        goes_on(device, robot, loop)


def high_level(host: str) -> None:
    """Unitree's own mode takes the motors: fault, and no connection until it is switched off."""
    with chain_at(host) as (device, robot, loop):
        device.inject("high_level")
        faults(loop, "high-level mode owns the motors")
        assert fresh(robot).mode is RobotMode.FAULT
        raises(DeviceFaultError, "L1+L2+START", robot.connect)
        device.inject("high_level", 0.0)
        goes_on(device, robot, loop)


def other_sender(host: str) -> None:
    """A sport-mode program that was not ended: motors in servo mode that nobody here commanded."""
    with device_at(host) as device:
        device.inject("other_sender")
        robot = Go1Robot(config_at(host))
        raises(DeviceFaultError, "high-level mode owns the motors", robot.connect)
        device.inject("other_sender", 0.0)
        robot.connect()
        device.inject("other_sender")
        until(lambda: fresh(robot).mode is RobotMode.FAULT)
        robot.disconnect()


def overheat(host: str) -> None:
    """A motor switches itself off: fault, damping of the others."""
    with chain_at(host) as (device, robot, loop):
        device.inject("overheat")
        faults(loop, "motor of 'FR_thigh_joint' is too hot")
        until(lambda: damped(device))
        device.inject("overheat", 0.0)
        goes_on(device, robot, loop)


def low_battery(host: str) -> None:
    """Nearly empty: no connection."""
    with device_at(host) as device:
        device.inject("low_battery", 4)
        robot = Go1Robot(config_at(host))
        raises(DeviceFaultError, "battery at 4 %", robot.connect)
        device.inject("low_battery", 60)
        robot.connect()
        robot.disconnect()


def caller_pauses(host: str) -> None:
    """The caller's loop stands still for longer than the watchdog: what comes after is refused, and damped."""
    with device_at(host) as device:
        robot = Go1Robot(config_at(host))
        robot.connect()
        hold = JointCommand(position=fresh(robot).joint_position)
        robot.send(hold)
        until(lambda: device.status()["watchdog_trips"] == 1)
        time.sleep(0.1)
        raises(DeviceFaultError, "no command for", lambda: robot.send(hold))
        until(lambda: damped(device))
        robot.recover()
        robot.send(JointCommand(position=fresh(robot).joint_position))
        robot.disconnect()


class StallMeter:
    """Measures for how long this machine does not run us at all: other work, or a limit on its processor time."""

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


def run_cell(cell: Callable[[str], None], host: str, attempts: int = 4) -> None:
    """Run `cell`; again only if it failed while the machine stalled for a good part of the robot's watchdog time."""
    for attempt in range(attempts):
        with StallMeter() as meter:
            try:
                cell(host)
                return
            except (AssertionError, RobostackError):
                if meter.longest_s < STALL_S or attempt == attempts - 1:
                    raise


def _age_s(robot: Go1Robot) -> float:
    try:
        return time.monotonic() - float(robot.read().capture_time_s)
    except StaleDataError as error:
        return error.age_s


CELLS: tuple[Callable[[str], None], ...] = (
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
    high_level,
    other_sender,
    overheat,
    low_battery,
    caller_pauses,
)
"""Every cell of the matrix."""


def _move_for_ever(host: str) -> None:
    """A driver process to be killed: swings all joints until then."""
    robot = Go1Robot(config_at(host))
    robot.connect()
    start, begin_s = fresh(robot).joint_position, time.monotonic()
    sys.stdout.write('"moving"\n')
    sys.stdout.flush()
    while True:
        with suppress(StaleDataError):
            robot.read()
        swing = 0.1 * math.sin(2.0 * math.pi * (time.monotonic() - begin_s))
        robot.send(JointCommand(position=np.clip(start + swing, GO1.position_min, GO1.position_max)))
        time.sleep(0.002)


if __name__ == "__main__":
    _move_for_ever(sys.argv[1])
