"""One function per kind of failure: what the SO-101's driver reports, what the servos do, and how both go on.

Each starts a virtual SO-101 under the port (a path) it is given, runs the control chain of the driver node against it,
and raises AssertionError where something else happens than the page docs/robots/so101.md says.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from controllers.loop import ControlLoop
from controllers.reference import JointReference
from controllers.safety import SafetyFilter
from controllers.tracking import JointTrackingController
from hardware.errors import DeviceFaultError, DeviceNotConnectedError, RobostackError, StaleDataError
from hardware.records import RobotMode
from hardware.so101 import SO101
from hardware.so101.driver import SO101Config, SO101Robot
from sim.devices.device import DEVICES
from sim.devices.so101.config import VirtualSO101Config
from sim.devices.so101.device import VirtualSO101

HELD = 0.6
EVER = 1e9
MANY = 100_000


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
def device_at(port: str, servos: str, **options: Any) -> Iterator[VirtualSO101]:
    device = VirtualSO101(VirtualSO101Config(port=port, servos=servos, **{"preset": "nominal"} | options))
    device.start()
    try:
        yield device
    finally:
        device.stop()


def config_of(device: VirtualSO101, **options: Any) -> SO101Config:
    # More patience than on a robot: a virtual servo answers only when this machine lets it run.
    patience = {"reply_timeout_s": 0.04} | options
    return SO101Config(**DEVICES.load("so101").driver_config(device.config), **patience)


@contextmanager
def chain_at(port: str, servos: str) -> Iterator[tuple[VirtualSO101, SO101Robot, ControlLoop]]:
    """A virtual SO-101 and the running control loop that swings its shoulder_pan."""
    with device_at(port, servos) as device:
        robot = SO101Robot(config_of(device))
        robot.connect()
        loop = ControlLoop(robot, JointTrackingController(SO101), SafetyFilter(SO101))
        try:
            loop.start()
            swing(loop, 1.0)
            moving(device, loop)
            yield device, robot, loop
        finally:
            loop.stop()
            robot.disconnect()


def swing(loop: ControlLoop, side: float, horizon_s: float = EVER) -> None:
    loop.set_reference(JointReference("velocity", side * np.array([0.6, 0, 0, 0, 0, 0]), horizon_s))


def moving(device: VirtualSO101, loop: ControlLoop) -> None:
    """Wait until the arm moves, and see that it may."""
    until(lambda: speed(device) > 0.3 or loop.fault is not None)
    assert loop.fault is None, loop.fault


def speed(device: VirtualSO101) -> float:
    return float(np.abs(device.status()["velocity"]).max())


def held(device: VirtualSO101, joint: int = 0) -> bool:
    """At rest, with the reduced power of a stop."""
    return abs(device.status()["power"][joint] - HELD) < 2e-3 and speed(device) < 0.02


def faulted(loop: ControlLoop, text: str) -> None:
    until(lambda: loop.fault is not None)
    assert text in loop.fault, loop.fault


def recovered(device: VirtualSO101, robot: SO101Robot, loop: ControlLoop) -> None:
    """What the service `reset` of the driver node does; then the arm moves again."""
    before = device.status()["position"]
    loop.stop()
    robot.recover()
    assert np.abs(np.subtract(device.status()["position"], before)).max() < 0.05, "the arm moved on recovery"
    loop.start()
    assert robot.read().mode is RobotMode.RUNNING
    swing(loop, -1.0)
    moving(device, loop)


def unplugged(port: str, servos: str = "feetech") -> None:
    with chain_at(port, servos) as (device, robot, loop):
        device.inject("unplugged", 0.5)
        faulted(loop, "is not connected")
        raises(DeviceNotConnectedError, "cable", robot.read)
        until(lambda: speed(device) < 0.02)  # the servos go to their last goal, and hold
        assert min(device.status()["power"]) > 0.9
        until(lambda: Path(port).exists())
        recovered(device, robot, loop)


def frozen(port: str, servos: str = "feetech") -> None:
    with chain_at(port, servos) as (device, robot, loop):
        device.inject("frozen")
        faulted(loop, "is stale")
        raises(StaleDataError, "so101 state", robot.read)
        until(lambda: held(device))  # writes still arrive
        raises(DeviceNotConnectedError, "no answer from 'shoulder_pan' (id 1)", robot.recover)
        device.inject("frozen", 0.0)
        recovered(device, robot, loop)


def late(port: str, servos: str = "feetech") -> None:
    with chain_at(port, servos) as (device, robot, loop):
        device.inject("late", 0.09)
        faulted(loop, "is stale")
        until(lambda: held(device))
        device.inject("late", 0.0)
        time.sleep(0.1)  # what is under way arrives
        recovered(device, robot, loop)


def corrupted_bytes(port: str, servos: str = "feetech") -> None:
    _spoiled(port, servos, "corrupted")


def wrong_checksum(port: str, servos: str = "feetech") -> None:
    _spoiled(port, servos, "wrong_checksum")


def _spoiled(port: str, servos: str, fault: str) -> None:
    """A few spoiled answers are dropped; when nothing else comes, the state is stale."""
    with chain_at(port, servos) as (device, robot, loop):
        cycles = loop.statistics().cycles
        device.inject(fault, 3)
        until(lambda: loop.statistics().cycles > cycles + 30)
        assert loop.fault is None, loop.fault
        device.inject(fault, MANY)
        faulted(loop, "is stale")
        until(lambda: held(device))
        device.inject(fault, 0)
        recovered(device, robot, loop)


def noise_on_the_line(port: str, servos: str = "feetech") -> None:
    with chain_at(port, servos) as (device, _, loop):
        cycles = loop.statistics().cycles
        device.inject("noise", 12)
        until(lambda: loop.statistics().cycles > cycles + 30)
        assert loop.fault is None, loop.fault


def out_of_range_reading(port: str, servos: str = "feetech") -> None:
    with chain_at(port, servos) as (device, robot, loop):
        elbow = device.status()["position"][2]
        device.inject("wild_reading", 1500)
        faulted(loop, "'elbow_flex' reads 2.9")
        until(lambda: held(device))
        assert abs(device.status()["position"][2] - elbow) < 0.05  # the stop does not follow the wrong reading
        assert robot.read().mode is RobotMode.FAULT
        device.inject("wild_reading", 0)
        recovered(device, robot, loop)


def overload(port: str, servos: str = "feetech") -> None:
    with chain_at(port, servos) as (device, robot, loop):
        device.inject("overload", 5)
        faulted(loop, "'wrist_roll': overload")
        assert robot.read().mode is RobotMode.FAULT
        until(lambda: held(device))
        assert device.status()["power"][4] <= 0.2 and device.status()["errors"][4] != 0
        raises(DeviceFaultError, "'wrist_roll': overload", robot.connect)
        recovered(device, robot, loop)
        assert device.status()["errors"] == [0] * 6


def overheating(port: str, servos: str = "feetech") -> None:
    with chain_at(port, servos) as (device, robot, loop):
        device.inject("overheating", 68.0)
        faulted(loop, "'elbow_flex' has 68 C, limit 65 C")
        until(lambda: held(device))
        raises(DeviceFaultError, "let it cool down", robot.recover)
        device.inject("overheating", 0.0)
        recovered(device, robot, loop)


def one_servo_lost(port: str, servos: str = "feetech") -> None:
    with chain_at(port, servos) as (device, robot, loop):
        device.inject("lost_servo", 4)
        faulted(loop, "is stale")
        until(lambda: held(device))
        raises(DeviceNotConnectedError, "no answer from 'wrist_flex' (id 4):", robot.recover)
        device.inject("lost_servo", 0)
        recovered(device, robot, loop)


CHILD = """
import sys, time
import numpy as np
from hardware import JointCommand
from hardware.so101.driver import SO101Config, SO101Robot
robot = SO101Robot(SO101Config(port=sys.argv[1], servos=sys.argv[2]))
robot.connect()
begin, start_s = robot.read().joint_position, time.monotonic()
while True:
    robot.read()
    t = time.monotonic() - start_s
    robot.send(JointCommand(position=begin + np.array([0.5 * np.sin(np.pi * t), 0, 0, 0, 0, 0])))
    time.sleep(0.01)
"""


def driver_killed(port: str, servos: str = "feetech") -> None:
    with device_at(port, servos) as device:
        command = [sys.executable, "-c", CHILD, port, servos]
        child = subprocess.Popen(command, env=os.environ | {"OMP_NUM_THREADS": "1"})
        try:
            until(lambda: speed(device) > 0.5, 30.0)
        finally:
            child.send_signal(signal.SIGKILL)
            child.wait()
        until(lambda: speed(device) < 0.02)
        status = device.status()
        assert min(status["power"]) == 1.0  # the torque stays on: it holds
        assert abs(status["position"][0] - status["goal"][0]) < 0.02
        if servos == "dynamixel":  # its own watchdog stops it, also on the way to a far goal
            until(lambda: all(servo.table[98] == 0xFF for servo in device.chain.servos))
        robot = SO101Robot(config_of(device))
        robot.connect()  # a new process takes over, and nothing moves
        assert robot.read().mode is RobotMode.RUNNING
        assert np.abs(np.subtract(device.status()["position"], status["position"])).max() < 0.02
        robot.disconnect()


def reference_stops(port: str, servos: str = "feetech") -> None:
    with chain_at(port, servos) as (device, robot, loop):
        swing(loop, -1.0, 0.1)
        faulted(loop, "stale reference")
        until(lambda: held(device))
        assert robot.read().mode is RobotMode.IDLE
        recovered(device, robot, loop)


def operator_stop(port: str, servos: str = "feetech") -> None:
    with chain_at(port, servos) as (device, robot, loop):
        loop.stop()
        until(lambda: held(device))
        state = robot.read()
        assert state.mode is RobotMode.IDLE and "60% of the power" in state.detail
        recovered(device, robot, loop)


def control_loop_hangs(port: str, servos: str = "feetech") -> None:
    """The process lives, but nothing is sent any more: the bus thread holds the arm."""
    with device_at(port, servos) as device:
        robot = SO101Robot(config_of(device))
        robot.connect()
        loop = ControlLoop(robot, JointTrackingController(SO101), SafetyFilter(SO101))
        loop.begin()
        swing(loop, 1.0)
        loop.run_until(loop.clock.now() + 0.5)
        assert speed(device) > 0.1
        until(lambda: held(device))  # nobody calls `step` any more
        assert robot.read().mode is RobotMode.FAULT and "no command came for 0.2 s" in robot.read().detail
        robot.disconnect()


CELLS = (
    unplugged,
    frozen,
    late,
    corrupted_bytes,
    wrong_checksum,
    noise_on_the_line,
    out_of_range_reading,
    overload,
    overheating,
    one_servo_lost,
    driver_killed,
    reference_stops,
    operator_stop,
    control_loop_hangs,
)
