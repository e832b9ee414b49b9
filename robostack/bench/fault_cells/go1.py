"""One function per kind of failure: what the Go1's driver reports, what the robot does, and how both go on.

Each starts a virtual Go1 on the loopback address it is given, runs the control chain of the driver node against it, and
raises CellFailedError where something else happens than the page docs/robots/go1.md says.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
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
)
from hardware.go1 import GO1
from hardware.go1.driver import Go1Config, Go1Robot
from hardware.records import JointCommand, RobotMode
from robostack.bench.fault_cells.cell import CellSet, cells_of
from robostack.bench.fault_cells.checks import EVER, age_s, expect, faulted, fresh, is_in, raises, runs, until
from robostack.bench.fault_cells.moving_driver import kill_while_moving
from sim.devices.go1.config import VirtualGo1Config
from sim.devices.go1.device import VirtualGo1


@contextmanager
def device_at(host: str, **options: Any) -> Iterator[VirtualGo1]:
    """A virtual Go1, running; `options` are fields of its configuration."""
    device = VirtualGo1(VirtualGo1Config(host=host, **{"preset": "nominal", "posture": "hung"} | options))
    device.start()
    try:
        yield device
    finally:
        device.stop()


def config_at(host: str, **options: Any) -> Go1Config:
    """The driver's configuration that reaches the robot at `host`."""
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
            until(lambda: stiff(device), "full stiffness at the robot")
            runs(loop)
            yield device, robot, loop
        finally:
            loop.stop()
            robot.disconnect()


def shown(device: VirtualGo1, key: str) -> Any:
    """One entry of what the robot itself sees."""
    return device.status()[key]


def stiff(device: VirtualGo1) -> bool:
    """Whether every motor holds with more than 30 Nm/rad."""
    return min(shown(device, "stiffness") or [0.0]) > 30.0 and not damped(device)


def damped(device: VirtualGo1) -> bool:
    """Whether every motor is in damping, by mode or by zero stiffness."""
    return bool(shown(device, "damped"))


def speed(device: VirtualGo1) -> float:
    """Largest joint speed, as the robot sees it [rad/s]."""
    return float(np.abs(shown(device, "velocity")).max())


def trips(device: VirtualGo1, count: int) -> None:
    """Require that the robot's own watchdog has acted `count` times."""
    found = shown(device, "watchdog_trips")
    expect(found == count, f"the robot's watchdog acted {found} times, not {count}")


def goes_on(device: VirtualGo1, robot: Go1Robot, loop: ControlLoop) -> None:
    """What the driver node's service `reset` does, once the cause is gone."""
    loop.stop()
    robot.recover()
    loop.start()
    until(lambda: stiff(device), "full stiffness at the robot")
    runs(loop)
    is_in(robot, RobotMode.RUNNING)


def unplugged(host: str) -> None:
    """No packet passes: the loop stops on stale data; the robot's own watchdog damps; `recover` goes on."""
    with chain_at(host) as (device, robot, loop):
        device.inject("unplugged")
        faulted(loop, "stale")
        until(lambda: damped(device), "damping at the robot")
        trips(device, 1)
        raises(DeviceNotConnectedError, "network cable", robot.recover)
        device.inject("unplugged", 0.0)
        goes_on(device, robot, loop)


def switched_off(host: str) -> None:
    """The port is closed: the operating system reports it, and the loop stops."""
    with chain_at(host) as (device, robot, loop):
        device.stop()
        faulted(loop, "not connected")
        raises(DeviceNotConnectedError, host, robot.connect)
        device.start()
        goes_on(device, robot, loop)


def frozen(host: str) -> None:
    """It obeys but answers nothing: the loop stops on stale data, and the damping arrives."""
    with chain_at(host) as (device, robot, loop):
        device.inject("frozen")
        faulted(loop, "stale")
        until(lambda: damped(device), "damping at the robot")
        trips(device, 0)
        device.inject("frozen", 0.0)
        goes_on(device, robot, loop)


def late(host: str) -> None:
    """Answers come, but tell of the past: their age shows by the robot's clock."""
    with chain_at(host) as (device, robot, loop):
        device.inject("late", 0.25)
        faulted(loop, "stale")
        until(lambda: damped(device), "damping at the robot")
        until(lambda: age_s(robot) > 0.15, "states older than 0.15 s")
        device.inject("late", 0.0)
        goes_on(device, robot, loop)


def corrupted_bytes(host: str) -> None:
    """Damaged packets are dropped and counted; a few do not matter, a stream of them is silence."""
    with chain_at(host) as (device, robot, loop):
        device.inject("corrupted", 5)
        until(lambda: robot.bad_packets >= 5, "five bad packets")
        until(lambda: age_s(robot) < 0.02, "fresh states")
        runs(loop)
        device.inject("corrupted", EVER)
        faulted(loop, "bad packets; checksum")
        until(lambda: damped(device), "damping at the robot")
        device.inject("corrupted", 0.0)
        goes_on(device, robot, loop)


def wrong_checksum(host: str) -> None:
    """As damaged packets; at connect the message names the other form of the checksum."""
    with chain_at(host) as (device, robot, loop):
        device.inject("wrong_checksum", EVER)
        faulted(loop, "checksum")
        until(lambda: damped(device), "damping at the robot")
        raises(ProtocolError, "set crc to 'encrypted'", robot.recover)
        device.inject("wrong_checksum", 0.0)
        goes_on(device, robot, loop)


def out_of_range(host: str) -> None:
    """An encoder reads what the joint cannot reach: fault, damping, and no connection while it lasts."""
    with chain_at(host) as (device, robot, loop):
        device.inject("out_of_range", 2.5)
        faulted(loop, "'FR_calf_joint' at 2.5 rad, beyond its stops")
        until(lambda: damped(device), "damping at the robot")
        is_in(robot, RobotMode.FAULT)
        raises(DeviceFaultError, "FR_calf_joint", robot.recover)
        device.inject("out_of_range", math.nan)
        goes_on(device, robot, loop)


def driver_killed(host: str) -> None:
    """SIGKILL in the middle of a motion: the robot hears nothing more and damps by itself; a new driver goes on."""
    with device_at(host) as device:
        swing = dict.fromkeys(GO1.joint_names, 0.1)
        kill_while_moving("go1", config_at(host), swing, lambda: stiff(device) and speed(device) > 0.05)
        until(lambda: damped(device) and shown(device, "motor_modes") == [0x00] * 12, "damping by mode")
        trips(device, 1)
        robot = Go1Robot(config_at(host))
        robot.connect()
        robot.send(JointCommand(position=fresh(robot).joint_position))
        robot.disconnect()
        until(lambda: damped(device), "damping at the robot")


def reference_stops(host: str) -> None:
    """The policy falls silent: the safety filter holds, gives way, then has the motors damped."""
    with chain_at(host) as (device, robot, loop):
        here = fresh(robot).joint_position
        loop.set_reference(JointReference("position", here + 0.05, horizon_s=0.05))
        faulted(loop, "stale reference")
        until(lambda: damped(device), "damping at the robot")
        is_in(robot, RobotMode.IDLE)
        goes_on(device, robot, loop)


def operator_stop(host: str) -> None:
    """`stop` from another thread: damping at once, repeated while it lasts; commands are refused until `recover`."""
    with chain_at(host) as (device, robot, loop):
        robot.stop()
        until(lambda: damped(device), "damping at the robot")
        faulted(loop, "stop by stop()")
        commands = shown(device, "commands")
        until(lambda: shown(device, "commands") > commands + 10, "damping that is repeated")
        expect(damped(device), "the motors are not damped any more")
        expect(shown(device, "motor_modes") == [0x0A] * 12, "the motors left servo mode")
        hold = JointCommand(position=fresh(robot).joint_position)
        raises(DeviceFaultError, "stop by stop()", lambda: robot.send(hold))
        goes_on(device, robot, loop)


def high_level(host: str) -> None:
    """Unitree's own mode takes the motors: fault, and no connection until it is switched off."""
    with chain_at(host) as (device, robot, loop):
        device.inject("high_level")
        faulted(loop, "high-level mode owns the motors")
        is_in(robot, RobotMode.FAULT)
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
        until(lambda: fresh(robot).mode is RobotMode.FAULT, "a fault")
        robot.disconnect()


def overheat(host: str) -> None:
    """A motor switches itself off: fault, damping of the others."""
    with chain_at(host) as (device, robot, loop):
        device.inject("overheat")
        faulted(loop, "motor of 'FR_thigh_joint' is too hot")
        until(lambda: damped(device), "damping at the robot")
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
        until(lambda: shown(device, "watchdog_trips") == 1, "the watchdog")
        time.sleep(0.1)
        raises(DeviceFaultError, "no command for", lambda: robot.send(hold))
        until(lambda: damped(device), "damping at the robot")
        robot.recover()
        robot.send(JointCommand(position=fresh(robot).joint_position))
        robot.disconnect()


CELLS = CellSet(
    "host",
    cells_of(
        unplugged,
        switched_off,
        frozen,
        late,
        corrupted_bytes,
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
    ),
)
