"""The drivers of both bases on the wire, without a control loop: what they refuse, and how true their odometry is."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator

import numpy as np
import pytest

from hardware.errors import (
    ConfigError,
    DeviceFaultError,
    DeviceNotConnectedError,
    LimitViolationError,
    NonFiniteError,
)
from hardware.records import BaseCommand, JointCommand, RobotMode
from hardware.robot import ROBOTS
from sim.devices.device import DEVICES

pytestmark = pytest.mark.wire


def command(speed, yaw_rate=0.0, sideways=0.0):
    return BaseCommand(np.array([speed, sideways]), np.float64(yaw_rate))


@pytest.fixture(params=["create2", "racecar"])
def pair(request, tmp_path) -> Iterator[tuple]:
    port = str(tmp_path / "port")
    devices, robots = DEVICES.load(request.param), ROBOTS.load(request.param)
    device = devices.open(devices.config_type()(port=port, nominal=True))
    device.start()
    robot = robots.open(robots.config_type()(port=port))
    robot.connect()
    yield device, robot
    robot.disconnect()
    device.stop()


def drive(robot, duration_s, speed, yaw_rate):
    """Ramp up at 1 m/s^2 and drive on."""
    begun_s = time.monotonic()
    while (now_s := time.monotonic() - begun_s) < duration_s:
        share = min(1.0, now_s / abs(speed))
        robot.read()
        robot.send(command(share * speed, share * yaw_rate))
        time.sleep(0.02)


def test_odometry_agrees_with_the_room(pair):
    device, robot = pair
    drive(robot, 3.0, 0.3, 0.2)
    state, truth = robot.read(), device.status()
    heading = 2.0 * math.atan2(state.base_quaternion[3], state.base_quaternion[0])
    assert truth["x"] > 0.4 and truth["heading"] > 0.3
    np.testing.assert_allclose(state.base_position[:2], (truth["x"], truth["y"]), atol=0.06)
    assert heading == pytest.approx(truth["heading"], abs=0.12)
    assert state.base_linear_velocity[0] == pytest.approx(0.3, abs=0.03)
    assert state.base_angular_velocity[2] == pytest.approx(0.2, abs=0.06)


def test_connecting_moves_nothing_and_states_have_capture_times_of_the_past(pair):
    device, robot = pair
    begun_s, times = time.monotonic(), []
    while time.monotonic() - begun_s < 0.3:
        state = robot.read()
        assert state.capture_time_s <= time.monotonic()
        times.append(state.capture_time_s)
        time.sleep(0.005)
    assert state.mode is RobotMode.RUNNING and (np.diff(times) >= 0.0).all() and len(set(times)) > 5
    assert device.status()["speed"] < 1e-3
    if hasattr(robot, "last_round_trip_s"):  # the Create 2 streams by itself, and echoes nothing
        assert 0.0 < robot.last_round_trip_s < 0.3


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        (command(math.nan), NonFiniteError),
        (command(0.1, math.inf), NonFiniteError),
        (command(5.0), LimitViolationError),
        (command(0.3, 6.0), LimitViolationError),
        (command(0.1, 0.0, 0.1), ConfigError),
        (JointCommand(position=np.zeros(2)), ConfigError),
    ],
)
def test_what_cannot_be_driven_is_refused_and_not_sent(pair, wrong, error):
    device, robot = pair
    robot.read()
    with pytest.raises(error):
        robot.send(wrong)
    time.sleep(0.05)
    assert device.status()["speed"] < 1e-3


def test_after_a_stop_only_recovery_goes_on(pair):
    _, robot = pair
    drive(robot, 0.5, 0.3, 0.0)
    robot.stop()
    with pytest.raises(DeviceFaultError, match="stop"):
        robot.send(command(0.1))
    robot.stop()
    robot.recover()
    robot.read()
    robot.send(command(0.0))
    robot.disconnect()
    robot.disconnect()
    with pytest.raises(DeviceNotConnectedError, match=r"connect\(\) was called"):
        robot.read()


def test_one_port_has_one_driver_and_one_device(pair):
    device, robot = pair
    entry = ROBOTS.load(robot.spec.name)
    with pytest.raises(DeviceNotConnectedError, match="no other program uses the port"):
        entry.open(robot.config).connect()
    second = DEVICES.load(robot.spec.name).open(device.config)
    with pytest.raises(Exception, match="in use"):
        second.start()
    assert robot.read().mode is RobotMode.RUNNING


def test_a_port_that_is_not_there_says_what_to_check(tmp_path):
    for name in ("create2", "racecar"):
        entry = ROBOTS.load(name)
        robot = entry.open(entry.config_type()(port=str(tmp_path / "nothing")))
        with pytest.raises(DeviceNotConnectedError, match="nothing.*the USB cable"):
            robot.connect()
        robot.stop()
        robot.disconnect()
