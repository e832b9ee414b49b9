"""The fault matrix of the car: each cell takes a free port path and raises where reality differs."""

from __future__ import annotations

import time

from controllers.loop import ControlLoop
from controllers.reference import BaseReference
from hardware.errors import DeviceFaultError, StaleDataError
from hardware.records import RobotMode
from hardware.robot import ROBOTS
from robostack.bench.fault_cells.base_loop import driven, driver_of, fault_of, goes_on, keep, moving, state_of, virtual
from robostack.bench.fault_cells.cell import CellSet, cells_of
from robostack.bench.fault_cells.checks import age_s, expect, faulted, is_in, raises, runs, until
from robostack.bench.fault_cells.moving_driver import FORWARD, kill_while_moving

ROBOT, SPEED = "racecar", 0.5
FLAGS = ("--nominal", "--timeout-s", "0.4")


def unplugged(port: str) -> None:
    """The driver sees it at once; the VESC cuts the motor after its own timeout, and the car rolls out."""
    with moving(ROBOT, port, SPEED, *FLAGS) as (device, loop):
        device.inject("unplugged", 1.5)
        fault_of(loop, SPEED, "racecar is not connected")
        expect(device.status()["motor"] == "rpm", "the motor stopped before the timeout of the VESC")
        until(lambda: device.status()["motor"] == "off", "motor off", 2.0)
        expect(device.status()["timeouts"] == 1, "the timeout of the VESC did not act once")
        expect(device.status()["current_a"] == 0.0, "the motor carries current")
        until(lambda: device.status()["plugged"], "plugged")
        goes_on(loop, device, SPEED)


def frozen(port: str) -> None:
    """A VESC that says nothing is stale within 0.2 s; what it does not hear cannot keep its motor running."""
    with moving(ROBOT, port, SPEED, *FLAGS) as (device, loop):
        device.inject("frozen")
        fault_of(loop, SPEED, "is stale")
        until(lambda: device.status()["motor"] == "off", "motor off", 2.0)
        device.inject("frozen", 0)
        goes_on(loop, device, SPEED)


def late(port: str) -> None:
    """Answers date from their questions, so that a steadily slow line stays stale."""
    with moving(ROBOT, port, SPEED, *FLAGS) as (device, loop):
        device.inject("late", 0.3)
        fault_of(loop, SPEED, "is stale")
        until(lambda: device.status()["motor"] != "rpm", "motor other than rpm", 2.0)
        loop.stop()
        loop.robot.connect()
        until(lambda: _stale(loop), "a stale state")
        device.inject("late", 0)
        goes_on(loop, device, SPEED)


def corrupted_bytes(port: str) -> None:
    """A few damaged answers are asked for again; more of them in a row are stale data."""
    with moving(ROBOT, port, SPEED, *FLAGS) as (device, loop):
        device.inject("corrupted", 2)
        keep(loop, SPEED, lambda: driver_of(loop).bad_frames >= 2, "two bad frames")
        begun_at = device.status()["x"]
        keep(loop, SPEED, lambda: device.status()["x"] > begun_at + 0.2, "0.2 m more")
        runs(loop)
        apart = abs(float(state_of(loop).base_position[0]) - device.status()["x"])
        expect(apart < 0.06, f"the measured position is {apart:.3f} m from the true one")
        device.inject("corrupted", 60)
        fault_of(loop, SPEED, "is stale")
        until(lambda: device.status()["motor"] != "rpm", "motor other than rpm", 2.0)
        device.inject("corrupted", 0)
        goes_on(loop, device, SPEED)


def wrong_checksum(port: str) -> None:
    """The same for answers whose content is right and whose checksum is not."""
    with moving(ROBOT, port, SPEED, *FLAGS) as (device, loop):
        device.inject("wrong_checksum", 2)
        keep(loop, SPEED, lambda: driver_of(loop).bad_frames >= 2, "two bad frames")
        runs(loop)
        device.inject("wrong_checksum", 60)
        fault_of(loop, SPEED, "is stale")
        device.inject("wrong_checksum", 0)
        goes_on(loop, device, SPEED)


def out_of_range(port: str) -> None:
    """A tachometer that leaps farther than the car can is left out, counted, and does not move the pose."""
    with moving(ROBOT, port, SPEED, *FLAGS) as (device, loop):
        device.inject("tachometer_jump", 100000)
        keep(loop, SPEED, lambda: driver_of(loop).implausible_readings, "an implausible reading")
        begun_at = device.status()["x"]
        keep(loop, SPEED, lambda: device.status()["x"] > begun_at + 0.2, "0.2 m more")
        runs(loop)
        apart = abs(float(state_of(loop).base_position[0]) - device.status()["x"])
        expect(apart < 0.06, f"the measured position is {apart:.3f} m from the true one")


def driver_killed(port: str) -> None:
    """The VESC's own timeout cuts the motor."""
    with virtual(ROBOT, port, *FLAGS) as device:
        config = ROBOTS.load(ROBOT).config_type()(port=port)
        kill_while_moving(ROBOT, config, {FORWARD: SPEED}, lambda: device.status()["speed"] > 0.4)
        until(lambda: device.status()["motor"] == "off", "the motor off", 2.0)
        status = device.status()
        expect(status["timed_out"], "the VESC did not cut the motor by its timeout")
        expect(status["current_a"] == 0.0, "the motor carries current")
        with driven(ROBOT, port) as loop:
            keep(loop, SPEED, lambda: device.status()["speed"] > 0.4, "a motion")


def reference_stops(port: str) -> None:
    """The car ramps to rest, then the driver brakes it and lets it be."""
    with moving(ROBOT, port, SPEED, *FLAGS) as (device, loop):
        loop.set_reference(BaseReference(SPEED, 0.0, 0.1))
        faulted(loop, "stale reference")
        until(lambda: device.status()["speed"] < 0.05, "speed below 0.05")
        until(lambda: device.status()["motor"] == "off", "motor off")
        goes_on(loop, device, SPEED)


def operator_stop(port: str) -> None:
    """The loop's stop brakes the car, and is no fault."""
    with moving(ROBOT, port, SPEED, *FLAGS) as (device, loop):
        loop.stop()
        until(lambda: device.status()["motor"] == "brake", "motor brake", 1.0)
        until(lambda: device.status()["speed"] < 0.05, "speed below 0.05")
        until(lambda: _mode(loop) is RobotMode.IDLE, "the mode idle")
        goes_on(loop, device, SPEED)


def caller_pauses(port: str) -> None:
    """A loop that begins long after connecting still begins with a fresh measurement: the driver asks for one."""
    with virtual(ROBOT, port, *FLAGS):
        entry = ROBOTS.load(ROBOT)
        robot = entry.open(entry.config_type()(port=port))
        robot.connect()
        time.sleep(0.5)
        expect(age_s(robot) < entry.spec.state_age_max_s, "the first state is stale")
        robot.disconnect()


def vesc_fault(port: str) -> None:
    """A fault of the VESC is named; while it lasts, the driver refuses to go on."""
    with moving(ROBOT, port, SPEED, *FLAGS) as (device, loop):
        device.inject("vesc_fault", 2)
        fault_of(loop, SPEED, "VESC fault 2: under voltage")
        loop.stop()
        raises(DeviceFaultError, "under voltage", driver_of(loop).recover)
        device.inject("vesc_fault", 0)
        goes_on(loop, device, SPEED)


def kill_switch(port: str) -> None:
    """An open kill switch is an emergency stop that a person ends."""
    with moving(ROBOT, port, SPEED, *FLAGS) as (device, loop):
        device.inject("kill_switch")
        fault_of(loop, SPEED, "kill switch is open")
        is_in(loop.robot, RobotMode.EMERGENCY_STOP)
        loop.stop()
        raises(DeviceFaultError, "close the kill switch", driver_of(loop).recover)
        device.inject("kill_switch", 0)
        goes_on(loop, device, SPEED)


def _stale(loop: ControlLoop) -> bool:
    return _mode(loop) is None


def _mode(loop: ControlLoop) -> RobotMode | None:
    """None while the newest measurement is stale."""
    try:
        return loop.robot.read().mode
    except StaleDataError:
        return None


CELLS = CellSet(
    "path",
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
        caller_pauses,
        vesc_fault,
        kill_switch,
    ),
)
