"""Two bare nodes that send the messages of the driver and the policy to and fro, as a yardstick for both.

`role:=ping` publishes a JointState at a rate and measures the time to the answer; `role:=pong` answers each one with
the same JointTrajectory. Nothing is computed in between.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from builtin_interfaces.msg import Duration
from sensor_msgs.msg import JointState
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from robostack.files import write_text
from robostack.nodes.latency import AnswerLatency
from robostack.nodes.lifecycle import ManagedNode
from robostack.nodes.messages import stamp_from_ns, stamp_to_ns
from robostack.nodes.parameters import configuration_from, refuse_unknown
from robostack.nodes.qos import qos
from robostack.nodes.run_node import run_node


@dataclass(frozen=True)
class PingPongConfig:
    """Parameters of both nodes."""

    role: Literal["ping", "pong"] = "ping"
    """Which of the two this is."""
    joints: int = 6
    """Number of joints in the messages."""
    rate_hz: float = 100.0
    """Rate of the ping [Hz]."""
    duration_s: float = 10.0
    """Time of measuring, from the first answer on [s]."""
    report_path: str = ""
    """File for the JSON summary of the ping; empty: none."""


class PingPongNode(ManagedNode):
    """See the module.

    Args:
        overrides: parameter values, for tests.
    """

    def __init__(self, overrides: Sequence[Any] = ()) -> None:
        super().__init__("ping_pong", overrides)
        self.config = configuration_from(self, PingPongConfig)
        refuse_unknown(self)
        self.latency = AnswerLatency()
        self._began_s: float | None = None
        names = [f"joint_{index}" for index in range(self.config.joints)]
        zeros = [0.0] * self.config.joints
        self._state = JointState(name=names, position=zeros, velocity=zeros, effort=zeros)
        point = JointTrajectoryPoint(velocities=zeros, time_from_start=Duration(nanosec=10_000_000))
        self._command = JointTrajectory(joint_names=names, points=[point])

    def configure(self) -> None:
        """Open one end."""
        if self.config.role == "pong":
            self._answers = self.create_publisher(JointTrajectory, "pong", qos("command", "publisher"))
            self.create_subscription(JointState, "ping", self._on_ping, qos("state", "subscription"))
            return
        self._pings = self.create_publisher(JointState, "ping", qos("state", "publisher"))
        self.create_subscription(JointTrajectory, "pong", self._on_pong, qos("command", "subscription"))
        self.create_timer(1.0 / self.config.rate_hz, self._ping)

    def deactivate(self) -> None:
        """Write the summary."""
        if self.config.role == "ping" and self.config.report_path and self._began_s is not None:
            write_text(Path(self.config.report_path), json.dumps(self.latency.summary()))
            self._began_s = None

    def _ping(self) -> None:
        now_s = time.monotonic()
        if self._began_s is not None and now_s - self._began_s > self.config.duration_s:
            self.finish(0)
            return
        stamp_ns = time.monotonic_ns()
        self._state.header.stamp = stamp_from_ns(stamp_ns)
        self.latency.sent(stamp_ns, time.monotonic())
        self._pings.publish(self._state)

    def _on_ping(self, message: JointState) -> None:
        self._command.header.stamp = message.header.stamp
        self._answers.publish(self._command)

    def _on_pong(self, message: JointTrajectory) -> None:
        now_s = time.monotonic()
        self.latency.answered(stamp_to_ns(message.header.stamp), now_s)
        if self._began_s is None:
            self._began_s = now_s


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one of the two nodes with the parameters given by `--ros-args`."""
    return run_node(PingPongNode, arguments)


if __name__ == "__main__":
    sys.exit(main())
