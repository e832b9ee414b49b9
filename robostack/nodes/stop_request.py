"""Asks a driver node for the robot's own stop, at once and until it says that it has; never waits."""

from __future__ import annotations

from typing import Any

from rclpy.node import Node
from std_srvs.srv import Trigger

_AGAIN_S = 0.1
"""Time between two requests [s]."""


class StopRequest:
    """The driver's services `stop` and `reset`, relative to the node's namespace.

    Args:
        node: what this belongs to.
    """

    def __init__(self, node: Node) -> None:
        self._stopper = node.create_client(Trigger, "driver/stop")
        self._resetter = node.create_client(Trigger, "driver/reset")
        self.entities: list[tuple[Any, Any]] = [
            (node.destroy_client, self._stopper),
            (node.destroy_client, self._resetter),
        ]
        """How to close each client."""
        self._since_s: float | None = None
        self._asked_s = float("-inf")
        self._answer: Any = None

    @property
    def pending(self) -> bool:
        """Whether a stop was asked for that the driver has not confirmed."""
        return self._since_s is not None

    def stop(self, now_s: float) -> None:
        """Ask for a stop."""
        if self._since_s is None:
            self._since_s, self._asked_s = now_s, float("-inf")
        self.serve(now_s)

    def serve(self, now_s: float) -> None:
        """Call every period: asks again for a stop that the driver has not confirmed."""
        if self._since_s is None:
            return
        confirmed = self._answer is not None and self._answer.done() and self._answer.exception() is None
        if confirmed:
            self._since_s = self._answer = None
        elif now_s - self._asked_s >= _AGAIN_S:
            self._asked_s = now_s
            self._answer = self._stopper.call_async(Trigger.Request())

    def reset(self) -> None:
        """Ask the driver to make the robot ready again; a person has seen to the cause."""
        self._since_s = self._answer = None
        self._resetter.call_async(Trigger.Request())
