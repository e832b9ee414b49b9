"""One function per kind of failure: what the SO-101's driver reports, what the servos do, and how both go on.

Each starts a virtual SO-101 under the port (a path) it is given, runs the control chain of the driver node against it,
and raises CellFailedError where something else happens than the page docs/robots/so101.md says.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from controllers.loop import ControlLoop
from controllers.reference import JointReference
from controllers.safety import SafetyFilter
from controllers.tracking import JointTrackingController
from hardware.errors import DeviceFaultError, DeviceNotConnectedError, StaleDataError
from hardware.records import RobotMode
from hardware.so101 import SO101
from hardware.so101.driver import SO101Config, SO101Robot
from robostack.bench.fault_cells.cell import Cell, CellSet, cells_of
from robostack.bench.fault_cells.checks import EVER, expect, faulted, fresh, is_in, raises, runs, until
from robostack.bench.fault_cells.moving_driver import kill_while_moving
from sim.devices.device import DEVICES
from sim.devices.so101.config import VirtualSO101Config
from sim.devices.so101.device import VirtualSO101

Servos = Literal["feetech", "dynamixel"]
"""Family of the servos."""
HELD = 0.6
"""Share of the power that a stop leaves."""
MANY = 100_000
"""Answers that are spoiled: all."""


@contextmanager
def device_at(port: str, servos: Servos, **options: Any) -> Iterator[VirtualSO101]:
    """A virtual SO-101, running; `options` are fields of its configuration."""
    device = VirtualSO101(VirtualSO101Config(port=port, servos=servos, **{"preset": "nominal"} | options))
    device.start()
    try:
        yield device
    finally:
        device.stop()


def config_of(device: VirtualSO101, **options: Any) -> SO101Config:
    """The driver's configuration that reaches `device`."""
    # More patience than on a robot: a virtual servo answers only when this machine lets it run.
    fields: dict[str, Any] = {"reply_timeout_s": 0.04, **DEVICES.load("so101").driver_config(device.config), **options}
    return SO101Config(**fields)


@contextmanager
def chain_at(port: str, servos: Servos) -> Iterator[tuple[VirtualSO101, SO101Robot, ControlLoop]]:
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


def seen(device: VirtualSO101) -> dict[str, Any]:
    """What the device itself sees."""
    return dict(device.status())


def swing(loop: ControlLoop, side: float, horizon_s: float = EVER) -> None:
    """Ask for a turn of shoulder_pan, to one side or the other."""
    loop.set_reference(JointReference("velocity", side * np.array([0.6, 0, 0, 0, 0, 0]), horizon_s))


def moving(device: VirtualSO101, loop: ControlLoop) -> None:
    """Wait until the arm moves, and see that it may."""
    until(lambda: speed(device) > 0.3 or loop.fault is not None, "a motion")
    runs(loop)


def speed(device: VirtualSO101) -> float:
    """Largest joint speed, as the device sees it [rad/s]."""
    return float(np.abs(seen(device)["velocity"]).max())


def held(device: VirtualSO101, joint: int = 0) -> bool:
    """At rest, with the reduced power of a stop."""
    return abs(seen(device)["power"][joint] - HELD) < 2e-3 and speed(device) < 0.02


def recovered(device: VirtualSO101, robot: SO101Robot, loop: ControlLoop) -> None:
    """What the service `reset` of the driver node does; then the arm moves again."""
    before = seen(device)["position"]
    loop.stop()
    robot.recover()
    expect(np.abs(np.subtract(seen(device)["position"], before)).max() < 0.05, "the arm moved on recovery")
    loop.start()
    is_in(robot, RobotMode.RUNNING)
    swing(loop, -1.0)
    moving(device, loop)


def unplugged(port: str, servos: Servos = "feetech") -> None:
    """The port goes: the loop stops; the servos go to their last goal, and hold."""
    with chain_at(port, servos) as (device, robot, loop):
        device.inject("unplugged", 0.5)
        faulted(loop, "is not connected")
        raises(DeviceNotConnectedError, "cable", robot.read)
        until(lambda: speed(device) < 0.02, "the arm at rest")  # the servos go to their last goal, and hold
        expect(min(seen(device)["power"]) > 0.9, "the servos lost their power")
        until(lambda: Path(port).exists(), "the port")
        recovered(device, robot, loop)


def frozen(port: str, servos: Servos = "feetech") -> None:
    """The servos answer nothing, but obey: the loop stops on stale data, and the hold arrives."""
    with chain_at(port, servos) as (device, robot, loop):
        device.inject("frozen")
        faulted(loop, "is stale")
        raises(StaleDataError, "so101 state", robot.read)
        until(lambda: held(device), "the arm held at rest")  # writes still arrive
        raises(DeviceNotConnectedError, "no answer from 'shoulder_pan' (id 1)", robot.recover)
        device.inject("frozen", 0.0)
        recovered(device, robot, loop)


def late(port: str, servos: Servos = "feetech") -> None:
    """Answers come after their request was given up: the loop stops on stale data."""
    with chain_at(port, servos) as (device, robot, loop):
        device.inject("late", 0.09)
        faulted(loop, "is stale")
        until(lambda: held(device), "the arm held at rest")
        device.inject("late", 0.0)
        time.sleep(0.1)  # what is under way arrives
        recovered(device, robot, loop)


def corrupted_bytes(port: str, servos: Servos = "feetech") -> None:
    """Damaged answers are dropped; a stream of them is silence."""
    _spoiled(port, servos, "corrupted")


def wrong_checksum(port: str, servos: Servos = "feetech") -> None:
    """As damaged answers."""
    _spoiled(port, servos, "wrong_checksum")


def _spoiled(port: str, servos: Servos, fault: str) -> None:
    """A few spoiled answers are dropped; when nothing else comes, the state is stale."""
    with chain_at(port, servos) as (device, robot, loop):
        cycles = loop.statistics().cycles
        device.inject(fault, 3)
        until(lambda: loop.statistics().cycles > cycles + 30, "thirty more cycles")
        runs(loop)
        device.inject(fault, MANY)
        faulted(loop, "is stale")
        until(lambda: held(device), "the arm held at rest")
        device.inject(fault, 0)
        recovered(device, robot, loop)


def noise_on_the_line(port: str, servos: Servos = "feetech") -> None:
    """Bytes that nobody sent lie between the answers: they are passed over."""
    with chain_at(port, servos) as (device, _, loop):
        cycles = loop.statistics().cycles
        device.inject("noise", 12)
        until(lambda: loop.statistics().cycles > cycles + 30, "thirty more cycles")
        runs(loop)


def out_of_range(port: str, servos: Servos = "feetech") -> None:
    """A servo reads what its joint cannot reach: fault, and a stop that does not follow the reading."""
    with chain_at(port, servos) as (device, robot, loop):
        elbow = seen(device)["position"][2]
        device.inject("wild_reading", 1500)
        faulted(loop, "'elbow_flex' reads 2.9")
        until(lambda: held(device), "the arm held at rest")
        moved = abs(seen(device)["position"][2] - elbow)
        expect(moved < 0.05, f"the elbow followed the wrong reading by {moved:.3f} rad")
        is_in(robot, RobotMode.FAULT)
        device.inject("wild_reading", 0)
        recovered(device, robot, loop)


def overload(port: str, servos: Servos = "feetech") -> None:
    """A servo protects itself from overload: fault, naming it; `recover` clears it."""
    with chain_at(port, servos) as (device, robot, loop):
        device.inject("overload", 5)
        faulted(loop, "'wrist_roll': overload")
        is_in(robot, RobotMode.FAULT)
        until(lambda: held(device), "the arm held at rest")
        expect(seen(device)["power"][4] <= 0.2, "the overloaded servo kept its power")
        expect(seen(device)["errors"][4] != 0, "the overloaded servo shows no error")
        raises(DeviceFaultError, "'wrist_roll': overload", robot.connect)
        recovered(device, robot, loop)
        expect(seen(device)["errors"] == [0] * 6, "errors are left after recovery")


def overheating(port: str, servos: Servos = "feetech") -> None:
    """A servo is too hot: fault, and no connection until it has cooled down."""
    with chain_at(port, servos) as (device, robot, loop):
        device.inject("overheating", 68.0)
        faulted(loop, "'elbow_flex' has 68 C, limit 65 C")
        until(lambda: held(device), "the arm held at rest")
        raises(DeviceFaultError, "let it cool down", robot.recover)
        device.inject("overheating", 0.0)
        recovered(device, robot, loop)


def one_servo_lost(port: str, servos: Servos = "feetech") -> None:
    """A cable between two servos is loose: no complete measurement, so the state grows stale."""
    with chain_at(port, servos) as (device, robot, loop):
        device.inject("lost_servo", 4)
        faulted(loop, "is stale")
        until(lambda: held(device), "the arm held at rest")
        raises(DeviceNotConnectedError, "no answer from 'wrist_flex' (id 4):", robot.recover)
        device.inject("lost_servo", 0)
        recovered(device, robot, loop)


def driver_killed(port: str, servos: Servos = "feetech") -> None:
    """SIGKILL in the middle of a motion: the servos hold their last goal; a new process takes over."""
    with device_at(port, servos) as device:
        swing_pan = {"shoulder_pan": 0.5}
        kill_while_moving("so101", config_of(device), swing_pan, lambda: speed(device) > 0.5)
        until(lambda: speed(device) < 0.02, "the arm at rest")
        status = seen(device)
        expect(min(status["power"]) == 1.0, "the torque did not stay on")
        apart = abs(status["position"][0] - status["goal"][0])
        expect(apart < 0.02, f"the arm rests {apart:.3f} rad from its last goal")
        if servos == "dynamixel":  # its own watchdog stops it, also on the way to a far goal
            servos_on_bus = device.chain.servos
            until(lambda: all(servo.table[98] == 0xFF for servo in servos_on_bus), "the servos' own watchdogs")
        robot = SO101Robot(config_of(device))
        robot.connect()  # a new process takes over, and nothing moves
        is_in(robot, RobotMode.RUNNING)
        moved = np.abs(np.subtract(seen(device)["position"], status["position"])).max()
        expect(moved < 0.02, f"the new driver moved the arm by {moved:.3f} rad")
        robot.disconnect()


def reference_stops(port: str, servos: Servos = "feetech") -> None:
    """The policy falls silent: the safety filter gives way, then has the arm held."""
    with chain_at(port, servos) as (device, robot, loop):
        swing(loop, -1.0, 0.1)
        faulted(loop, "stale reference")
        until(lambda: held(device), "the arm held at rest")
        is_in(robot, RobotMode.IDLE)
        recovered(device, robot, loop)


def operator_stop(port: str, servos: Servos = "feetech") -> None:
    """`stop`: the arm holds with less power, until `recover`."""
    with chain_at(port, servos) as (device, robot, loop):
        loop.stop()
        until(lambda: held(device), "the arm held at rest")
        state = fresh(robot)
        is_in(robot, RobotMode.IDLE)
        expect("60% of the power" in state.detail, f"the driver does not tell of the reduced power: {state.detail}")
        recovered(device, robot, loop)


def control_loop_hangs(port: str, servos: Servos = "feetech") -> None:
    """The process lives, but nothing is sent any more: the bus thread holds the arm."""
    with device_at(port, servos) as device:
        robot = SO101Robot(config_of(device))
        robot.connect()
        loop = ControlLoop(robot, JointTrackingController(SO101), SafetyFilter(SO101))
        loop.begin()
        swing(loop, 1.0)
        loop.run_until(loop.clock.now() + 0.5)
        expect(speed(device) > 0.1, "the arm does not move")
        until(lambda: held(device), "the arm held at rest")  # nobody calls `step` any more
        is_in(robot, RobotMode.FAULT)
        detail = fresh(robot).detail
        expect("no command came for 0.2 s" in detail, f"the driver does not tell of the silence: {detail}")
        robot.disconnect()


FUNCTIONS = (
    unplugged,
    frozen,
    late,
    corrupted_bytes,
    wrong_checksum,
    noise_on_the_line,
    out_of_range,
    overload,
    overheating,
    one_servo_lost,
    driver_killed,
    reference_stops,
    operator_stop,
    control_loop_hangs,
)
"""Every cell, for either family of servos."""


def _dynamixel(function: Callable[..., None]) -> Cell:
    return Cell(f"{function.__name__}_dynamixel", partial(function, servos="dynamixel"))


CELLS = CellSet("path", (*cells_of(*FUNCTIONS), *map(_dynamixel, FUNCTIONS)))
"""Feetech servos under the faults' own names, Dynamixel servos with a suffix."""
