"""`robostack stop` and `robostack reset` beside a running driver, and beside none."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

pytestmark = pytest.mark.graph


def verb(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "robostack", *arguments, "--ros.domain-id", environment["ROS_DOMAIN_ID"]]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60.0)


def test_a_robot_is_stopped_and_made_ready_from_another_terminal(observer, start_driver, ros_environment):
    _, log = start_driver()
    observer.until(lambda: observer.says("no commands yet"))
    stopped = verb(ros_environment, "stop", "--json")
    assert stopped.returncode == 0, stopped.stderr
    assert json.loads(stopped.stdout) == {
        "service": "stop",
        "namespace": "",
        "answer": "fake is stopped; call reset to go on",
    }
    observer.until(lambda: observer.says("stopped by the service stop"))
    assert "stop" in log.read_text()
    ready = verb(ros_environment, "reset")
    assert ready.returncode == 0 and "fake holds its pose" in ready.stdout + ready.stderr
    observer.until(lambda: observer.says("no commands yet"))


def test_where_nobody_answers_it_says_what_to_look_at(ros_environment):
    found = verb(ros_environment, "stop", "--namespace", "left", "--limit-s", "0.5")
    assert found.returncode == 1
    words = " ".join(found.stderr.split())
    assert "/left/driver/stop was not found within 0.5 s" in words and "emergency stop" in words
    assert "Traceback" not in found.stderr
