"""Every test that starts nodes gets a domain of its own, loopback only, with ROS's field checks on."""

from __future__ import annotations

import os
import random
import socket

import pytest

pytest.importorskip("rclpy", reason="needs the extra 'ros'")

from robostack.nodes.profile import profile_environment

os.environ["ROS_PYTHON_CHECK_FIELDS"] = "1"  # read when a message module is first imported


@pytest.fixture
def domain_id():
    """A random domain that no other test on this machine has now; above 100 its ports are the system's to give away."""
    candidates = list(range(1, 101))
    random.SystemRandom().shuffle(candidates)
    with socket.socket(socket.AF_UNIX) as lock:
        for candidate in candidates:
            try:
                lock.bind(f"\0robostack-test-domain-{candidate}")  # freed by the system, whatever happens to us
            except OSError:
                continue
            yield candidate
            return
    pytest.fail("no free ROS domain")


@pytest.fixture
def ros_environment(monkeypatch, tmp_path, domain_id):
    """Environment for nodes of this test, also set for this process."""
    environment = profile_environment() | {
        "ROS_DOMAIN_ID": str(domain_id),
        "ROS_PYTHON_CHECK_FIELDS": "1",
        "ROS_LOG_DIR": str(tmp_path / "log"),
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return dict(os.environ)


@pytest.fixture
def context(ros_environment):
    """An initialised rclpy, shut down afterwards."""
    import rclpy

    rclpy.init(args=["test"])
    yield rclpy
    rclpy.try_shutdown()


@pytest.fixture
def observer(context):
    """A node of the test's own process that sees and commands the others."""
    from graph import Observer

    node = Observer()
    yield node
    node.close()


@pytest.fixture
def start(ros_environment):
    """Starts nodes as processes; what still runs at the end is ended."""
    from graph import Process

    started: list[Process] = []

    def begin(module: str, name: str = "", **parameters: object) -> Process:
        path = module if module.startswith("graph_") else f"robostack.nodes.{module}"
        started.append(Process(path, ros_environment, name, **parameters))
        return started[-1]

    yield begin
    for process in started:
        process.clear()


@pytest.fixture
def start_driver(start, tmp_path):
    """The driver node with the fake robot, ready; and the file that tells what happened to the robot."""

    def begin(**parameters: object):
        log = tmp_path / "calls.jsonl"
        defaults = {"robot": "graph_robot:ROBOT", "driver__log": str(log), "diagnostics_rate_hz": 10.0}
        driver = start("driver_node", **(defaults | parameters))
        return driver, log

    return begin
