"""The driver and the virtual UR5e, over real sockets: motion, stops, lost ends, and the watchdog at the device."""

from __future__ import annotations

import dataclasses
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from hardware import JointCommand, RobotMode, RobotState
from hardware.errors import DeviceError, DeviceFaultError, DeviceNotConnectedError, ProtocolError, StaleDataError
from hardware.ur5e import UR5E, servo_program
from hardware.ur5e.driver import UR5eConfig, UR5eRobot
from hardware.ur5e.servo_program import ServoState
from sim.devices.device import DEVICES
from sim.devices.ur5e.device import VirtualUR5e

pytestmark = pytest.mark.wire

STATE_REGISTER = 25


@pytest.fixture
def device(loopback_host: str) -> Iterator[VirtualUR5e]:
    entry = DEVICES.load("ur5e")
    device = entry.open(entry.config_type()(host=loopback_host, preset="nominal", unlock_delay_s=0.1))
    device.start()
    yield device
    device.stop()


@pytest.fixture
def config(device: VirtualUR5e) -> UR5eConfig:
    return UR5eConfig(**DEVICES.load("ur5e").driver_config(device.config))


@pytest.fixture
def robot(config: UR5eConfig) -> Iterator[UR5eRobot]:
    robot = UR5eRobot(config)
    robot.connect()
    yield robot
    robot.disconnect()


def until(ready: Callable[[], bool], timeout_s: float = 10.0) -> None:
    deadline_s = time.monotonic() + timeout_s
    while not ready():
        if time.monotonic() > deadline_s:
            raise AssertionError("not reached in time")
        time.sleep(0.002)


def drive(robot: UR5eRobot, target: Callable[[float], np.ndarray], duration_s: float) -> list[tuple[float, RobotState]]:
    """Send `target(t)` every 2 ms; (t of the measurement, state) of every cycle."""
    start_s, log = time.monotonic(), []
    while (now_s := time.monotonic() - start_s) < duration_s:
        state = robot.read()
        log.append((state.capture_time_s - start_s, state))
        robot.send(JointCommand(position=target(now_s)))
        time.sleep(0.002)
    return log


def drive_until_fault(robot: UR5eRobot) -> RobotState:
    """Hold the arm with commands until the driver refuses; the state that made it refuse."""
    hold = JointCommand(position=robot.read().joint_position)
    deadline_s = time.monotonic() + 10.0
    while time.monotonic() < deadline_s:
        state = robot.read()
        if state.mode is not RobotMode.RUNNING:
            with pytest.raises(DeviceFaultError):
                robot.send(hold)
            return state
        robot.send(hold)
        time.sleep(0.002)
    raise AssertionError("the fault was never seen")


def test_connecting_does_not_move_the_arm(device, robot):
    drive(robot, lambda _: UR5E.default_position, 0.1)
    np.testing.assert_allclose(device.status()["position"], UR5E.default_position, atol=2e-3)
    assert device.status()["program"] == "robostack_servo"


def test_follows_a_sine_on_every_joint(device, robot):
    amplitude = np.array([0.2, 0.1, -0.15, 0.2, -0.2, 0.3])

    def target(t: float) -> np.ndarray:
        return UR5E.default_position + 0.5 * amplitude * (1 - np.cos(2 * np.pi * 0.5 * t))

    log = drive(robot, lambda t: target(min(t, 2.0)), 2.5)
    np.testing.assert_allclose(device.status()["position"], UR5E.default_position, atol=3e-3)
    log = [(t, state) for t, state in log if t < 2.0]
    at = np.array([t for t, _ in log])
    measured = np.array([state.joint_position for _, state in log])
    lags_s = np.arange(0.0, 0.3, 0.005)
    errors = [np.abs(measured - [target(max(0.0, t - lag)) for t in at]).mean() for lag in lags_s]
    assert 0.0 < lags_s[np.argmin(errors)] < 0.2  # look-ahead, servo, and this machine's load
    assert min(errors) < 0.01
    assert np.ptp(measured, axis=0) == pytest.approx(np.abs(amplitude), abs=0.02)
    assert robot.last_round_trip_s is not None and robot.last_round_trip_s > 0.0


def test_capture_times_rise_with_the_robots_cycle(robot):
    times_s = []
    while len(times_s) < 200:
        time_s = robot.read().capture_time_s
        assert time_s <= time.monotonic()
        if not times_s or time_s != times_s[-1]:
            times_s.append(time_s)
    assert (np.diff(times_s) > 0.0).all()
    assert np.median(np.diff(times_s)) == pytest.approx(0.002, rel=0.05)  # its cycle, not the scheduler's


def test_tool_pose_is_in_the_frame_of_the_model(robot):
    state = robot.read()
    np.testing.assert_allclose(state.tool_position, (0.4919, 0.1333, 0.4879), atol=3e-3)
    w, x, y, z = state.tool_quaternion
    assert 2 * (x * z - w * y) == pytest.approx(0.0, abs=0.02) and 1 - 2 * (x * x + y * y) == pytest.approx(
        -1, abs=1e-3
    )


def test_protective_stop_and_recovery(device, robot):
    device.inject("protective_stop")
    state = drive_until_fault(robot)
    assert state.mode is RobotMode.PROTECTIVE_STOP
    with pytest.raises(DeviceFaultError):
        robot.connect()  # connecting must not unlock
    time.sleep(0.2)
    robot.recover()
    drive(robot, lambda _: UR5E.default_position, 0.05)
    assert robot.read().mode is RobotMode.RUNNING


def test_emergency_stop_needs_a_person(device, robot):
    device.inject("emergency_stop")
    state = drive_until_fault(robot)
    assert state.mode is RobotMode.EMERGENCY_STOP
    with pytest.raises(DeviceFaultError, match="emergency stop"):
        robot.recover()
    device.inject("emergency_stop", 0.0)
    robot.recover()  # powers on and releases the brakes
    assert robot.read().mode is RobotMode.RUNNING


def test_lost_connection_and_reconnect(device, robot):
    drive(robot, lambda _: UR5E.default_position, 0.05)  # the watchdog counts from the first command on
    device.inject("lost_connection", 0.3)
    with pytest.raises(DeviceNotConnectedError):
        drive(robot, lambda _: UR5E.default_position, 5.0)
    until(lambda: device.status()["program"] is None)  # the watchdog on the controller
    assert device.controller.outputs.ints[STATE_REGISTER] == ServoState.HOST_SILENT

    def connects() -> bool:
        try:
            robot.connect()
        except DeviceNotConnectedError:
            return False
        return True

    until(connects)
    drive(robot, lambda _: UR5E.default_position, 0.05)


def test_controllers_own_watchdog_when_the_programs_count_fails(device, config, monkeypatch):
    whole = servo_program.servo_program
    blind = re.compile(r"silent_cycles_max = \d+")
    monkeypatch.setattr(servo_program, "servo_program", lambda **s: blind.sub("silent_cycles_max = 100000", whole(**s)))
    robot = UR5eRobot(config)
    robot.connect()
    drive(robot, lambda _: UR5E.default_position, 0.05)
    until(lambda: device.status()["program"] is None)
    until(lambda: "died" in robot.read().detail)
    assert device.controller.outputs.ints[STATE_REGISTER] == ServoState.FOLLOWING
    robot.disconnect()


def test_frozen_controller_becomes_stale(device, robot):
    device.inject("frozen")
    with pytest.raises(StaleDataError):
        drive(robot, lambda _: UR5E.default_position, 5.0)
    device.inject("frozen", 0.0)
    until(lambda: _fresh(robot))


def _fresh(robot: UR5eRobot) -> bool:
    try:
        robot.read()
    except StaleDataError:
        return False
    return True


def test_dead_script(device, robot):
    drive(robot, lambda _: UR5E.default_position, 0.05)
    device.inject("dead_script")
    state = drive_until_fault(robot)
    assert state.mode is RobotMode.FAULT and "died" in state.detail
    robot.recover()
    drive(robot, lambda _: UR5E.default_position, 0.05)


def test_refused_recipe(device, config):
    device.inject("refused_recipe")
    with pytest.raises(ProtocolError, match="IN_USE"):
        UR5eRobot(config).connect()


def test_corrupted_packages_are_an_error_not_a_state(device, robot):
    device.inject("corrupted", 1000)
    with pytest.raises(DeviceError):
        drive(robot, lambda _: UR5E.default_position, 5.0)


def test_speed_scaling_is_reported_and_slows_the_arm(device, robot):
    device.inject("speed_scaling", 0.1)
    goal = UR5E.default_position + np.array([0.4, 0, 0, 0, 0, 0])
    log = drive(robot, lambda t: UR5E.default_position + (goal - UR5E.default_position) * min(1.0, t / 0.1), 0.3)
    state = log[-1][1]
    assert state.mode is RobotMode.RUNNING and "10%" in state.detail
    assert robot.speed_scaling == pytest.approx(0.1)
    assert np.abs(state.joint_position - goal).max() > 0.1


def test_stop_decelerates_and_ends_the_program(device, robot):
    drive(robot, lambda t: UR5E.default_position + 0.5 * t**2, 0.5)
    robot.stop()
    until(lambda: device.status()["program"] is None)
    assert device.controller.outputs.ints[STATE_REGISTER] == ServoState.STOPPED
    until(lambda: np.abs(device.status()["velocity"]).max() < 0.01)
    with pytest.raises(DeviceFaultError):
        robot.send(JointCommand(position=robot.read().joint_position))


def test_switches_the_arm_on(loopback_host):
    entry = DEVICES.load("ur5e")
    device = entry.open(entry.config_type()(host=loopback_host, preset="nominal", powered=False))
    device.start()
    try:
        off = UR5eConfig(**entry.driver_config(device.config), power_on=False)
        with pytest.raises(DeviceFaultError, match="POWER_OFF"):
            UR5eRobot(off).connect()
        robot = UR5eRobot(dataclasses.replace(off, power_on=True))
        robot.connect()
        assert robot.read().mode is RobotMode.RUNNING
        robot.disconnect()
    finally:
        device.stop()


CHILD = """
import sys, time
import numpy as np
from hardware import JointCommand
from hardware.ur5e import UR5E, servo_program
from hardware.ur5e.driver import UR5eConfig, UR5eRobot
robot = UR5eRobot(UR5eConfig(host=sys.argv[1]))
robot.connect()
begin, start_s = robot.read().joint_position, time.monotonic()
while True:
    robot.read()
    t = time.monotonic() - start_s
    robot.send(JointCommand(position=begin + 0.3 * np.sin(0.5 * np.pi * t)))
    time.sleep(0.002)
"""


def test_arm_stops_by_itself_when_the_driver_process_is_killed(device, config):
    child = subprocess.Popen([sys.executable, "-c", CHILD, config.host], env=os.environ | {"OMP_NUM_THREADS": "1"})
    try:
        until(lambda: np.abs(device.status()["velocity"]).max() > 0.2, timeout_s=30.0)
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
    killed_s = device.status()["time_s"]
    until(lambda: device.status()["program"] is None)
    until(lambda: np.abs(device.status()["velocity"]).max() < 0.01)
    assert device.controller.outputs.ints[STATE_REGISTER] == ServoState.HOST_SILENT
    assert device.status()["time_s"] - killed_s < 1.0  # in the device's own time
    robot = UR5eRobot(config)
    robot.connect()  # a new process takes over
    assert robot.read().mode is RobotMode.RUNNING
    robot.disconnect()
