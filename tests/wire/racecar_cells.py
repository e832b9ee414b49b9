"""The fault matrix of the car: each cell takes a free port path and raises where reality differs."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable

from base_bench import driven, driver_process, fault_of, goes_on, keep, moving, raises, until, virtual

from controllers.loop import ControlLoop
from controllers.reference import BaseReference
from hardware.errors import DeviceFaultError, StaleDataError
from hardware.records import RobotMode
from hardware.robot import ROBOTS

ROBOT, SPEED = "racecar", 0.5
FLAGS = ("--nominal", "--timeout-s", "0.4")


def unplugged(port: str) -> None:
    """The driver sees it at once; the VESC cuts the motor after its own timeout, and the car rolls out."""
    with moving(ROBOT, port, SPEED, *FLAGS) as (device, loop):
        device.inject("unplugged", 1.5)
        fault_of(loop, SPEED, "racecar is not connected")
        assert device.status()["motor"] == "rpm"
        until(lambda: device.status()["motor"] == "off", 2.0)
        assert device.status()["timeouts"] == 1 and device.status()["current_a"] == 0.0
        until(lambda: device.status()["plugged"])
        goes_on(loop, device, SPEED)


def frozen(port: str) -> None:
    """A VESC that says nothing is stale within 0.2 s; what it does not hear cannot keep its motor running."""
    with moving(ROBOT, port, SPEED, *FLAGS) as (device, loop):
        device.inject("frozen")
        fault_of(loop, SPEED, "is stale")
        until(lambda: device.status()["motor"] == "off", 2.0)
        device.inject("frozen", 0)
        goes_on(loop, device, SPEED)


def late(port: str) -> None:
    """Answers date from their questions, so that a steadily slow line stays stale."""
    with moving(ROBOT, port, SPEED, *FLAGS) as (device, loop):
        device.inject("late", 0.3)
        fault_of(loop, SPEED, "is stale")
        until(lambda: device.status()["motor"] != "rpm", 2.0)
        loop.stop()
        loop.robot.connect()
        until(lambda: _stale(loop))
        device.inject("late", 0)
        goes_on(loop, device, SPEED)


def corrupted(port: str) -> None:
    """A few damaged answers are asked for again; more of them in a row are stale data."""
    with moving(ROBOT, port, SPEED, *FLAGS) as (device, loop):
        device.inject("corrupted", 2)
        keep(loop, SPEED, lambda: loop.robot.bad_frames >= 2)  # type: ignore[attr-defined]
        begun_at = device.status()["x"]
        keep(loop, SPEED, lambda: device.status()["x"] > begun_at + 0.2)
        assert loop.fault is None
        assert abs(loop.latest().state.base_position[0] - device.status()["x"]) < 0.06
        device.inject("corrupted", 60)
        fault_of(loop, SPEED, "is stale")
        until(lambda: device.status()["motor"] != "rpm", 2.0)
        device.inject("corrupted", 0)
        goes_on(loop, device, SPEED)


def wrong_checksum(port: str) -> None:
    """The same for answers whose content is right and whose checksum is not."""
    with moving(ROBOT, port, SPEED, *FLAGS) as (device, loop):
        device.inject("wrong_checksum", 2)
        keep(loop, SPEED, lambda: loop.robot.bad_frames >= 2)  # type: ignore[attr-defined]
        assert loop.fault is None
        device.inject("wrong_checksum", 60)
        fault_of(loop, SPEED, "is stale")
        device.inject("wrong_checksum", 0)
        goes_on(loop, device, SPEED)


def out_of_range(port: str) -> None:
    """A tachometer that leaps farther than the car can is left out, counted, and does not move the pose."""
    with moving(ROBOT, port, SPEED, *FLAGS) as (device, loop):
        device.inject("tachometer_jump", 100000)
        keep(loop, SPEED, lambda: loop.robot.implausible_readings)  # type: ignore[attr-defined]
        begun_at = device.status()["x"]
        keep(loop, SPEED, lambda: device.status()["x"] > begun_at + 0.2)
        assert loop.fault is None
        assert abs(loop.latest().state.base_position[0] - device.status()["x"]) < 0.06


def driver_killed(port: str) -> None:
    """The VESC's own timeout cuts the motor."""
    with virtual(ROBOT, port, *FLAGS) as device:
        with driver_process(ROBOT, port, SPEED) as driver:
            until(lambda: device.status()["speed"] > 0.4)
            driver.send_signal(signal.SIGKILL)
            until(lambda: device.status()["motor"] == "off", 2.0)
            status = device.status()
            assert status["timed_out"] and status["current_a"] == 0.0
        with driven(ROBOT, port) as loop:
            keep(loop, SPEED, lambda: device.status()["speed"] > 0.4)


def reference_stops(port: str) -> None:
    """The car ramps to rest, then the driver brakes it and lets it be."""
    with moving(ROBOT, port, SPEED, *FLAGS) as (device, loop):
        loop.set_reference(BaseReference(SPEED, 0.0, 0.1))
        until(lambda: loop.fault)
        assert loop.fault == "stale reference"
        until(lambda: device.status()["speed"] < 0.05)
        until(lambda: device.status()["motor"] == "off")
        goes_on(loop, device, SPEED)


def operator_stop(port: str) -> None:
    """The loop's stop brakes the car, and is no fault."""
    with moving(ROBOT, port, SPEED, *FLAGS) as (device, loop):
        loop.stop()
        until(lambda: device.status()["motor"] == "brake", 1.0)
        until(lambda: device.status()["speed"] < 0.05)
        until(lambda: _mode(loop) is RobotMode.IDLE)
        goes_on(loop, device, SPEED)


def caller_pauses(port: str) -> None:
    """A loop that begins long after connecting still begins with a fresh measurement: the driver asks for one."""
    with virtual(ROBOT, port, *FLAGS):
        entry = ROBOTS.load(ROBOT)
        robot = entry.open(entry.config_type()(port=port))
        robot.connect()
        time.sleep(0.5)
        assert time.monotonic() - float(robot.read().capture_time_s) < entry.spec.state_age_max_s
        robot.disconnect()


def vesc_fault(port: str) -> None:
    """A fault of the VESC is named; while it lasts, the driver refuses to go on."""
    with moving(ROBOT, port, SPEED, *FLAGS) as (device, loop):
        device.inject("vesc_fault", 2)
        fault_of(loop, SPEED, "VESC fault 2: under voltage")
        loop.stop()
        raises(DeviceFaultError, "under voltage", loop.robot.recover)  # type: ignore[attr-defined]
        device.inject("vesc_fault", 0)
        goes_on(loop, device, SPEED)


def kill_switch(port: str) -> None:
    """An open kill switch is an emergency stop that a person ends."""
    with moving(ROBOT, port, SPEED, *FLAGS) as (device, loop):
        device.inject("kill_switch")
        fault_of(loop, SPEED, "kill switch is open")
        assert loop.latest().state.mode is RobotMode.EMERGENCY_STOP
        loop.stop()
        raises(DeviceFaultError, "close the kill switch", loop.robot.recover)  # type: ignore[attr-defined]
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


CELLS: tuple[Callable[[str], None], ...] = (
    unplugged,
    frozen,
    late,
    corrupted,
    wrong_checksum,
    out_of_range,
    driver_killed,
    reference_stops,
    operator_stop,
    caller_pauses,
    vesc_fault,
    kill_switch,
)
"""Every cell; each takes the path of a port that no other uses."""
