"""The fault matrix of the UR5e; docs/robots/ur5e.md tells a person the same.

RTDE runs over TCP and has no checksum of its own. What it relies on instead is the size field of every package, so that
is what the cell `wrong_checksum` spoils.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import numpy as np

from controllers.loop import ControlLoop
from controllers.reference import JointReference
from controllers.safety import SafetyFilter
from controllers.tracking import JointTrackingController
from hardware.errors import (
    DeviceError,
    DeviceFaultError,
    DeviceNotConnectedError,
    ProtocolError,
    StaleDataError,
)
from hardware.records import JointCommand, RobotMode
from hardware.ur5e import UR5E, servo_program
from hardware.ur5e.config import UR5eConfig
from hardware.ur5e.driver import UR5eRobot
from hardware.ur5e.servo_program import ServoState
from robostack.bench.fault_cells.cell import CellSet, cells_of
from robostack.bench.fault_cells.checks import EVER, age_s, expect, faulted, fresh, is_in, raises, runs, until
from robostack.bench.fault_cells.moving_driver import kill_while_moving
from sim.devices.device import DEVICES
from sim.devices.ur5e.config import VirtualUR5eConfig
from sim.devices.ur5e.device import VirtualUR5e

STATE_REGISTER = int(servo_program.STATE_OUTPUT.rpartition("_")[2])
"""Register in which the program on the controller says what it does."""
ELBOW = UR5E.joint_names.index("elbow_joint")


@contextmanager
def device_at(host: str) -> Iterator[VirtualUR5e]:
    """A virtual UR5e, running."""
    device = VirtualUR5e(VirtualUR5eConfig(host=host, preset="nominal", unlock_delay_s=0.1))
    device.start()
    try:
        yield device
    finally:
        device.stop()


def config_of(device: VirtualUR5e) -> UR5eConfig:
    """The driver's configuration that reaches `device`."""
    return UR5eConfig(**DEVICES.load("ur5e").driver_config(device.config))  # type: ignore[arg-type]


@contextmanager
def chain_at(host: str) -> Iterator[tuple[VirtualUR5e, UR5eRobot, ControlLoop]]:
    """A virtual UR5e and the running control loop that turns its base joint."""
    with device_at(host) as device:
        robot = UR5eRobot(config_of(device))
        robot.connect()
        loop = ControlLoop(robot, JointTrackingController(UR5E), SafetyFilter(UR5E))
        try:
            loop.start()
            turn(loop, 0.3)
            until(lambda: speed(device) > 0.2, "a motion")
            yield device, robot, loop
        finally:
            loop.stop()
            robot.disconnect()


def turn(loop: ControlLoop, rad_s: float, horizon_s: float = EVER) -> None:
    """Ask for a turn of the base joint."""
    velocity = UR5E.ordered(["shoulder_pan_joint"], [rad_s], fill=0.0)
    loop.set_reference(JointReference("velocity", velocity, horizon_s))


def speed(device: VirtualUR5e) -> float:
    """Largest joint speed, as the device sees it [rad/s]."""
    return float(np.abs(np.asarray(device.status()["velocity"])).max())


def ended(device: VirtualUR5e, why: ServoState) -> None:
    """Wait until the program on the controller has ended for the reason `why`, and the arm rests."""
    until(lambda: device.status()["program"] is None, "the end of the program")
    until(lambda: speed(device) < 0.01, "the arm at rest")
    found = ServoState(device.controller.outputs.ints[STATE_REGISTER])
    expect(found is why, f"the program ended with {found.name}, not {why.name}")


def goes_on(device: VirtualUR5e, robot: UR5eRobot, loop: ControlLoop) -> None:
    """What the driver node's service `reset` does, once the cause is gone; then the arm turns again."""
    before = np.asarray(device.status()["position"])
    loop.stop()
    robot.recover()
    moved = np.abs(np.asarray(device.status()["position"]) - before).max()
    expect(moved < 0.02, f"recovery moved the arm by {moved:.3f} rad")
    is_in(robot, RobotMode.RUNNING)
    loop.start()
    turn(loop, -0.3)
    until(lambda: speed(device) > 0.2, "a motion after recovery")
    runs(loop)


def unplugged(host: str) -> None:
    """The connection breaks: the loop stops, the program on the controller stops the arm; `recover` goes on."""
    with chain_at(host) as (device, robot, loop):
        device.inject("lost_connection", 1.0)
        faulted(loop, "is not connected")
        raises(DeviceNotConnectedError, "power and cable", robot.read)
        ended(device, ServoState.HOST_SILENT)
        raises(DeviceNotConnectedError, host, robot.recover)
        until(lambda: _connects(robot), "a connection")
        goes_on(device, robot, loop)


def frozen(host: str) -> None:
    """The controller sends nothing but listens: the loop stops on stale data, and its stop arrives."""
    with chain_at(host) as (device, robot, loop):
        device.inject("frozen")
        faulted(loop, "stale")
        raises(StaleDataError, "UR5e state", robot.read)
        ended(device, ServoState.STOPPED)
        device.inject("frozen", 0.0)
        goes_on(device, robot, loop)


def late(host: str) -> None:
    """States come, but tell of the past: their age shows by the controller's clock."""
    with chain_at(host) as (device, robot, loop):
        device.inject("late", 0.15)
        faulted(loop, "stale")
        ended(device, ServoState.STOPPED)
        until(lambda: age_s(robot) > 0.1, "states older than 0.1 s")
        device.inject("late", 0.0)
        goes_on(device, robot, loop)


def corrupted_bytes(host: str) -> None:
    """A package full of wrong bytes is an error, never a state; the arm is stopped."""
    _spoiled(host, "corrupted", "RTDE data of recipe 255")


def wrong_checksum(host: str) -> None:
    """A package whose size is wrong, and all that follow are misread: an error, never a state; the arm is stopped."""
    _spoiled(host, "wrong_size", "RTDE data of")


def _spoiled(host: str, fault: str, text: str) -> None:
    with chain_at(host) as (device, robot, loop):
        device.inject(fault, 1)
        faulted(loop, text)
        ended(device, ServoState.STOPPED)
        device.inject(fault, EVER)
        raises(DeviceError, "", robot.recover)
        device.inject(fault, 0)
        goes_on(device, robot, loop)


def out_of_range(host: str) -> None:
    """The elbow reads what it cannot reach: fault, a stop that does not follow the reading, no start meanwhile."""
    with chain_at(host) as (device, robot, loop):
        before = np.asarray(device.status()["position"])[ELBOW]
        device.inject("encoder_error", 2.5)
        faulted(loop, "'elbow_joint' reads 4.")
        ended(device, ServoState.STOPPED)
        moved = abs(np.asarray(device.status()["position"])[ELBOW] - before)
        expect(moved < 0.02, f"the elbow followed the wrong reading by {moved:.3f} rad")
        is_in(robot, RobotMode.FAULT)
        raises(ProtocolError, "'elbow_joint' reads 4.", robot.recover)
        device.inject("encoder_error", 0.0)
        goes_on(device, robot, loop)


def driver_killed(host: str) -> None:
    """SIGKILL in the middle of a motion: the program stops the arm by itself; a new process takes over."""
    with device_at(host) as device:
        swing = dict.fromkeys(UR5E.joint_names, 0.2)
        kill_while_moving("ur5e", config_of(device), swing, lambda: speed(device) > 0.2)
        ended(device, ServoState.HOST_SILENT)
        robot = UR5eRobot(config_of(device))
        robot.connect()
        is_in(robot, RobotMode.RUNNING)
        robot.disconnect()


def reference_stops(host: str) -> None:
    """The policy falls silent: the safety filter holds, gives way, then ends the program."""
    with chain_at(host) as (device, robot, loop):
        turn(loop, -0.3, 0.1)
        faulted(loop, "stale reference")
        ended(device, ServoState.STOPPED)
        is_in(robot, RobotMode.IDLE)
        goes_on(device, robot, loop)


def operator_stop(host: str) -> None:
    """`stop` from another thread: the arm decelerates, and commands are refused until `recover`."""
    with chain_at(host) as (device, robot, loop):
        robot.stop()
        faulted(loop, "stop")
        ended(device, ServoState.STOPPED)
        hold = JointCommand(position=fresh(robot).joint_position)
        raises(DeviceFaultError, "recover()", lambda: robot.send(hold))
        goes_on(device, robot, loop)


def protective_stop(host: str) -> None:
    """The controller stops the arm by its own protection: `connect` refuses, `recover` unlocks."""
    with chain_at(host) as (device, robot, loop):
        device.inject("protective_stop")
        faulted(loop, "protective stop")
        raises(DeviceFaultError, "protective stop", robot.connect)
        time.sleep(0.2)
        goes_on(device, robot, loop)


def emergency_stop(host: str) -> None:
    """The button is pressed: neither `connect` nor `recover` does anything until a person has released it."""
    with chain_at(host) as (device, robot, loop):
        device.inject("emergency_stop")
        faulted(loop, "emergency stop")
        raises(DeviceFaultError, "emergency stop", robot.recover)
        device.inject("emergency_stop", 0.0)
        goes_on(device, robot, loop)


def dead_script(host: str) -> None:
    """The program on the controller dies: fault; `recover` starts it again."""
    with chain_at(host) as (device, robot, loop):
        device.inject("dead_script")
        faulted(loop, "died")
        until(lambda: speed(device) < 0.01, "the arm at rest")
        goes_on(device, robot, loop)


def _connects(robot: UR5eRobot) -> bool:
    with suppress(DeviceNotConnectedError):
        robot.recover()
        return True
    return False


CELLS = CellSet(
    "host",
    cells_of(
        unplugged,
        frozen,
        late,
        corrupted_bytes,
        wrong_checksum,
        out_of_range,
        driver_killed,
        reference_stops,
        operator_stop,
        protective_stop,
        emergency_stop,
        dead_script,
    ),
)
