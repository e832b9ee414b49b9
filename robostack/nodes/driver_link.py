"""The other end of a driver node: its measurements, its condition, its command topic and its services, for one node."""

from __future__ import annotations

import time
import uuid
from typing import Any

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.node import Node
from std_msgs.msg import String

from controllers.reference import BaseReference, JointReference
from hardware.errors import ContractMismatchError, ProtocolError
from hardware.records import RobotState
from hardware.spec import RobotSpec
from robostack.nodes.clock_bridge import ClockBridge
from robostack.nodes.qos import qos
from robostack.nodes.robot_link import open_link
from robostack.nodes.same_robot import require_same_spec
from robostack.nodes.stop_request import StopRequest

_HOLDS = 3
"""How often "hold" is said: a single message may be lost, and then the driver would wait for more, and stop."""


class DriverLink:
    """Everything is relative to the node's namespace, as in the driver node.

    Args:
        node: what this belongs to.
        spec: the robot that is expected.
        state_age_max_s: a measurement older than this is as good as none [s].
    """

    def __init__(self, node: Node, spec: RobotSpec, state_age_max_s: float) -> None:
        self.node, self.spec, self.state_age_max_s = node, spec, state_age_max_s
        self.sender = f"{node.get_name()}-{uuid.uuid4().hex[:8]}"
        self.bridge = ClockBridge(node.get_clock())
        self.state: RobotState | None = None
        """Newest measurement."""
        self.text = ""
        """The driver's own words on how it is."""
        self.mismatch = ""
        """Why this is another robot than expected; final."""
        self._level: bytes | None = None
        self._stamp = Time()
        self._same_robot = False
        self._holds = 0
        self._topics = open_link(node, spec, self.sender, self.bridge, self)
        self._stop = StopRequest(node)
        status = node.create_subscription(
            DiagnosticArray, "diagnostics", self._on_diagnostics, qos("status", "subscription")
        )
        description = node.create_subscription(String, "robot_spec", self._on_spec, qos("description", "subscription"))
        self._entities: list[tuple[Any, Any]] = [
            *self._topics.entities,
            (node.destroy_subscription, status),
            (node.destroy_subscription, description),
            *self._stop.entities,
        ]

    def close(self) -> None:
        """Take everything back."""
        for destroy, entity in reversed(self._entities):
            destroy(entity)
        self._entities.clear()

    @property
    def stopped(self) -> bool:
        """Whether the driver says that the robot is stopped until a reset."""
        return self._level == DiagnosticStatus.ERROR

    @property
    def age_s(self) -> float | None:
        """Age of the newest measurement [s]; None without one."""
        return None if self.state is None else time.monotonic() - float(self.state.capture_time_s)

    def obstacle(self) -> str:
        """Why the robot cannot be moved now; "" if it can."""
        age_s = self.age_s
        if self.mismatch or not self._same_robot:
            return self.mismatch or "no driver node yet (topic robot_spec)"
        if age_s is None or age_s > self.state_age_max_s:
            return "no measurements" if age_s is None else f"measurements are {age_s * 1e3:.0f} ms old"
        if self._stop.pending:
            return "it is being stopped"
        if self.stopped:
            return self.text
        if self._level not in (DiagnosticStatus.OK, DiagnosticStatus.WARN):
            return self.text or "no diagnostics of the driver yet"
        return "" if self._topics.commands.get_subscription_count() else "the driver takes no commands"

    def send(self, reference: JointReference | BaseReference) -> None:
        """Command the robot; the command's age counts from the newest measurement, so that it covers the whole way."""
        self._topics.send(reference, self._stamp)
        self._holds = _HOLDS

    def hold(self) -> None:
        """Let the robot come to rest and stay, and others command it. Call it every period: it says so a few times."""
        if not self._holds:
            return
        self._holds -= 1
        self._topics.release(self._stamp)

    def stop(self, now_s: float) -> None:
        """Ask the driver for the robot's own stop, at once and until it says that it has. Never waits."""
        self._stop.stop(now_s)

    def serve(self, now_s: float) -> None:
        """Call every period: asks again for a stop that the driver has not confirmed."""
        self._stop.serve(now_s)

    def reset(self) -> None:
        """Ask the driver to make the robot ready again; a person has seen to the cause."""
        self._stop.reset()

    def on_state(self, state: RobotState, stamp: Time) -> None:
        """A measurement; see `robostack.nodes.robot_link.Listener`."""
        self.state, self._stamp = state, stamp

    def on_nonsense(self, reason: str) -> None:
        """A message that is not of this robot."""
        self.mismatch = reason

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if status.name.endswith(": control loop"):
                self._level, self.text = status.level, status.message

    def _on_spec(self, message: String) -> None:
        try:
            require_same_spec(message.data, self.spec, self.node.get_name())
        except (ContractMismatchError, ProtocolError) as error:
            self.mismatch = str(error)
            return
        self._same_robot, self.mismatch = True, ""
