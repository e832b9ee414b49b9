"""One function per kind of failure: what the Go2's driver reports, what the robot does, and how both go on.

Each starts a virtual Go2 in its own process on the DDS domain it is given, runs the control chain of the driver node
against it, and raises CellFailedError where something else happens than the page docs/robots/go2.md says.
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
from hardware.go2 import GO2
from hardware.go2.dds import require_cyclonedds
from hardware.go2.driver import Go2Config, Go2Robot
from hardware.records import JointCommand, RobotMode
from robostack.bench.device_process import DeviceProcess
from robostack.bench.fault_cells.cell import CellSet, cells_of
from robostack.bench.fault_cells.checks import EVER, age_s, expect, faulted, fresh, is_in, raises, runs, until
from robostack.bench.fault_cells.moving_driver import kill_while_moving


class Go2Process(DeviceProcess):
    """A virtual Go2 in its own process."""

    @property
    def damped(self) -> bool:
        """Whether every motor is in damping, by mode or by zero stiffness."""
        return bool(self.status()["damped"])

    @property
    def stiff(self) -> bool:
        """Whether every motor holds with more than 30 Nm/rad."""
        status = self.status()
        return status["order_kp"] is not None and min(status["order_kp"]) > 30.0 and not status["damped"]


@contextmanager
def device_at(domain: str | int, **options: Any) -> Iterator[Go2Process]:
    """A virtual Go2 on a DDS domain, running; `options` are fields of its configuration.

    Raises:
        MissingExtraError: cyclonedds is not installed.
    """
    require_cyclonedds()
    fields = {"domain": domain, "preset": "nominal", "posture": "hung"} | options
    with Go2Process("go2", *(f"--{name.replace('_', '-')}={value}" for name, value in fields.items())) as device:
        yield device


def config_at(domain: str | int, **options: Any) -> Go2Config:
    """The driver's configuration that reaches the robot on `domain`."""
    defaults: dict[str, Any] = {"gain_ramp_s": 0.1, "connect_timeout_s": 3.0, "recheck_s": 0.1}
    return Go2Config(interface="lo", domain=int(domain), **(defaults | options))


def opened(domain: str | int, **options: Any) -> Go2Robot:
    """A driver for the robot on `domain`, not yet connected."""
    return Go2Robot(config_at(domain, **options))


@contextmanager
def chain_at(domain: str, **options: Any) -> Iterator[tuple[Go2Process, Go2Robot, ControlLoop]]:
    """A virtual Go2 and the running control loop that holds it."""
    with device_at(domain, **options) as device:
        robot = opened(domain)
        robot.connect()
        loop = ControlLoop(robot, JointTrackingController(GO2), SafetyFilter(GO2))
        try:
            loop.start()
            until(lambda: device.stiff, "full stiffness at the robot")
            runs(loop)
            yield device, robot, loop
        finally:
            loop.stop()
            robot.disconnect()


def speed(device: Go2Process) -> float:
    """Largest joint speed, as the robot sees it [rad/s]."""
    return float(np.abs(device.status()["velocity"]).max())


def goes_on(device: Go2Process, robot: Go2Robot, loop: ControlLoop) -> None:
    """What the driver node's service `reset` does, once the cause is gone."""
    loop.stop()
    robot.recover()
    loop.start()
    until(lambda: device.stiff, "full stiffness at the robot")
    runs(loop)
    is_in(robot, RobotMode.RUNNING)


def unplugged(domain: str) -> None:
    """No message passes: the loop stops on stale data; the robot's own watchdog damps; `recover` goes on."""
    with chain_at(domain) as (device, robot, loop):
        device.inject("unplugged")
        faulted(loop, "stale")
        until(lambda: device.damped, "damping at the robot")
        expect(device.status()["watchdog_trips"] == 1, "the robot's watchdog did not act once")
        raises(DeviceNotConnectedError, "network cable", robot.recover)
        device.inject("unplugged", 0.0)
        goes_on(device, robot, loop)


def switched_off(domain: str) -> None:
    """The robot's process dies: stale data, and no connection until it is on again."""
    with chain_at(domain) as (device, robot, loop):
        device.kill()
        faulted(loop, "stale")
        raises(DeviceNotConnectedError, f"DDS domain {domain}", robot.connect)
        with device_at(domain) as again:
            goes_on(again, robot, loop)


def frozen(domain: str) -> None:
    """It obeys but sends nothing: the loop stops on stale data, and the damping arrives."""
    with chain_at(domain) as (device, robot, loop):
        device.inject("frozen")
        faulted(loop, "stale")
        until(lambda: device.damped, "damping at the robot")
        expect(device.status()["watchdog_trips"] == 0, "the stop was not heard")
        device.inject("frozen", 0.0)
        goes_on(device, robot, loop)


def late(domain: str) -> None:
    """States come, but tell of the past: their age shows by the robot's clock."""
    with chain_at(domain) as (device, robot, loop):
        device.inject("late", 0.15)
        faulted(loop, "stale")
        until(lambda: device.damped, "damping at the robot")
        until(lambda: age_s(robot) > 0.1, "states older than 0.1 s")
        device.inject("late", 0.0)
        goes_on(device, robot, loop)


def corrupted_bytes(domain: str) -> None:
    """Damaged states are dropped and counted; a few do not matter, a stream of them is silence."""
    with chain_at(domain) as (device, robot, loop):
        device.inject("corrupted", 3)
        until(
            lambda: robot.bad_packets >= 2, "two bad states"
        )  # of three in a row, a newer one may replace one that nobody read yet
        until(lambda: age_s(robot) < 0.02, "fresh states")
        runs(loop)
        device.inject("corrupted", EVER)
        faulted(loop, "checksum")
        until(lambda: device.damped, "damping at the robot")
        device.inject("corrupted", 0.0)
        goes_on(device, robot, loop)


def wrong_checksum(domain: str) -> None:
    """As damaged states; connecting says it."""
    with chain_at(domain) as (device, robot, loop):
        device.inject("wrong_checksum", EVER)
        faulted(loop, "checksum")
        until(lambda: device.damped, "damping at the robot")
        raises(ProtocolError, "checksum of a LowState", robot.recover)
        device.inject("wrong_checksum", 0.0)
        goes_on(device, robot, loop)


def out_of_range(domain: str) -> None:
    """An encoder reads what the joint cannot reach: fault, damping, and no connection while it lasts."""
    with chain_at(domain) as (device, robot, loop):
        device.inject("out_of_range", 2.5)
        faulted(loop, "'FR_calf_joint' at 2.5 rad, beyond its stops")
        until(lambda: device.damped, "damping at the robot")
        is_in(robot, RobotMode.FAULT)
        raises(DeviceFaultError, "FR_calf_joint", robot.recover)
        device.inject("out_of_range", math.nan)
        goes_on(device, robot, loop)


def driver_killed(domain: str) -> None:
    """SIGKILL in the middle of a motion: the robot hears nothing more and damps by itself; a new driver goes on."""
    with device_at(domain) as device:
        swing = dict.fromkeys(GO2.joint_names, 0.1)
        kill_while_moving("go2", config_at(domain), swing, lambda: device.stiff and speed(device) > 0.05)
        until(lambda: device.damped and max(device.status()["motor_modes"]) == 0x00, "damping by mode")
        expect(device.status()["watchdog_trips"] >= 1, "the robot's watchdog did not act")
        robot = opened(domain)
        robot.connect()
        robot.send(JointCommand(position=fresh(robot).joint_position))
        robot.disconnect()
        until(lambda: device.damped, "damping at the robot")


def reference_stops(domain: str) -> None:
    """The policy falls silent: the safety filter holds, gives way, then has the motors damped."""
    with chain_at(domain) as (device, robot, loop):
        here = fresh(robot).joint_position
        loop.set_reference(JointReference("position", here + 0.05, horizon_s=0.05))
        faulted(loop, "stale reference")
        until(lambda: device.damped, "damping at the robot")
        is_in(robot, RobotMode.IDLE)
        goes_on(device, robot, loop)


def operator_stop(domain: str) -> None:
    """`stop` from another thread: damping at once, repeated while it lasts; commands are refused until `recover`."""
    with chain_at(domain) as (device, robot, loop):
        robot.stop()
        until(lambda: device.damped, "damping at the robot")
        faulted(loop, "stop by stop()")
        commands = int(device.status()["commands"])
        until(lambda: int(device.status()["commands"]) > commands + 10, "damping that is repeated")
        status = device.status()
        expect(status["damped"], "the motors are not damped any more")
        expect(set(status["motor_modes"]) == {0x01}, "the motors left servo mode")
        expect(set(status["order_kd"]) == {3.0}, "the damping is not that of the configuration")
        hold = JointCommand(position=fresh(robot).joint_position)
        raises(DeviceFaultError, "stop by stop()", lambda: robot.send(hold))
        goes_on(device, robot, loop)


def service_takes_over(domain: str) -> None:
    """Unitree's motion service takes the motors: fault, and the driver leaves them to it; `recover` has it let go."""
    with chain_at(domain) as (device, robot, loop):
        device.inject("service")
        faulted(loop, "motion service 'normal' owns the motors")
        is_in(robot, RobotMode.FAULT)
        time.sleep(0.1)  # what was on its way
        commands = int(device.status()["commands"])
        time.sleep(0.2)
        expect(int(device.status()["commands"]) == commands, "commands against the motion service")
        goes_on(device, robot, loop)
        expect(device.status()["service"] == "", "the motion service was not released")


def service_clings(domain: str) -> None:
    """The motion service does not let go: no connection, and not one command was sent."""
    with device_at(domain) as device:
        device.inject("service_clings")
        robot = opened(domain, connect_timeout_s=1.0)
        raises(DeviceFaultError, "motion service 'normal' owns the motors", robot.connect)
        expect(device.status()["commands"] == 0, "commands were sent to motors that the motion service owns")
        device.inject("service_clings", 0.0)
        robot.connect()
        robot.disconnect()


def service_mute(domain: str) -> None:
    """Nobody says who owns the motors: no connection."""
    with device_at(domain) as device:
        device.inject("service_mute")
        robot = opened(domain, connect_timeout_s=1.0)
        raises(ProtocolError, "does not answer", robot.connect)
        expect(device.status()["service"] == "normal", "the motion service was released unasked")


def low_battery(domain: str) -> None:
    """Nearly empty: no connection."""
    with device_at(domain) as device:
        device.inject("low_battery", 4)
        robot = opened(domain)
        raises(DeviceFaultError, "battery at 4 %", robot.connect)
        device.inject("low_battery", 60)
        robot.connect()
        robot.disconnect()


def caller_pauses(domain: str) -> None:
    """The caller's loop stands still for longer than the watchdog: what comes after is refused, and damped."""
    with device_at(domain) as device:
        robot = opened(domain)
        robot.connect()
        hold = JointCommand(position=fresh(robot).joint_position)
        robot.send(hold)
        until(lambda: device.status()["watchdog_trips"] == 1, "the watchdog")
        time.sleep(0.1)
        raises(DeviceFaultError, "no command for", lambda: robot.send(hold))
        until(lambda: device.damped, "damping at the robot")
        robot.recover()
        robot.send(JointCommand(position=fresh(robot).joint_position))
        robot.disconnect()


CELLS = CellSet(
    "domain",
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
        service_takes_over,
        service_clings,
        service_mute,
        low_battery,
        caller_pauses,
    ),
)
