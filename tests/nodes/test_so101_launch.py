"""`robostack launch so101 --virtual` as a whole: state at its rate, a reference followed, Ctrl-C seen at the servos."""

from __future__ import annotations

import json
import signal
import subprocess
import sys

import numpy as np
import pytest
from graph import position_of
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from hardware.errors import ConfigError
from hardware.so101 import SO101
from robostack.launching.finder import load_launch, resolve_arguments

pytestmark = [pytest.mark.graph, pytest.mark.wire]


def test_the_virtual_arm_comes_first_and_the_driver_goes_to_its_port():
    description = load_launch("so101")
    helper, driver = description.describe(resolve_arguments(description, {"virtual": "true", "port": "bus"}))
    assert helper.arguments == ("so101", "--port", "bus", "--seed", "0", "--scene", "empty")
    cube = description.describe(resolve_arguments(description, {"virtual": "true", "virtual_scene": "pick-cube"}))[0]
    assert cube.arguments[-2:] == ("--scene", "pick-cube")
    assert driver.parameters["driver.port"] == "bus"
    assert driver.parameters["driver.servos"] == "feetech"
    with pytest.raises(ConfigError, match=r"address of the robot \(port\)"):
        description.describe(resolve_arguments(description, {}))


@pytest.fixture
def arm(tmp_path):
    """A virtual arm in a process of its own, which outlives the launch: it tells what the servos do at the end."""
    command = [sys.executable, "-m", "sim.devices.run", "so101", "--port", str(tmp_path / "bus"), "--preset", "nominal"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline().startswith("ready so101")
    yield process
    process.terminate()
    process.wait(10.0)


def status_of(arm) -> dict[str, object]:
    arm.stdin.write("status\n")
    arm.stdin.flush()
    return json.loads(arm.stdout.readline())


def launched(*arguments: str, domain_id: int) -> subprocess.Popen[str]:
    code = "from robostack.cli.main import main; main()"
    command = [sys.executable, "-c", code, "launch", "so101", *arguments, "--ros.domain-id", str(domain_id)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def sender(observer, joint: str, speed: float):
    """Sends velocities of one joint."""

    def send() -> None:
        message = JointTrajectory(joint_names=list(SO101.joint_names))
        message.header.stamp = observer.get_clock().now().to_msg()
        message.header.frame_id = "test"
        point = JointTrajectoryPoint(velocities=[speed * (name == joint) for name in SO101.joint_names])
        point.time_from_start.nanosec = 200_000_000
        message.points = [point]
        observer.commands.publish(message)

    return send


def test_follows_a_reference_and_ctrl_c_leaves_the_arm_held(observer, arm, domain_id, tmp_path):
    launch = launched("--port", str(tmp_path / "bus"), domain_id=domain_id)
    try:
        observer.until(lambda: observer.says("holds its pose"), 30.0)
        count = len(observer.states)
        began = observer.get_clock().now().nanoseconds
        observer.until(lambda: len(observer.states) >= count + 100)
        rate_hz = 100 / (observer.get_clock().now().nanoseconds - began) * 1e9
        assert 50.0 < rate_hz < 130.0
        start = np.array(status_of(arm)["position"])
        observer.until(
            lambda: status_of(arm)["position"][0] > start[0] + 0.3, each=sender(observer, "shoulder_pan", 0.5)
        )
        order = sorted(range(6), key=lambda index: SO101.joint_names[index])
        np.testing.assert_allclose(
            position_of(observer.states[-1]), np.array(status_of(arm)["position"])[order], atol=0.1
        )
        launch.send_signal(signal.SIGINT)
        output, _ = launch.communicate(timeout=30.0)
        assert launch.returncode == 0, output
        status = status_of(arm)
        assert status["power"] == [0.6] * 6
        assert np.abs(status["velocity"]).max() < 0.05
    finally:
        launch.kill()


def test_stop_and_reset_go_down_to_the_servos_and_back(observer, arm, start, tmp_path):
    driver = start("driver_node", robot="so101", driver__port=str(tmp_path / "bus"), diagnostics_rate_hz=10.0)
    driver.wait_for("ready: so101", limit_s=20.0)
    assert status_of(arm)["power"] == [1.0] * 6
    assert observer.call(Trigger, "driver/stop", Trigger.Request()).success
    observer.until(lambda: status_of(arm)["power"] == [0.6] * 6)
    response = observer.call(Trigger, "driver/reset", Trigger.Request())
    assert response.success, response.message
    observer.until(lambda: observer.says("holds its pose"))
    assert status_of(arm)["power"] == [1.0] * 6
    assert driver.end()[0] == 0, driver.output


def test_the_launch_brings_its_own_virtual_arm_along(observer, domain_id, tmp_path):
    launch = launched("--virtual", "--port", str(tmp_path / "own"), domain_id=domain_id)
    try:
        observer.until(lambda: observer.says("holds its pose"), 30.0)
        assert (tmp_path / "own").is_symlink()
        launch.send_signal(signal.SIGINT)
        output, _ = launch.communicate(timeout=30.0)
        assert launch.returncode == 0, output
        assert not (tmp_path / "own").is_symlink()
    finally:
        launch.kill()
