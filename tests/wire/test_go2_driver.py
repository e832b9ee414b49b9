"""The driver and the virtual Go2, each in its process: connecting, following, gains, the way out, and loopback only."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest

pytest.importorskip("cyclonedds", reason="the extra go2 is not installed")

from hardware.errors import DeviceNotConnectedError, LimitViolationError, NonFiniteError
from hardware.go2 import GO2
from hardware.go2.driver import Go2Config, Go2Robot
from hardware.go2.spec import FOLDED_POSE, kind_of
from hardware.records import JointCommand, RobotMode
from hardware.udp_sockets import socket_descriptors, tied_to
from robostack.bench.fault_cells.checks import until
from robostack.bench.fault_cells.go2 import Go2Process, config_at, device_at, opened
from robostack.bench.faults import fresh_place

pytestmark = pytest.mark.wire
FOLDED = np.array([FOLDED_POSE[kind_of(name)] for name in GO2.joint_names])


@pytest.fixture
def domain() -> Iterator[int]:
    with fresh_place("domain") as place:
        yield int(place)


@pytest.fixture
def device(domain: int) -> Iterator[Go2Process]:
    with device_at(domain) as made:
        yield made


@pytest.fixture
def robot(device: Go2Process, domain: int) -> Iterator[Go2Robot]:
    made = opened(domain)
    made.connect()
    yield made
    made.disconnect()


def drive(robot: Go2Robot, command: Callable[[float], JointCommand], duration_s: float) -> np.ndarray:
    """Send `command(t)` every 2 ms; (time of measurement, joint positions) of every cycle."""
    start_s, log = time.monotonic(), []
    while (now_s := time.monotonic() - start_s) < duration_s:
        state = robot.read()
        log.append([float(state.capture_time_s) - start_s, *state.joint_position])
        robot.send(command(now_s))
        time.sleep(0.002)
    return np.array(log)


def test_connecting_releases_the_service_and_commands_nothing(device, robot):
    status = device.status()
    assert status["service"] == "" and status["damped"] and status["commands"] == 0
    state = robot.read()
    assert state.mode is RobotMode.RUNNING
    np.testing.assert_allclose(state.joint_position, status["position"], atol=0.02)
    np.testing.assert_allclose(state.base_quaternion, (1, 0, 0, 0), atol=1e-3)
    assert robot.low_state.charge == 80
    assert robot.low_state.acceleration[2] == pytest.approx(9.81, abs=0.2)


def test_follows_a_sine_with_fresh_states(device, robot):
    start = robot.read().joint_position

    def command(t: float) -> JointCommand:
        return JointCommand(position=np.clip(start + 0.2 * (1 - np.cos(np.pi * t)), GO2.position_min, GO2.position_max))

    log = drive(robot, command, 2.0)
    assert np.ptp(log[:, 5]) == pytest.approx(0.4, abs=0.08)
    times = np.unique(log[:, 0])
    assert len(times) > 200 and robot.bad_packets == 0
    status = device.status()
    assert status["bad_commands"] == status["battery_off"] == status["disobeyed"] == 0


def test_gains_and_torques_arrive_joint_by_joint_and_ramp_up(device, robot):
    start = robot.read().joint_position
    stiffness, damping = np.linspace(10.0, 32.0, 12), np.linspace(0.5, 6.0, 12)
    gains = {"stiffness": stiffness, "damping": damping, "effort": np.linspace(0.0, 1.1, 12)}
    robot.send(JointCommand(position=start, **gains))
    until(lambda: device.status()["order_kp"] is not None)
    first = device.status()
    assert set(first["order_kp"]) == {0.0} and set(first["order_tau"]) == {0.0}  # nothing at the first instant
    robot.recover()
    drive(robot, lambda _: JointCommand(position=start, velocity=0.25 * np.ones(12), **gains), 0.3)
    status = device.status()
    np.testing.assert_allclose(status["order_kp"], stiffness, rtol=1e-6)
    np.testing.assert_allclose(status["order_kd"], damping, rtol=1e-6)
    np.testing.assert_allclose(status["order_tau"], gains["effort"], rtol=1e-6)
    np.testing.assert_allclose(status["order_q"], start, rtol=1e-6)
    assert set(status["order_dq"]) == {0.25}


def test_what_must_not_be_sent_is_not(device, robot):
    start = robot.read().joint_position
    with pytest.raises(LimitViolationError, match="first command of joint 'FR_thigh_joint'"):
        robot.send(JointCommand(position=start + np.where(np.arange(12) == 1, 0.3, 0.0)))
    robot.send(JointCommand(position=start))
    with pytest.raises(LimitViolationError, match="'FR_hip_joint' position"):
        robot.send(JointCommand(position=np.where(np.arange(12) == 0, 1.2, start)))
    with pytest.raises(NonFiniteError):
        robot.send(JointCommand(position=start * np.nan))
    time.sleep(0.05)
    assert device.status()["commands"] == 1


def test_stands_up_from_the_ground(domain):
    with device_at(domain, posture="lying", preset="hidden", seed=3) as device:
        robot = opened(domain)
        robot.connect()
        assert device.status()["height"] < 0.14  # connecting does not make it stand
        start = robot.read().joint_position

        def rise(t: float) -> JointCommand:
            first, second = np.clip([t, t - 1.0], 0.0, 1.0)
            way = start + first * (FOLDED - start) + second * (GO2.default_position - FOLDED)
            return JointCommand(position=np.clip(way, GO2.position_min, GO2.position_max))

        drive(robot, rise, 2.5)
        status = device.status()
        assert status["height"] == pytest.approx(0.34, abs=0.03) and min(status["foot_force"]) > 5.0
        robot.disconnect()
        until(lambda: device.damped and device.status()["height"] < 0.15)


def test_disconnecting_damps_closes_and_can_be_undone(device, robot):
    hold = JointCommand(position=robot.read().joint_position)
    drive(robot, lambda _: hold, 0.1)
    robot.disconnect()
    robot.disconnect()
    until(lambda: device.damped)
    with pytest.raises(DeviceNotConnectedError, match="connect\\(\\) was called"):
        robot.read()
    robot.stop()  # never raises, also without a connection
    robot.connect()
    assert robot.read().mode is RobotMode.RUNNING


def test_nothing_there_is_said_with_interface_and_domain(domain):
    with pytest.raises(DeviceNotConnectedError, match=f"lo, DDS domain {domain}"):
        opened(domain, connect_timeout_s=0.3).connect()
    with pytest.raises(DeviceNotConnectedError, match="no such interface"):
        Go2Robot(Go2Config(interface="nowhere0", domain=domain)).connect()


def test_a_simulator_without_motion_switcher_can_be_driven(domain):
    with device_at(domain, service="") as device:
        device.inject("service_mute")
        robot = Go2Robot(config_at(domain, motion_service=False))
        robot.connect()
        robot.send(JointCommand(position=robot.read().joint_position))
        until(lambda: device.status()["commands"] > 0)
        robot.disconnect()


def test_both_ends_receive_from_loopback_only(device, domain):
    assert device.status()["interfaces"] == ["lo"]
    before, robot = socket_descriptors(), opened(domain)
    robot.connect()
    assert tied_to(socket_descriptors() - before) == {"lo"}
    robot.disconnect()
