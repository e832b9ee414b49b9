"""The driver against a peer that refuses, breaks off, falls silent or reports stops."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from ur5e_peer import HOME, Peer

from hardware import JointCommand, RobotMode
from hardware.clock import SystemClock
from hardware.errors import (
    ConfigError,
    DeviceFaultError,
    DeviceNotConnectedError,
    LimitViolationError,
    NonFiniteError,
    ProtocolError,
    StaleDataError,
)
from hardware.ur5e.driver import UR5eConfig, UR5eRobot

pytestmark = pytest.mark.wire


class ShiftedClock(SystemClock):
    """The system's clock, which a test can move on."""

    shift_s = 0.0

    def now(self) -> float:
        return super().now() + self.shift_s


@pytest.fixture
def host(loopback_host: str) -> str:
    return loopback_host


@pytest.fixture
def make(host: str) -> Iterator[Callable[..., tuple[Peer, UR5eRobot]]]:
    made = []

    def build(**peer_settings: object) -> tuple[Peer, UR5eRobot]:
        peer = Peer(host, **peer_settings)  # type: ignore[arg-type]
        robot = UR5eRobot(UR5eConfig(host=host, connect_timeout_s=1.0), ShiftedClock())
        made.append((peer, robot))
        return peer, robot

    yield build
    for peer, robot in made:
        robot.disconnect()
        peer.drop_connections()


def read_until(robot: UR5eRobot, ready: Callable[[object], bool]) -> object:
    for _ in range(500):
        state = robot.read()
        if ready(state):
            return state
        time.sleep(0.002)
    raise AssertionError(f"not reached, last state: {state}")


def position(offset: float = 0.0) -> JointCommand:
    return JointCommand(position=np.array(HOME) + offset)


def test_nothing_at_the_address(host):
    robot = UR5eRobot(UR5eConfig(host=host, connect_timeout_s=0.5))
    with pytest.raises(DeviceNotConnectedError, match=f"{host}:29999"):
        robot.connect()
    for use in (robot.read, lambda: robot.send(position())):
        with pytest.raises(DeviceNotConnectedError, match="connect()"):
            use()
    robot.stop()
    robot.disconnect()


def test_connects_reads_and_follows(make):
    peer, robot = make()
    robot.connect()
    state = robot.read()
    assert state.mode is RobotMode.RUNNING and state.detail == ""
    np.testing.assert_allclose(state.joint_position, HOME)
    np.testing.assert_allclose(state.tool_position, (0.4, 0.1, 0.3))
    np.testing.assert_allclose(state.tool_quaternion, (np.cos(1.5), 0, np.sin(1.5), 0))
    assert state.joint_effort is None
    assert all(mode == 0 for mode, *_ in peer.received)  # connecting does not move
    np.testing.assert_allclose(peer.received[0][2:], HOME)

    robot.send(position(0.01))
    robot.send(position(0.02))
    read_until(
        robot,
        lambda _: [mode for mode, *_ in peer.received[-2:]] == [1, 1] and robot.last_round_trip_s is not None,
    )
    (mode_1, count_1, *_), (mode_2, count_2, *target) = peer.received[-2:]
    assert (mode_1, mode_2) == (1, 1) and count_2 == count_1 + 1
    np.testing.assert_allclose(target, np.array(HOME) + 0.02)
    assert robot.last_round_trip_s is not None and 0.0 < robot.last_round_trip_s < 1.0


def test_quaternion_does_not_flip_at_half_a_turn(make):
    peer, robot = make()
    peer.state["actual_TCP_pose"] = (0.4, 0.1, 0.3, 0.0, 3.14, 0.0)
    robot.connect()
    before = robot.read().tool_quaternion
    peer.state["actual_TCP_pose"] = (0.5, 0.1, 0.3, 0.0, -3.14, 0.0)  # the other side of half a turn
    after = read_until(robot, lambda state: state.tool_position[0] == 0.5).tool_quaternion
    np.testing.assert_allclose(after, before, atol=2e-3)


def test_torques_where_the_controller_has_them(make):
    _, robot = make(unknown=())
    robot.connect()
    np.testing.assert_allclose(robot.read().joint_effort, (1, 2, 3, 4, 5, 6))


def test_missing_variable_is_named(make):
    _, robot = make(unknown=("speed_scaling",))
    with pytest.raises(ProtocolError, match=r"speed_scaling \(NOT_FOUND\)"):
        robot.connect()


def test_refused_inputs_are_named(make):
    _, robot = make(input_reply=b"\x00INT32,IN_USE" + b",DOUBLE" * 6)
    with pytest.raises(ProtocolError, match=r"input_int_register_25 \(IN_USE\)"):
        robot.connect()


def test_refused_protocol_version(make):
    _, robot = make(version_reply=b"\x00")
    with pytest.raises(ProtocolError, match="version 2"):
        robot.connect()


@pytest.mark.parametrize("status", ["PROTECTIVE_STOP", "ROBOT_EMERGENCY_STOP", "SAFEGUARD_STOP", "FAULT"])
def test_stop_at_connect_says_how_to_recover(make, status):
    peer, robot = make(dashboard_replies={"safetystatus": [f"Safetystatus: {status}"]})
    with pytest.raises(DeviceFaultError, match="To recover: .+"):
        robot.connect()
    assert peer.scripts == [] and "unlock protective stop" not in peer.commands


def test_local_control_is_refused(make):
    _, robot = make(dashboard_replies={"is in remote control": ["false"]})
    with pytest.raises(DeviceFaultError, match="remote control"):
        robot.connect()


def test_older_software_without_the_question_is_accepted(make):
    _, robot = make(dashboard_replies={"is in remote control": ["could not understand: 'is in remote control'"]})
    robot.connect()


def test_powers_on_and_releases_the_brakes_once(make):
    modes = ["POWER_OFF", "POWER_OFF", "IDLE", "IDLE", "RUNNING"]
    peer, robot = make(dashboard_replies={"robotmode": [f"Robotmode: {mode}" for mode in modes]})
    robot.connect()
    assert peer.commands.count("power on") == 1 and peer.commands.count("brake release") == 1


def test_program_that_does_not_start(make, monkeypatch):
    monkeypatch.setattr("hardware.ur5e.servo_link.START_TIMEOUT_S", 0.1)
    _, robot = make(runs_programs=False)
    with pytest.raises(ProtocolError, match="servo program does not run"):
        robot.connect()
    with pytest.raises(DeviceNotConnectedError):
        robot.read()


def test_recover_unlocks_and_starts_again(make):
    replies = {
        "safetystatus": ["Safetystatus: PROTECTIVE_STOP", "Safetystatus: NORMAL"],
        "unlock protective stop": ["Protective stop releasing"],
    }
    peer, robot = make(dashboard_replies=replies)
    robot.recover()
    assert robot.read().mode is RobotMode.RUNNING
    assert "close safety popup" in peer.commands


def test_recover_too_early_gives_the_controllers_words(make):
    refusal = "Cannot unlock protective stop until 5s after occurrence"
    replies = {"safetystatus": ["Safetystatus: PROTECTIVE_STOP"], "unlock protective stop": [refusal]}
    _, robot = make(dashboard_replies=replies)
    with pytest.raises(DeviceFaultError, match=refusal):
        robot.recover()


def test_connection_lost_mid_stream(make):
    peer, robot = make()
    robot.connect()
    robot.send(position())
    peer.drop_connections()
    with pytest.raises(DeviceNotConnectedError):
        read_until(robot, lambda _: False)
    robot.stop()
    robot.disconnect()
    with pytest.raises(DeviceNotConnectedError):
        robot.read()


def test_silence_becomes_stale_data(make):
    peer, robot = make()
    robot.connect()
    peer.silent = True
    time.sleep(0.02)
    robot._clock.shift_s = -1.0  # the silence so far does not count
    robot.read()
    robot._clock.shift_s = 1.0
    with pytest.raises(StaleDataError):
        robot.read()


@pytest.mark.parametrize(
    ("command", "error"),
    [
        (JointCommand(position=np.array([np.nan, *HOME[1:]])), NonFiniteError),
        (JointCommand(position=np.array([np.inf, *HOME[1:]])), NonFiniteError),
        (JointCommand(velocity=np.zeros(6)), ConfigError),
        (JointCommand(position=np.zeros(5)), ConfigError),
        (JointCommand(position=np.array([*HOME[:2], 3.2, *HOME[3:]])), LimitViolationError),
        (JointCommand(position=np.array(HOME) + 0.11), LimitViolationError),
    ],
)
def test_bad_first_command_is_not_sent(make, command, error):
    peer, robot = make()
    robot.connect()
    before = len(peer.received)
    with pytest.raises(error):
        robot.send(command)
    time.sleep(0.02)
    assert len(peer.received) == before


def test_only_the_first_command_must_be_near(make):
    peer, robot = make()
    robot.connect()
    robot.send(position())
    robot.send(position(0.5))
    read_until(robot, lambda _: peer.received[-1][2] > HOME[0] + 0.4)


@pytest.mark.parametrize(
    ("change", "mode", "words"),
    [
        ({"safety_status_bits": 1 << 2}, RobotMode.PROTECTIVE_STOP, "protective stop"),
        ({"safety_status_bits": 1 << 6}, RobotMode.EMERGENCY_STOP, "emergency stop"),
        ({"runtime_state": 1}, RobotMode.FAULT, "died"),
        ({"runtime_state": 1, "output_int_register_25": 2}, RobotMode.FAULT, "silent"),
        ({"output_int_register_26": 5}, RobotMode.FAULT, "another program"),
    ],
)
def test_stops_are_reported_and_commands_refused(make, change, mode, words):
    peer, robot = make()
    robot.connect()
    robot.send(position())
    peer.state |= change
    state = read_until(robot, lambda state: state.mode is not RobotMode.RUNNING)
    assert state.mode is mode and words in state.detail
    with pytest.raises(DeviceFaultError, match="recover"):
        robot.send(position())


def test_speed_scaling_is_shown(make):
    peer, robot = make()
    robot.connect()
    peer.state["speed_scaling"] = 0.5
    state = read_until(robot, lambda state: state.detail != "")
    assert state.mode is RobotMode.RUNNING and state.detail == "speed scaled to 50%"
    assert robot.speed_scaling == 0.5


def test_stop_ends_the_program_and_refuses_commands_until_recover(make):
    peer, robot = make()
    robot.connect()
    robot.send(position())
    robot.stop()
    robot.stop()
    with pytest.raises(DeviceFaultError, match="recover"):
        robot.send(position())
    state = read_until(robot, lambda state: state.mode is not RobotMode.RUNNING)
    assert state.mode is RobotMode.IDLE and "stopped by the host" in state.detail
    assert peer.received[-1][0] == 2
    robot.recover()
    robot.send(position())
    assert len(peer.scripts) == 2 and peer.scripts[0] != peer.scripts[1]


def test_disconnect_stops_through_the_dashboard_when_the_program_hangs(make, monkeypatch):
    monkeypatch.setattr("hardware.ur5e.driver._END_TIMEOUT_S", 0.1)
    peer, robot = make()
    robot.connect()
    monkeypatch.setattr(Peer, "_take", lambda self, package: None)
    robot.disconnect()
    robot.disconnect()
    assert "stop" in peer.commands


def test_reconnects(make):
    peer, robot = make()
    robot.connect()
    robot.disconnect()
    robot.connect()
    assert robot.read().mode is RobotMode.RUNNING
    assert len(peer.scripts) == 2
