"""The SO-101's driver, a leader arm, and the virtual arm over a pseudo terminal, for both families of servos."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from hardware import JointCommand, RobotMode
from hardware.errors import (
    AddressInUseError,
    ConfigError,
    DeviceFaultError,
    DeviceNotConnectedError,
    LimitViolationError,
    NonFiniteError,
    ProtocolError,
    UnknownNameError,
)
from hardware.serial_port import SerialPort
from hardware.servo_bus.leader import LeaderArm, LeaderArmConfig
from hardware.so101 import SO101
from hardware.so101.driver import SO101Config, SO101Robot
from robostack.bench.fault_cells.checks import until
from robostack.bench.fault_cells.so101 import config_of, device_at, held, speed
from sim.devices.device import DEVICES
from sim.devices.so101.config import HIDDEN_RANGES, VirtualSO101Config, random_dynamics
from sim.devices.so101.device import VirtualSO101

pytestmark = pytest.mark.wire

FAMILIES = ("feetech", "dynamixel")


@pytest.fixture(params=FAMILIES)
def device(request, tmp_path) -> Iterator[VirtualSO101]:
    with device_at(str(tmp_path / "bus"), request.param) as device:
        yield device


@pytest.fixture
def robot(device) -> Iterator[SO101Robot]:
    robot = SO101Robot(config_of(device))
    robot.connect()
    yield robot
    robot.disconnect()


def drive(robot: SO101Robot, target, duration_s: float) -> list:
    """Send `target(t)` every 10 ms; the states of every cycle."""
    start_s, states = time.monotonic(), []
    while (now_s := time.monotonic() - start_s) < duration_s:
        states.append(robot.read())
        robot.send(JointCommand(position=target(now_s)))
        time.sleep(0.01)
    return states


def test_connecting_switches_the_torque_on_without_moving_the_arm(device):
    goals = [servo.wish().tick for servo in device.chain.servos]
    assert all(abs(tick - 2048) > 1000 for tick in goals)  # a driver that does not set them first would see a leap
    fastest = 0.0
    robot = SO101Robot(config_of(device))
    robot.connect()
    start_s = time.monotonic()
    while time.monotonic() - start_s < 0.2:
        fastest = max(fastest, speed(device))
        time.sleep(0.002)
    assert fastest < 0.1
    np.testing.assert_allclose(device.status()["position"], SO101.default_position, atol=5e-3)
    assert device.status()["power"] == [1.0] * 6
    assert robot.read().mode is RobotMode.RUNNING
    robot.disconnect()
    until(lambda: held(device))  # the torque stays on, reduced


def test_follows_a_sine_on_every_joint(device, robot):
    amplitude = np.array([0.5, 0.3, -0.3, 0.3, -0.5, 0.5])

    def target(t: float) -> np.ndarray:
        return SO101.default_position + 0.5 * amplitude * (1 - np.cos(2 * np.pi * 0.5 * min(t, 2.0)))

    states = drive(robot, target, 2.4)
    np.testing.assert_allclose(device.status()["position"], SO101.default_position, atol=0.01)
    measured = np.array([state.joint_position for state in states])
    assert np.ptp(measured, axis=0) == pytest.approx(np.abs(amplitude), abs=0.03)
    times_s = np.array([state.capture_time_s for state in states])
    velocity = np.array([state.joint_velocity for state in states])[:, 0]
    phase = 2 * np.pi * 0.5 * np.clip(times_s - times_s[0], 0.0, 2.0)
    expected = 0.5 * amplitude[0] * 2 * np.pi * 0.5 * np.sin(phase)
    assert np.corrcoef(velocity, expected)[0, 1] > 0.9
    status = device.status()
    assert status["collisions"] == status["damaged"] == status["wrong_speed"] == 0


def test_gravity_shows_in_the_measured_torque(device, robot):
    states = drive(robot, lambda _: SO101.default_position, 0.5)
    torque = np.array(device.status()["torque"])
    assert abs(torque[2]) > 0.2  # the elbow carries the forearm
    scale = states[-1].joint_effort[2] / torque[2]
    # Current times torque constant: the same for Feetech's motor, which the model has; XM430's stalls at 4.1 Nm.
    assert scale == pytest.approx(1.0 if device.config.servos == "feetech" else 4.1 / 2.94, rel=0.1)


def test_an_arm_put_together_differently_needs_its_calibration(tmp_path):
    options = {"ids": (11, 12, 13, 14, 15, 16), "zero_ticks": (2000, 2100, 1990, 2048, 2148, 1500)}
    options["directions"] = (1, -1, -1, 1, -1, 1)
    file = tmp_path / "arm.yaml"
    rows = zip(SO101.joint_names, options["ids"], options["zero_ticks"], options["directions"], strict=True)
    lines = [f"  {name}: {{id: {i}, zero_tick: {zero}, direction: {sign}}}" for name, i, zero, sign in rows]
    file.write_text("\n".join(["joints:", *lines]))
    with device_at(str(tmp_path / "bus"), "feetech", **options) as device:
        with pytest.raises(DeviceNotConnectedError, match=r"no answer from 'shoulder_pan' \(id 1\)"):
            SO101Robot(config_of(device)).connect()
        robot = SO101Robot(config_of(device, calibration=str(file)))
        robot.connect()
        np.testing.assert_allclose(robot.read().joint_position, SO101.default_position, atol=2e-3)
        goal = SO101.default_position + 0.2
        drive(robot, lambda t: SO101.default_position + min(t, 0.4) / 0.4 * 0.2, 0.8)
        np.testing.assert_allclose(device.status()["position"], goal, atol=0.01)
        np.testing.assert_allclose(robot.read().joint_position, goal, atol=0.01)
        robot.disconnect()


def test_commands_that_must_not_reach_the_arm(device, robot):
    here = robot.read().joint_position
    for position, error, words in (
        (here + 0.2, LimitViolationError, "first command of joint"),
        (np.full(6, np.nan), NonFiniteError, "not finite"),
        (np.where(np.arange(6) == 2, 1.8, here), LimitViolationError, "joint 'elbow_flex' position"),
        (here[:5], ConfigError, "6 joint positions"),
        (None, ConfigError, "6 joint positions"),
    ):
        with pytest.raises(error, match=words):
            robot.send(JointCommand(position=position))
    robot.send(JointCommand(position=here))
    robot.send(JointCommand(position=here + 0.05))  # only the first one must be near


def test_stop_in_motion_holds_there_until_recover(device, robot):
    drive(robot, lambda t: SO101.default_position + np.array([0.8 * t, 0, 0, 0, 0, 0]), 0.6)
    robot.stop()
    robot.stop()
    until(lambda: held(device))
    assert 0.3 < device.status()["position"][0] < 0.8
    with pytest.raises(DeviceFaultError, match="stopped by the host"):
        robot.send(JointCommand(position=robot.read().joint_position))
    robot.recover()
    assert device.status()["power"] == [1.0] * 6
    assert robot.read().mode is RobotMode.RUNNING


def test_a_robot_that_is_not_connected_says_so(tmp_path):
    robot = SO101Robot(SO101Config(port=str(tmp_path / "none")))
    for action in (robot.connect, robot.read, lambda: robot.send(JointCommand(position=SO101.default_position))):
        with pytest.raises(DeviceNotConnectedError, match=str(tmp_path / "none")):
            action()
    robot.stop()
    robot.disconnect()


def test_one_program_per_port(device, robot):
    with pytest.raises(DeviceNotConnectedError, match="no other program"):
        SO101Robot(config_of(device)).connect()
    file = Path(device.config.port).with_name("no_terminal")
    file.write_text("")
    with pytest.raises(DeviceNotConnectedError, match="that it is a serial port"):
        SerialPort("servo bus", str(file), 1_000_000)


def test_the_other_family_and_other_modes_are_refused(device):
    other = FAMILIES[1 - FAMILIES.index(device.config.servos)]
    config = config_of(device)
    with pytest.raises(DeviceNotConnectedError, match="no answer from"):
        SO101Robot(SO101Config(port=config.port, servos=other)).connect()
    servo, feetech = device.chain.servos[1], device.config.servos == "feetech"
    servo.table[33 if feetech else 11] = 1
    with pytest.raises(DeviceFaultError, match="operating mode 1 at 'shoulder_lift'"):
        SO101Robot(config).connect()
    servo.table[3 if feetech else 0] = 77
    with pytest.raises(ProtocolError, match="servo 2 "):
        SO101Robot(config).connect()


def test_release_on_disconnect_switches_the_torque_off(device):
    robot = SO101Robot(config_of(device, release_on_disconnect=True))
    robot.connect()
    assert robot.temperature.tolist() == [30.0] * 6
    robot.disconnect()
    until(lambda: device.status()["power"] == [0.0] * 6)
    assert robot.temperature is None


def test_a_leader_arm_is_read_and_never_driven(device):
    servos, port = device.config.servos, device.config.port
    leader = LeaderArm(LeaderArmConfig(port=port, servos=servos, enabled=False))
    with pytest.raises(DeviceNotConnectedError, match="connect"):
        leader.read()
    leader.connect()
    first = leader.read()
    np.testing.assert_allclose(first.joint_position, SO101.default_position, atol=2e-3)
    assert first.gripper == pytest.approx((0.4 + 0.174533) / (1.74533 + 0.174533), abs=2e-3)
    assert not first.enabled
    leader.set_enabled(True)
    until(lambda: leader.read().sequence > first.sequence + 5)
    command = leader.read()
    assert command.enabled and command.capture_time_s > first.capture_time_s
    assert device.status()["power"] == [0.0] * 6
    writes = device.status()["writes"]
    until(lambda: leader.read().sequence > command.sequence + 5)
    assert device.status()["writes"] == writes
    leader.disconnect()
    leader.disconnect()


def test_a_leader_arm_that_is_gone_says_so(device):
    leader = LeaderArm(LeaderArmConfig(port=device.config.port, servos=device.config.servos))
    leader.connect()
    device.inject("unplugged", 60.0)

    def gone() -> bool:
        try:
            leader.read()
        except DeviceNotConnectedError:
            return True
        return False

    until(gone)
    leader.disconnect()


def test_the_device_process_prints_its_terminal_and_takes_its_link_away(tmp_path):
    port = str(tmp_path / "arm")
    command = [sys.executable, "-m", "sim.devices.run", "so101", "--port", port]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        name, data = process.stdout.readline().split(" ", 2)[1:]
        ready = json.loads(data)
        assert name == "so101" and ready["port"] == port and ready["driver"]["port"] == port
        assert str(Path(port).readlink()) == ready["terminal"]
        with pytest.raises(AddressInUseError):
            VirtualSO101(VirtualSO101Config(port=port)).start()
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(10.0) == 0
    assert not os.path.lexists(port)


def test_hidden_dynamics_follow_the_seed_and_unknown_faults_are_named(tmp_path):
    assert random_dynamics(3) == random_dynamics(3) != random_dynamics(4)
    for name, (low, high) in HIDDEN_RANGES.items():
        assert low <= getattr(random_dynamics(5), name) <= high
    device = DEVICES.load("so101").open(VirtualSO101Config(port=str(tmp_path / "bus")))
    with pytest.raises(UnknownNameError, match="overload"):
        device.inject("overlod")
