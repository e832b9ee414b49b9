from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest
import yaml

from hardware.errors import ConfigError, DeviceError, MissingExtraError
from robostack.launching.description import NodeSpec, ProcessSpec
from robostack.launching.supervisor import (
    Supervisor,
    SupervisorConfig,
    child_environment,
    command_line,
    parameter_text,
)

CHILDREN = {
    "helper_child": """
        import signal, sys, time
        signal.signal(signal.SIGINT, lambda *_: (print("helper ends", flush=True), sys.exit(0)))
        print("starting", flush=True)
        time.sleep(0.2)
        print("ready helper 127.0.0.9", flush=True)
        while True: time.sleep(0.05)
        """,
    "node_child": """
        import os, signal, sys, time
        signal.signal(signal.SIGINT, lambda *_: (print("node ends", flush=True), sys.exit(0)))
        print("node", os.environ["ROS_DOMAIN_ID"], " ".join(sys.argv[1:]), flush=True)
        while True: time.sleep(0.05)
        """,
    "short_child": """
        import time
        time.sleep(0.3)
        print("short is done", flush=True)
        raise SystemExit(3)
        """,
    "deaf_child": """
        import signal, time
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        print("deaf", flush=True)
        while True: time.sleep(0.05)
        """,
    "orphan_parent": """
        import sys, time
        from robostack.launching.description import ProcessSpec
        from robostack.launching.supervisor import Supervisor
        supervisor = Supervisor([ProcessSpec("helper", "helper_child", ready_line="ready helper")], lambda *_: None)
        supervisor.start()
        print("child", supervisor.pid("helper"), flush=True)
        while True: time.sleep(0.05)
        """,
}
FAST = SupervisorConfig(domain_id=42, ready_limit_s=10.0, interrupt_s=0.5, terminate_s=0.5)


@pytest.fixture(autouse=True)
def children(tmp_path, monkeypatch):
    import textwrap

    for name, source in CHILDREN.items():
        (tmp_path / f"{name}.py").write_text(textwrap.dedent(source))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))


class Lines:
    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []
        self._new = threading.Condition()

    def __call__(self, name: str, line: str) -> None:
        with self._new:
            self.lines.append((name, line))
            self._new.notify_all()

    def wait_for(self, text: str) -> None:
        with self._new:
            assert self._new.wait_for(lambda: any(text in line for _, line in self.lines), timeout=10.0), self.lines


HELPER = ProcessSpec("helper", "helper_child", ready_line="ready helper")
NODE = NodeSpec("driver", "node_child", {"host": "127.0.0.9"})


def test_nodes_start_after_the_ready_line_and_the_end_of_a_required_node_ends_all():
    lines = Lines()
    supervisor = Supervisor([HELPER, NodeSpec("policy", "short_child"), NODE], lines, FAST)
    statuses = supervisor.run()
    assert supervisor.ended_by == "policy"
    assert statuses == {"helper": 0, "policy": 3, "driver": 0}
    texts = [line for _, line in lines.lines]
    assert texts.index("ready helper 127.0.0.9") < texts.index("short is done")
    assert ("driver", 'node 42 --ros-args -r __node:=driver -p host:="127.0.0.9"') in lines.lines
    assert texts.index("node ends") < texts.index("helper ends")  # what the nodes talk to outlives them


def test_the_end_of_a_node_that_is_not_required_ends_nothing():
    lines = Lines()
    supervisor = Supervisor([NODE, NodeSpec("extra", "short_child", required=False)], lines, FAST)
    thread = threading.Timer(1.0, supervisor.request_stop)
    thread.start()
    assert supervisor.run() == {"driver": 0, "extra": 3}
    assert supervisor.ended_by == ""
    thread.join()


def test_a_child_that_hears_no_signal_is_killed():
    lines = Lines()
    with Supervisor([ProcessSpec("deaf", "deaf_child", ready_line="deaf"), NODE], lines, FAST) as supervisor:
        supervisor.start()
        lines.wait_for("node 42")
        process = supervisor._children["deaf"].process
        assert process.poll() is None
    assert process.returncode == -signal.SIGKILL


def test_a_helper_that_ends_before_it_is_ready_is_an_error_and_leaves_nothing_behind():
    supervisor = Supervisor([HELPER, ProcessSpec("short", "short_child", ready_line="never")], Lines(), FAST)
    with pytest.raises(DeviceError, match="short ended with status 3 before it was ready"):
        supervisor.run()
    assert supervisor._children["helper"].process.returncode == 0


def test_a_helper_that_never_gets_ready_is_an_error():
    config = SupervisorConfig(ready_limit_s=0.5)
    supervisor = Supervisor([ProcessSpec("helper", "helper_child", ready_line="never")], Lines(), config)
    with pytest.raises(DeviceError, match="did not print 'never' within 0.5 s"):
        supervisor.run()


def test_children_do_not_outlive_a_killed_supervisor():
    import subprocess

    parent = subprocess.Popen([sys.executable, "-m", "orphan_parent"], stdout=subprocess.PIPE, text=True)
    child = int(parent.stdout.readline().split()[1])
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 10.0
    while time.monotonic() < deadline and _alive(child):
        time.sleep(0.02)
    assert not _alive(child)


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(")")[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_two_children_of_one_name_and_an_impossible_domain_are_refused():
    with pytest.raises(ConfigError, match="share a name"):
        Supervisor([NODE, NODE], Lines())
    with pytest.raises(ConfigError, match=r"0\.\.232"):
        Supervisor([NODE], Lines(), SupervisorConfig(domain_id=233))


def test_the_environment_has_both_profile_variables_the_ament_index_and_all_the_rest(monkeypatch, tmp_path):
    monkeypatch.setenv("AMENT_PREFIX_PATH", f"/opt/ros/overlay{os.pathsep}{sys.prefix}")
    environment = child_environment(SupervisorConfig(domain_id=7, log_dir=str(tmp_path)))
    assert environment["FASTRTPS_DEFAULT_PROFILES_FILE"] == environment["FASTDDS_DEFAULT_PROFILES_FILE"]
    assert environment["FASTDDS_DEFAULT_PROFILES_FILE"].endswith("loopback.xml")
    assert environment["AMENT_PREFIX_PATH"] == f"{sys.prefix}{os.pathsep}/opt/ros/overlay"
    assert (environment["ROS_DOMAIN_ID"], environment["ROS_LOG_DIR"]) == ("7", str(tmp_path))
    assert set(os.environ) <= set(environment)
    lan = child_environment(SupervisorConfig(lan_address="192.0.2.5"))
    assert lan["ROBOSTACK_LAN_ADDRESS"] == "192.0.2.5"
    assert lan["FASTDDS_DEFAULT_PROFILES_FILE"].endswith("robot_lan.xml")


@pytest.mark.parametrize(
    "value", ["127.0.0.2", "007", "true", "", "a: b", 'say "hi"', True, 3, 0.5, ["a", "1"], [1.0, 2.0]]
)
def test_parameter_values_survive_the_command_line_with_their_type(value):
    text = parameter_text(value)
    assert "\n" not in text
    back = yaml.safe_load(text)
    assert back == value
    assert type(back) is type(value)


def test_the_command_of_a_node_carries_name_namespace_and_remappings():
    item = NodeSpec("driver", "m", {"a.b": 1}, namespace="left", remappings={"joint_states": "states"})
    assert command_line(item)[1:] == [
        *("-m", "m", "--ros-args", "-r", "__node:=driver", "-r", "__ns:=/left"),
        *("-r", "joint_states:=states", "-p", "a.b:=1"),
    ]


def test_without_rclpy_nothing_is_started_and_the_extra_is_named(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    items = [ProcessSpec("helper", "helper_child"), NodeSpec("node", "node_child")]
    supervisor = Supervisor(items, lambda *_: None)
    with pytest.raises(MissingExtraError, match=r"robostack-learning\[ros\]"):
        supervisor.run()
    assert supervisor.statuses() == {}
