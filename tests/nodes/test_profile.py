from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest

from hardware.errors import UnknownNameError
from robostack.nodes.profile import (
    PROFILE_VARIABLES,
    profile_environment,
    profile_in_use,
    profile_path,
    udp_addresses,
)

ADDRESSES = """
import rclpy
from robostack.nodes.profile import udp_addresses
rclpy.init()
node = rclpy.create_node("probe")
print(sorted(set(udp_addresses())))
"""


def test_both_variables_name_the_same_existing_file():
    environment = profile_environment()
    assert {environment[name] for name in PROFILE_VARIABLES} == {str(profile_path("loopback"))}
    assert "robot_lan" in profile_environment("192.0.2.5")[PROFILE_VARIABLES[0]]
    with pytest.raises(UnknownNameError, match="robot_lan"):
        profile_path("robot_wan")


def test_a_missing_file_and_a_profile_that_was_not_applied_are_told_apart():
    environment = profile_environment()
    assert profile_in_use(environment, ["127.0.0.1"]) == ""
    assert "every network interface" in profile_in_use(environment, ["127.0.0.1", "0.0.0.0"])
    assert "does not exist" in profile_in_use({PROFILE_VARIABLES[1]: "/no/such.xml"}, [])
    assert profile_in_use({}, ["0.0.0.0"]) == ""


def test_own_sockets_are_seen_by_their_address():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
        own.bind(("127.0.0.77", 0))
        assert "127.0.0.77" in udp_addresses()
    assert "127.0.0.77" not in udp_addresses()


@pytest.mark.graph
def test_with_the_profile_every_socket_of_a_node_is_on_loopback(ros_environment):
    run = subprocess.run(
        [sys.executable, "-c", ADDRESSES], env=ros_environment, capture_output=True, text=True, timeout=30, check=True
    )
    assert run.stdout.strip() == "['127.0.0.1', '239.255.0.1']"


@pytest.mark.graph
def test_a_node_refuses_to_run_when_the_profile_is_not_applied(ros_environment, tmp_path):
    profile = tmp_path / "damaged.xml"
    profile.write_text("<profiles><participant></profiles>")
    environment = dict(os.environ) | {name: str(profile) for name in PROFILE_VARIABLES}
    run = subprocess.run(
        [sys.executable, "-m", "robostack.nodes.policy_node"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert run.returncode == 1
    assert "was not applied" in run.stderr
