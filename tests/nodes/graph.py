"""Starts nodes as processes and looks at them through ROS, without ever sleeping for a fixed time."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from sensor_msgs.msg import Imu, JointState
from std_msgs.msg import String
from trajectory_msgs.msg import JointTrajectory

from robostack.nodes.qos import qos

DISCOVERY_S = 10.0
FOLDER = Path(__file__).parent


class Process:
    """One node, and what it printed."""

    def __init__(self, module: str, environment: dict[str, str], name: str = "", **parameters: object) -> None:
        command = [sys.executable, "-m", module, "--ros-args"]
        if name:
            command += ["-r", f"__node:={name}"]
        for key, value in parameters.items():
            command += ["-p", f"{key.replace('__', '.')}:={json.dumps(value)}"]
        path = os.pathsep.join([str(FOLDER), environment.get("PYTHONPATH", "")])
        self.process = subprocess.Popen(
            command,
            env=environment | {"PYTHONPATH": path},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.lines: list[str] = []
        self._new = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        for line in self.process.stdout or ():
            with self._new:
                self.lines.append(line)
                self._new.notify_all()

    @property
    def output(self) -> str:
        return "".join(self.lines)

    def wait_for(self, text: str, limit_s: float = DISCOVERY_S) -> None:
        with self._new:
            assert self._new.wait_for(lambda: text in self.output, limit_s), f"no '{text}' in:\n{self.output}"

    def say(self, line: str) -> None:
        """Write a line to its standard input."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()

    def end(self, number: int = signal.SIGINT) -> tuple[int, float]:
        """Exit status, and the time it took [s]."""
        began_s = time.monotonic()
        self.process.send_signal(number)
        return self.wait(), time.monotonic() - began_s

    def wait(self, limit_s: float = 20.0) -> int:
        status = self.process.wait(limit_s)
        self._reader.join(2.0)
        return status

    def kill(self) -> None:
        """As a power cut would."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(5.0)

    def clear(self) -> None:
        """End it in order if possible: a killed process leaves its shared memory behind."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
            try:
                self.process.wait(5.0)
            except subprocess.TimeoutExpired:
                self.kill()


class Observer(Node):
    """Keeps what the nodes under test publish, and commands the driver."""

    def __init__(self) -> None:
        super().__init__("observer")
        self.states: list[JointState] = []
        self.imu: list[Imu] = []
        self.status: list[tuple[int, str, dict[str, str]]] = []
        self.events: list[dict[str, object]] = []
        self.specs: list[dict[str, object]] = []
        self.create_subscription(JointState, "joint_states", self.states.append, qos("state", "subscription"))
        self.create_subscription(Imu, "imu/data", self.imu.append, qos("state", "subscription"))
        self.create_subscription(DiagnosticArray, "diagnostics", self._on_status, qos("status", "subscription"))
        self.create_subscription(String, "episode_events", self._on_event, qos("events", "subscription"))
        self.create_subscription(String, "robot_spec", self._on_spec, qos("description", "subscription"))
        self.commands = self.create_publisher(JointTrajectory, "joint_trajectory", qos("command", "publisher"))
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self)

    def _on_status(self, message: DiagnosticArray) -> None:
        for status in message.status:
            values = {value.key: value.value for value in status.values}
            self.status.append((status.level[0], status.message, values))

    def _on_event(self, message: String) -> None:
        self.events.append(json.loads(message.data))

    def _on_spec(self, message: String) -> None:
        self.specs.append(json.loads(message.data))

    def until(
        self, condition: Callable[[], object], limit_s: float = DISCOVERY_S, each: Callable[[], None] | None = None
    ) -> None:
        """Serve callbacks, and call `each` every 20 ms, until `condition` holds."""
        deadline_s, next_s = time.monotonic() + limit_s, 0.0
        while not condition():
            now_s = time.monotonic()
            assert now_s < deadline_s, f"not within {limit_s} s; last diagnostics: {self.status[-1:]}"
            if each is not None and now_s >= next_s:
                each()
                next_s = now_s + 0.02
            self._executor.spin_once(timeout_sec=0.01)

    def says(self, text: str) -> bool:
        """Whether the newest diagnostics carry `text`."""
        return bool(self.status) and text in self.status[-1][1]

    def call(self, kind, name: str, request):
        client = self.create_client(kind, name)
        self.until(client.service_is_ready)
        future = client.call_async(request)
        self.until(future.done)
        self.destroy_client(client)
        return future.result()

    def close(self) -> None:
        self._executor.remove_node(self)
        self.destroy_node()


def position_of(message: JointState) -> list[float]:
    order = sorted(range(len(message.name)), key=lambda index: message.name[index])
    return [message.position[index] for index in order]
