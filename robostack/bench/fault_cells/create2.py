"""The fault matrix of the Create 2: each cell takes a free port path and raises where reality differs.

A cell starts the virtual robot, drives it, makes the fault happen, and looks at what the driver reports, what the robot
does, and how both recover.
"""

from __future__ import annotations

import contextlib
import signal
import time

from controllers.loop import ControlLoop
from controllers.reference import BaseReference
from hardware.create2.config import Create2Config
from hardware.create2.driver import Create2Robot
from hardware.errors import DeviceFaultError, DeviceNotConnectedError
from hardware.records import RobotMode
from robostack.bench.device_process import DeviceProcess
from robostack.bench.fault_cells.base_loop import driven, driver_of, fault_of, goes_on, keep, moving, state_of, virtual
from robostack.bench.fault_cells.cell import CellSet, cells_of
from robostack.bench.fault_cells.checks import expect, faulted, fresh, raises, runs, until
from robostack.bench.fault_cells.moving_driver import FORWARD, kill_while_moving, moving_process

ROBOT, SPEED = "create2", 0.2
NOMINAL = "--nominal"
FORWARDS = {FORWARD: SPEED}


def drive(port: str, *flags: str) -> contextlib.AbstractContextManager[tuple[DeviceProcess, ControlLoop]]:
    """The robot at speed. The guard is patient, so that a busy machine does not add its own faults."""
    return moving(ROBOT, port, SPEED, NOMINAL, *flags, guard_silence_s=3.0)


def unplugged(port: str) -> None:
    """The driver sees it at once. The robot does not: it drives on until someone plugs the cable in again."""
    with drive(port, "--x", "-1.2") as (device, loop):
        device.inject("unplugged", 1.0)
        fault_of(loop, SPEED, "Create 2 is not connected")
        expect(min(device.status()["wheel_targets_mm_s"]) > 150, "the wheels' targets were changed")
        expect(device.status()["speed"] > 0.1, "the robot stopped by itself")
        until(lambda: device.status()["plugged"], "plugged")
        goes_on(loop, device, SPEED)


def unplugged_before_an_edge(port: str) -> None:
    """What stops the robot without a cable is its own safe mode, at the edge."""
    with drive(port, "--x", "0.8") as (device, loop):
        device.inject("unplugged", 1000.0)
        fault_of(loop, SPEED, "is not connected")
        until(lambda: device.status()["mode"] == "passive", "mode passive")
        status = device.status()
        expect(status["last_fall_back"] == "cliff", "it was not the edge that stopped it")
        expect(status["x"] < 1.5, "it drove over the edge")
        until(lambda: device.status()["speed"] < 0.01, "speed below 0.01")
        raises(DeviceNotConnectedError, "USB cable", driver_of(loop).recover)


def frozen(port: str) -> None:
    """A robot that says nothing is stale within 0.2 s; it obeys the stop once it hears again."""
    with drive(port, "--x", "-1.2") as (device, loop):
        device.inject("frozen")
        fault_of(loop, SPEED, "is stale")
        device.inject("frozen", 0)
        goes_on(loop, device, SPEED)


def late(port: str) -> None:
    """The gap when lateness begins is seen; a stream that is steadily late cannot be told from one that is not."""
    with drive(port, "--x", "-1.2") as (device, loop):
        device.inject("late", 0.3)
        fault_of(loop, SPEED, "is stale")
        until(lambda: device.status()["mode"] == "passive", "mode passive")
        device.inject("late", 0)
        goes_on(loop, device, SPEED)


def corrupted_bytes(port: str) -> None:
    """A few damaged packets are left out; more of them in a row are stale data."""
    with drive(port, "--x", "-1.2") as (device, loop):
        device.inject("corrupted", 2)
        keep(loop, SPEED, lambda: driver_of(loop).bad_packets >= 2, "two bad packets")
        keep(loop, SPEED, lambda: device.status()["x"] > -0.9, "0.3 m of way")
        runs(loop)
        apart = abs(float(state_of(loop).base_position[0]) - (device.status()["x"] + 1.2))
        expect(apart < 0.03, f"the measured position is {apart:.3f} m from the true one")
        device.inject("corrupted", 60)
        fault_of(loop, SPEED, "is stale")
        until(lambda: device.status()["mode"] == "passive", "mode passive")
        goes_on(loop, device, SPEED)


def wrong_checksum(port: str) -> None:
    """The same for packets whose content is right and whose checksum is not: nobody can know which is wrong."""
    with drive(port, "--x", "-1.2") as (device, loop):
        device.inject("wrong_checksum", 2)
        keep(loop, SPEED, lambda: driver_of(loop).bad_packets >= 2, "two bad packets")
        runs(loop)
        device.inject("wrong_checksum", 60)
        fault_of(loop, SPEED, "is stale")
        until(lambda: device.status()["mode"] == "passive", "mode passive")
        goes_on(loop, device, SPEED)


def out_of_range(port: str) -> None:
    """Encoders that leap farther than wheels can are left out, counted, and do not move the pose."""
    with drive(port, "--x", "-1.2") as (device, loop):
        device.inject("encoder_jump", 6000)
        keep(loop, SPEED, lambda: driver_of(loop).implausible_readings, "an implausible reading")
        keep(loop, SPEED, lambda: device.status()["x"] > -0.8, "0.4 m of way")
        runs(loop)
        apart = abs(float(state_of(loop).base_position[0]) - (device.status()["x"] + 1.2))
        expect(apart < 0.03, f"the measured position is {apart:.3f} m from the true one")


def driver_killed(port: str) -> None:
    """The robot has no watchdog; the guard process stops it."""
    with virtual(ROBOT, port, NOMINAL, "--x", "-1.2") as device:
        kill_while_moving(ROBOT, Create2Config(port=port), FORWARDS, lambda: device.status()["speed"] > 0.15)
        until(lambda: device.status()["mode"] == "passive", "mode passive", 2.0)
        until(lambda: device.status()["speed"] < 0.01, "speed below 0.01", 2.0)
        with driven(ROBOT, port) as loop:
            keep(loop, SPEED, lambda: device.status()["speed"] > 0.15, "a motion")


def driver_halted(port: str) -> None:
    """A driver process that hangs is stopped by the guard too, and finds the reason when it goes on."""
    with virtual(ROBOT, port, NOMINAL, "--x", "-1.2") as device:
        config = Create2Config(port=port)
        with moving_process(ROBOT, config, FORWARDS, lambda: device.status()["speed"] > 0.15) as driver:
            driver.send_signal(signal.SIGSTOP)
            until(lambda: device.status()["mode"] == "passive", "mode passive", 3.0)
            driver.send_signal(signal.SIGCONT)
            until(lambda: driver.poll() is not None, "the end of the driver that was halted")
            expect(driver.returncode == 1, f"the driver ended with status {driver.returncode}, not with an error")
            expect(device.status()["speed"] < 0.01, "it drives on")


def reference_stops(port: str) -> None:
    """The base ramps to rest, then the driver puts it into passive mode."""
    with drive(port, "--x", "-1.2") as (device, loop):
        loop.set_reference(BaseReference(SPEED, 0.0, 0.1))
        faulted(loop, "stale reference")
        until(lambda: device.status()["mode"] == "passive", "mode passive")
        expect(device.status()["speed"] < 0.05, "speed below 0.05")
        goes_on(loop, device, SPEED)


def operator_stop(port: str) -> None:
    """The loop's stop ends in passive mode, at rest, and is no fault."""
    with drive(port, "--x", "-1.2") as (device, loop):
        loop.stop()
        until(lambda: device.status()["mode"] == "passive", "mode passive")
        until(lambda: device.status()["speed"] < 0.01, "speed below 0.01")
        until(lambda: fresh(loop.robot).mode is RobotMode.IDLE, "the mode idle")
        goes_on(loop, device, SPEED)


def edge(port: str) -> None:
    """The robot stops itself at an edge; the driver says which sensor, and refuses until it stands elsewhere."""
    with drive(port, "--x", "0.9") as (device, loop):
        fault_of(loop, SPEED, "it stopped itself: cliff front left, cliff front right")
        expect(device.status()["x"] < 1.5, "it drove over the edge")
        raises(DeviceFaultError, "away from edges", driver_of(loop).recover)


def lifted(port: str) -> None:
    """A lifted robot stops its wheels; put down, it goes on after a reset."""
    with drive(port, "--x", "-1.2") as (device, loop):
        device.inject("lifted")
        fault_of(loop, SPEED, "wheel drop left")
        raises(DeviceFaultError, "wheel drop", driver_of(loop).recover)
        device.inject("lifted", 0)
        goes_on(loop, device, SPEED)


def wall(port: str) -> None:
    """A pressed bumper ends driving forwards without any fault; backwards the robot gets free."""
    with drive(port, "--x", "-0.9", "--heading", "3.1415927") as (device, loop):
        keep(loop, SPEED, lambda: any(state_of(loop).contacts.values()), "a pressed bumper")
        keep(loop, SPEED, lambda: device.status()["wheel_targets_mm_s"] == [0, 0], "wheels at rest")
        runs(loop)
        expect("contact" in loop.statistics().interventions, "the safety filter did not see the contact")
        stood_at = device.status()["x"]
        keep(loop, -0.1, lambda: device.status()["x"] > stood_at + 0.1, "a way back")


def asleep_on_the_dock(port: str) -> None:
    """It streams, and obeys nothing: the driver says that it is on its home base, instead of driving a deaf robot."""
    with virtual(ROBOT, port, "--docked", "--dock-sleep-s", "0.0") as device:
        robot = Create2Robot(Create2Config(port=port, connect_timeout_s=1.0))
        device.inject("asleep")
        raises(DeviceNotConnectedError, "press CLEAN", robot.connect)  # it never began to stream
        device.inject("clean_button")
        raises(DeviceFaultError, "take it off the home base", robot.connect)
        until(lambda: device.status()["asleep"], "asleep")
        device.inject("docked", 0)
        with driven(ROBOT, port) as loop:
            time.sleep(0.1)
            runs(loop)
            expect(device.status()["mode"] == "safe", "it does not take commands")


CELLS = CellSet(
    "path",
    cells_of(
        unplugged,
        unplugged_before_an_edge,
        frozen,
        late,
        corrupted_bytes,
        wrong_checksum,
        out_of_range,
        driver_killed,
        driver_halted,
        reference_stops,
        operator_stop,
        edge,
        lifted,
        wall,
        asleep_on_the_dock,
    ),
)
