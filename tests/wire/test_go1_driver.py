"""The driver and the virtual Go1 over real sockets: connecting, following, gains, standing up, and the way out."""

from __future__ import annotations

import dataclasses
import socket
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from hardware.errors import (
    DeviceFaultError,
    DeviceNotConnectedError,
    LimitViolationError,
    ProtocolError,
    StaleDataError,
)
from hardware.go1 import GO1
from hardware.go1.driver import Go1Robot
from hardware.go1.posture import lie_down, stand_up
from hardware.records import JointCommand, RobotMode
from robostack.bench.fault_cells.checks import fresh, until
from robostack.bench.fault_cells.go1 import config_at, damped, device_at
from sim.devices.go1.device import VirtualGo1

pytestmark = pytest.mark.wire


@pytest.fixture
def device(loopback_host: str) -> Iterator[VirtualGo1]:
    with device_at(loopback_host) as made:
        yield made


@pytest.fixture
def robot(device: VirtualGo1) -> Iterator[Go1Robot]:
    made = Go1Robot(config_at(device.config.host, silence_max_s=2.0))
    made.connect()
    yield made
    made.disconnect()


def drive(
    robot: Go1Robot, command: Callable[[float], JointCommand], duration_s: float
) -> list[tuple[float, np.ndarray]]:
    """Send `command(t)` every 2 ms; (time of the measurement, joint positions) of every cycle."""
    start_s, log = time.monotonic(), []
    while (now_s := time.monotonic() - start_s) < duration_s:
        state = fresh(robot)
        log.append((float(state.capture_time_s) - start_s, state.joint_position))
        robot.send(command(now_s))
        time.sleep(0.002)
    return log


def test_connecting_leaves_the_motors_damped(device, robot):
    time.sleep(0.1)
    status = device.status()
    assert status["damped"] and set(status["motor_modes"]) == {0x00}
    assert set(status["stiffness"]) == {0.0}
    state = fresh(robot)
    assert state.mode is RobotMode.RUNNING
    np.testing.assert_allclose(state.joint_position, status["position"], atol=0.02)
    np.testing.assert_allclose(state.base_quaternion, (1, 0, 0, 0), atol=1e-3)
    np.testing.assert_allclose(state.base_angular_velocity, 0.0, atol=0.05)
    assert state.base_position is None and state.base_linear_velocity is None
    assert robot.low_state.charge == 80
    assert robot.low_state.acceleration[2] == pytest.approx(9.81, abs=0.2)


def test_states_stay_fresh_while_nothing_is_commanded(device, robot):
    for _ in range(20):
        time.sleep(0.02)
        assert time.monotonic() - float(fresh(robot).capture_time_s) < GO1.state_age_max_s
    assert device.status()["damped"]


def test_capture_times_rise_with_the_robots_cycle(robot):
    hold = JointCommand(position=fresh(robot).joint_position)
    log = drive(robot, lambda _: hold, 0.5)
    times = np.unique([t for t, _ in log])
    assert len(times) > 50 and (np.diff(times) > 0.0).all()
    cycles = np.diff(times) / 0.002  # of the robot's clock, not the scheduler's of this machine
    assert np.median(np.abs(cycles - np.round(cycles))) < 0.05


def test_follows_a_sine_and_measures_its_round_trip(device, robot):
    start = fresh(robot).joint_position

    def command(t: float) -> JointCommand:
        return JointCommand(position=np.clip(start + 0.2 * (1 - np.cos(np.pi * t)), GO1.position_min, GO1.position_max))

    log = drive(robot, command, 2.0)
    measured = np.array([position for _, position in log])
    assert np.ptp(measured[:, 4]) == pytest.approx(0.4, abs=0.08)
    assert robot.last_round_trip_s is not None and 0.0 < robot.last_round_trip_s < 1.0
    assert robot.bad_packets == 0 and device.status()["battery_off"] == 0


def test_gains_and_torques_arrive_and_ramp_up(device, robot):
    start = fresh(robot).joint_position
    stiffness, damping = np.linspace(10.0, 32.0, 12), np.linspace(0.5, 6.0, 12)
    robot.send(JointCommand(position=start, effort=np.ones(12), stiffness=stiffness, damping=damping))
    until(lambda: device.controller.last_order.mode[0] == 0x0A)
    first = device.controller.last_order
    assert (first.kp == 0.0).all() and (first.tau == 0.0).all()  # nothing at the first instant
    np.testing.assert_allclose(first.kd, np.floor(damping * 16) / 16)
    command = JointCommand(
        position=start, velocity=0.25 * np.ones(12), effort=np.ones(12), stiffness=stiffness, damping=damping
    )
    drive(robot, lambda _: command, 0.3)
    order = device.controller.last_order
    np.testing.assert_allclose(order.kp, np.floor(stiffness * 32) / 32)
    np.testing.assert_allclose(order.q, start, atol=1e-6)
    np.testing.assert_array_equal(order.dq, 0.25)
    np.testing.assert_array_equal(order.tau, 1.0)


def test_the_first_command_must_be_near_the_measured_pose(device, robot):
    far = fresh(robot).joint_position + np.where(np.arange(12) == 1, 0.3, 0.0)
    with pytest.raises(LimitViolationError, match="first command of joint 'FR_thigh_joint'"):
        robot.send(JointCommand(position=far))
    assert damped(device)


def test_targets_outside_a_range_are_not_sent(device, robot):
    start = fresh(robot).joint_position
    robot.send(JointCommand(position=start))
    until(lambda: device.controller.last_order.mode[0] == 0x0A)
    with pytest.raises(LimitViolationError, match="'FR_hip_joint' position"):
        robot.send(JointCommand(position=np.where(np.arange(12) == 0, 1.0, start)))
    time.sleep(0.02)
    assert device.controller.last_order.q[0] == pytest.approx(start[0], abs=1e-6)


def test_too_much_power_is_a_fault(loopback_host):
    with device_at(loopback_host) as device:
        robot = Go1Robot(config_at(loopback_host, power_max_w=0.5, silence_max_s=2.0))
        robot.connect()
        start = fresh(robot).joint_position
        swing = np.tile([0.0, 0.0, 1.0], 4)

        def command(t: float) -> JointCommand:
            return JointCommand(position=start + 0.2 * (1.0 - np.cos(20.0 * t)) * swing)

        with pytest.raises(DeviceFaultError, match="W of mechanical power"):
            drive(robot, command, 3.0)
        robot.disconnect()
        until(lambda: damped(device))


def test_stands_up_and_lies_down_from_the_ground(loopback_host):
    with device_at(loopback_host, posture="lying", preset="hidden", seed=3) as device:
        robot = Go1Robot(config_at(loopback_host, silence_max_s=2.0))
        robot.connect()
        time.sleep(0.1)
        assert device.status()["height"] < 0.12  # connecting does not make it stand
        stand_up(robot, 1.0, hold_s=0.3)
        assert device.status()["height"] == pytest.approx(0.34, abs=0.03)
        assert min(device.status()["foot_force"]) > 5.0
        np.testing.assert_allclose(fresh(robot).base_quaternion[0], 1.0, atol=0.01)
        lie_down(robot, 1.0)
        robot.disconnect()
        until(lambda: damped(device))
        until(lambda: device.status()["height"] < 0.12)


def test_disconnecting_damps_and_closes(device, robot):
    hold = JointCommand(position=fresh(robot).joint_position)
    drive(robot, lambda _: hold, 0.1)
    robot.disconnect()
    robot.disconnect()
    until(lambda: damped(device))
    with pytest.raises(DeviceNotConnectedError, match="connect\\(\\) was called"):
        robot.read()
    robot.stop()  # never raises, also without a connection


def test_encrypted_checksums_work_when_both_ends_use_them(loopback_host):
    with device_at(loopback_host, crc="encrypted"):
        robot = Go1Robot(config_at(loopback_host, crc="encrypted"))
        robot.connect()
        robot.send(JointCommand(position=fresh(robot).joint_position))
        robot.disconnect()
        with pytest.raises(DeviceNotConnectedError):  # the robot does not answer what it cannot read
            Go1Robot(config_at(loopback_host)).connect()


def test_nothing_there_is_said_with_the_address(loopback_host):
    with pytest.raises(DeviceNotConnectedError, match=f"{loopback_host}:8007.*ping"):
        Go1Robot(config_at(loopback_host, connect_timeout_s=0.2)).connect()


def test_a_taken_local_port_is_said(loopback_host):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("", 0))
        port = taken.getsockname()[1]
        with pytest.raises(DeviceNotConnectedError, match=f"local port {port}: it is in use"):
            Go1Robot(config_at(loopback_host, local_port=port)).connect()


def test_what_is_no_go1_is_said(loopback_host):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind((loopback_host, 8007))
        other.setblocking(False)
        robot = Go1Robot(dataclasses.replace(config_at(loopback_host), connect_timeout_s=0.3))
        clock = EchoClock(other)
        robot._clock = clock
        with pytest.raises(ProtocolError, match="807 bytes, not 614"):
            robot.connect()


class EchoClock:
    """The system's clock; whenever someone sleeps, a socket sends back what it has got."""

    def __init__(self, echo: socket.socket) -> None:
        self._echo = echo

    def now(self) -> float:
        return time.monotonic()

    def sleep_until(self, deadline_s: float) -> None:
        try:
            while True:
                data, address = self._echo.recvfrom(2048)
                self._echo.sendto(data, address)
        except BlockingIOError:
            time.sleep(max(deadline_s - time.monotonic(), 0.0))


def test_a_stalled_reader_gets_an_error_not_an_old_state(device, robot):
    hold = JointCommand(position=fresh(robot).joint_position)
    robot.send(hold)
    until(lambda: _stale(robot))
    assert robot.low_state.position.shape == (12,)


def _stale(robot: Go1Robot) -> bool:
    try:
        robot.read()
    except StaleDataError as error:
        return error.limit_s == GO1.state_age_max_s
    return False
