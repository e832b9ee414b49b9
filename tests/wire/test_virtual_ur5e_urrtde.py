"""The unmodified ur-rtde client (C++) drives the virtual UR5e, which runs as its own process."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time

import pytest

pytest.importorskip("rtde_control", reason="the ur-rtde client is not installed: pip install 'robostack-learning[ur]'")
import dashboard_client
import rtde_control
import rtde_io
import rtde_receive

from sim.devices.run import main

pytestmark = pytest.mark.wire
HOST = "127.0.23.2"
START = [3.0, -1.4, 1.5, -1.6, -1.5, 0.3]


def until(condition, limit_s: float = 10.0) -> bool:
    """Wait for `condition`; the limit only keeps a broken build from hanging."""
    end = time.monotonic() + limit_s
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)
    return bool(condition())


class Process:
    """`python -m sim.devices.run`, controlled over its standard input."""

    def __init__(self, *flags: str) -> None:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        self.popen = subprocess.Popen([sys.executable, "-m", "sim.devices.run", *flags], **pipes)

    def say(self, line: str) -> dict:
        self.popen.stdin.write(line + "\n")
        self.popen.stdin.flush()
        return json.loads(self.popen.stdout.readline())

    def end(self, number: int) -> int:
        self.popen.send_signal(number)
        self.popen.communicate(timeout=20)
        return self.popen.returncode


@pytest.fixture(scope="module")
def robot():
    flags = ("--host", HOST, "--preset", "nominal", "--unlock-delay-s", "0", "--initial-position", *map(str, START))
    process = Process("ur5e", *flags)
    word, name, description = process.popen.stdout.readline().split(maxsplit=2)
    assert (word, name) == ("ready", "ur5e")
    assert json.loads(description)["driver"] == {
        "host": HOST, "rtde_port": 30004, "script_port": 30002, "dashboard_port": 29999,
    }  # fmt: skip
    yield process
    assert process.end(signal.SIGINT) == 0


@pytest.fixture(scope="module")
def receive(robot):
    client = rtde_receive.RTDEReceiveInterface(HOST)
    yield client
    client.disconnect()


@pytest.fixture(scope="module")
def control(robot):
    client = rtde_control.RTDEControlInterface(HOST)
    yield client
    client.disconnect()


def near(receive, q, tolerance=3e-3):
    return lambda: max(abs(a - b) for a, b in zip(receive.getActualQ(), q, strict=True)) < tolerance


def test_dashboard(robot):
    client = dashboard_client.DashboardClient(HOST)
    client.connect()
    assert client.robotmode() == "Robotmode: RUNNING"
    assert client.safetystatus() == "Safetystatus: NORMAL"
    assert client.getSerialNumber() == "20235500001"
    assert client.polyscopeVersion() == "5.15.2.0"
    assert client.isInRemoteControl()
    client.closeSafetyPopup()
    client.disconnect()


def test_receive_shows_the_joint_state(receive):
    assert receive.getActualQ() == pytest.approx(START, abs=2e-3)
    assert receive.getRobotMode() == 7
    assert receive.getSafetyMode() == 1
    first = receive.getTimestamp()
    assert until(lambda: receive.getTimestamp() > first)


def test_tool_pose_is_that_of_the_published_kinematics(receive):
    from math import cos, sin

    import numpy as np
    from scipy.spatial.transform import Rotation

    pose = np.eye(4)
    half = np.pi / 2
    table = ((0, 0.1625, half), (-0.425, 0, 0), (-0.3922, 0, 0), (0, 0.1333, half), (0, 0.0997, -half), (0, 0.0996, 0))
    for theta, (a, d, alpha) in zip(receive.getActualQ(), table, strict=True):
        c, s, ca, sa = cos(theta), sin(theta), cos(alpha), sin(alpha)
        pose = pose @ np.array([[c, -s * ca, s * sa, a * c], [s, c * ca, -c * sa, a * s], [0, sa, ca, d], [0, 0, 0, 1]])
    shown = receive.getActualTCPPose()
    assert shown[:3] == pytest.approx(pose[:3, 3], abs=1e-3)
    turned = Rotation.from_rotvec(shown[3:]).inv() * Rotation.from_matrix(pose[:3, :3])
    assert turned.magnitude() < 1e-3


def test_move_j(control, receive):
    goal = [START[0] + 0.2, *START[1:]]
    assert control.moveJ(goal, 1.05, 1.4)
    assert until(near(receive, goal))
    assert control.moveJ(START, 1.05, 1.4)


def test_asynchronous_move_j_reports_progress_and_stops(control, receive):
    goal = [START[0] + 1.0, *START[1:]]
    assert control.moveJ(goal, 0.5, 1.0, True)
    assert until(lambda: control.getAsyncOperationProgress() >= 0)
    assert until(lambda: receive.getActualQ()[0] > START[0] + 0.1)
    control.stopJ(2.0)
    assert until(lambda: max(map(abs, receive.getActualQd())) < 0.01)
    assert receive.getActualQ()[0] < goal[0] - 0.1
    assert control.moveJ(START, 1.05, 1.4)


def test_servo_j_follows(control, receive):
    q = list(START)
    for _ in range(150):
        begin = control.initPeriod()
        q[1] -= 0.001
        assert control.servoJ(q, 0.0, 0.0, 0.002, 0.03, 300)
        control.waitPeriod(begin)
    assert until(near(receive, q))
    control.servoStop()
    assert control.moveJ(START, 1.05, 1.4)


def test_speed_j_and_stop(control, receive):
    assert control.speedJ([0.0, 0.0, 0.0, 0.0, 0.0, 0.3], 2.0, 0.0)
    assert until(lambda: abs(receive.getActualQd()[5] - 0.3) < 0.02)
    control.speedStop()
    assert until(lambda: abs(receive.getActualQd()[5]) < 0.01)


def test_io_sets_the_speed_slider(robot, receive):
    client = rtde_io.RTDEIOInterface(HOST)
    assert client.setSpeedSlider(0.5)
    assert until(lambda: receive.getSpeedScaling() == 0.5)
    assert client.setSpeedSlider(1.0)
    assert client.setStandardDigitalOut(3, True)
    assert until(lambda: receive.getDigitalOutState(3))
    client.disconnect()


def test_protective_stop_is_seen_and_the_script_must_be_sent_again(robot, control, receive):
    assert robot.say("inject protective_stop") == {"injected": "protective_stop", "value": 1.0}
    assert until(receive.isProtectiveStopped)
    client = dashboard_client.DashboardClient(HOST)
    client.connect()
    client.unlockProtectiveStop()
    client.disconnect()
    assert until(lambda: not receive.isProtectiveStopped())
    assert not control.isProgramRunning()
    assert control.reuploadScript()
    assert until(control.isProgramRunning)


def test_script_ends_when_told(control, robot):
    control.stopScript()
    assert until(lambda: robot.say("status")["runtime_state"] == "STOPPED")


# --- the process itself


def test_taken_port_ends_the_process_with_an_error():
    with socket.create_server(("127.0.23.3", 29999)):
        process = Process("ur5e", "--host", "127.0.23.3")
        _, errors = process.popen.communicate(timeout=30)
    assert process.popen.returncode == 1
    assert "127.0.23.3:29999" in errors and "in use" in errors


def test_standard_input_controls_and_terminate_is_clean(robot):
    assert "frozen" in robot.say("faults")["faults"]
    assert "protective_stop" in robot.say("inject nonsense")["error"]
    assert "expected" in robot.say("dance")["error"]
    assert robot.say("inject speed_scaling 0.5")["value"] == 0.5
    assert robot.say("status")["speed_scaling"] == 0.5
    robot.say("inject speed_scaling 1")
    process = Process("ur5e", "--host", "127.0.23.4")
    assert process.popen.stdout.readline().startswith("ready ur5e ")
    assert process.end(signal.SIGTERM) == 0


def test_without_a_device_the_usage_names_them(capfd):
    assert main([]) == 1
    assert main(["--help"]) == 0
    assert "ur5e" in capfd.readouterr().out


def test_unknown_device_lists_the_known():
    process = Process("ur6e")
    _, errors = process.popen.communicate(timeout=30)
    assert process.popen.returncode == 1 and "ur5e" in errors
