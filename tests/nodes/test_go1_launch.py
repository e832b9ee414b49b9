"""The launch file of the Go1 as a whole: virtual robot over UDP, driver node, references in, damping at the end."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from controllers.reference import JointReference
from hardware.go1 import GO1
from hardware.go1.posture import FOLDED
from robostack.nodes.messages import reference_to_message

pytestmark = [pytest.mark.graph, pytest.mark.wire, pytest.mark.slow]

LAUNCH = [sys.executable, "-c", "from robostack.cli.main import main; main()", "launch", "go1"]


def _host() -> str:
    return f"127.0.{random.randint(10, 250)}.{random.randint(2, 250)}"


def _status(device) -> dict[str, object]:
    device.stdin.write("status\n")
    device.stdin.flush()
    return json.loads(device.stdout.readline())


@pytest.fixture
def device():
    """A virtual Go1 in its own process, lying on the ground."""
    host = _host()
    command = [sys.executable, "-m", "sim.devices.run", "go1", "--host", host]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline().startswith("ready go1")
        process.host = host
        yield process
    finally:
        process.terminate()
        process.wait(10.0)


def test_launch_follows_references_and_ends_in_damping(observer, ros_environment, device, tmp_path):
    report = tmp_path / "report.json"
    arguments = ["--host", device.host, "--report-path", str(report)]
    arguments += ["--ros.domain-id", ros_environment["ROS_DOMAIN_ID"]]
    launch = subprocess.Popen(
        LAUNCH + arguments, env=ros_environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        observer.until(lambda: observer.states and observer.commands.get_subscription_count() > 0, 30.0)
        observer.until(lambda: observer.says("holds its pose"))
        assert _status(device)["height"] < 0.12  # launching does not make it stand
        start = np.array(observer.states[-1].position)[list(map(observer.states[-1].name.index, GO1.joint_names))]
        begin_s, counted = time.monotonic(), len(observer.states)

        def stand_up() -> None:
            """By way of the folded pose, a second each."""
            passed_s = time.monotonic() - begin_s
            first, second = np.clip([passed_s, passed_s - 1.0], 0.0, 1.0)
            target = start + first * (FOLDED - start) + second * (GO1.default_position - FOLDED)
            reference = JointReference("position", np.clip(target, GO1.position_min, GO1.position_max), 0.1)
            stamp = observer.get_clock().now().to_msg()
            observer.commands.publish(reference_to_message(reference, GO1, stamp, "test"))

        observer.until(lambda: time.monotonic() - begin_s > 3.0, each=stand_up)
        rate_hz = (len(observer.states) - counted) / (time.monotonic() - begin_s)
        status = _status(device)
        assert status["height"] == pytest.approx(0.34, abs=0.04), (observer.status[-1:], status)
        assert not status["damped"]
        assert rate_hz == pytest.approx(100.0, rel=0.3)
        observer.until(lambda: observer.imu)  # a topic of its own, which may be found later
        turn = observer.imu[-1].orientation
        assert 2.0 * (turn.x**2 + turn.y**2) < 0.02  # upright: 1 - cos of the tilt
        launch.send_signal(signal.SIGINT)
        output, _ = launch.communicate(timeout=20.0)
        assert launch.returncode in (0, 130), output
        status = _status(device)
        assert status["damped"], status
        assert status["battery_off"] == status["bad_commands"] == 0
        assert json.loads(report.read_text())["loop"]["faults"] == [], output
    finally:
        if launch.poll() is None:
            launch.kill()
            launch.wait(5.0)


def test_launch_with_its_own_virtual_robot_comes_up_and_goes_down(observer, ros_environment):
    arguments = ["--virtual", "--host", _host(), "--ros.domain-id", ros_environment["ROS_DOMAIN_ID"]]
    launch = subprocess.Popen(
        LAUNCH + arguments, env=ros_environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        observer.until(lambda: len(observer.states) > 50, 30.0)
        assert set(observer.states[-1].name) == set(GO1.joint_names)
        launch.send_signal(signal.SIGINT)
        output, _ = launch.communicate(timeout=20.0)
        assert launch.returncode in (0, 130), output
        assert "Traceback" not in output
    finally:
        if launch.poll() is None:
            launch.kill()
            launch.wait(5.0)
