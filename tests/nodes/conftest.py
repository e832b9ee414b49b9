"""Every test that starts nodes gets a domain of its own, loopback only, with ROS's field checks on."""

from __future__ import annotations

import os
import random

import pytest

pytest.importorskip("rclpy", reason="needs the extra 'ros'")

from robostack.nodes.profile import profile_environment

os.environ["ROS_PYTHON_CHECK_FIELDS"] = "1"  # read when a message module is first imported


@pytest.fixture
def ros_environment(monkeypatch, tmp_path):
    """Environment for nodes of this test, also set for this process."""
    environment = profile_environment() | {
        "ROS_DOMAIN_ID": str(random.SystemRandom().randint(1, 100)),
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
