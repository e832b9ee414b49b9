"""A person beside a policy: whatever the policy is doing, the device's emergency stop stops the robot until RESET."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any

from rclpy.node import Node

from hardware.teleoperator import OperatorDisplay
from robostack.nodes.stop_request import StopRequest
from robostack.tasks.task import Task
from robostack.teleoperation.device_operator import DeviceOperator, open_operator

SHOWN_S = 0.2
"""Time between two looks at how things are, for devices that show it [s]."""


class Person:
    """The device of somebody who may take over from a policy, and its stop.

    Args:
        node: what this belongs to.
        operator: the device, connected; closed with the entities. None: nobody is there, and nothing is stopped.
    """

    def __init__(self, node: Node, operator: DeviceOperator | None = None) -> None:
        self.operator = operator
        self._request = StopRequest(node) if operator is not None else None
        self._was_stopped, self._shown_s = False, float("-inf")
        self.entities: list[tuple[Any, Any]] = []
        """How to close each part."""
        if operator is not None and self._request is not None:
            self.entities = [(DeviceOperator.close, operator), *self._request.entities]

    @property
    def stopped(self) -> bool:
        """Whether the person stopped the robot and has not said RESET since."""
        return self.operator is not None and self.operator.stopped

    def attend(self, now_s: float) -> None:
        """Call often, also between episodes: listens, and passes STOP and RESET on to the driver."""
        if self.operator is None or self._request is None:
            return
        self.operator.listen()
        if self.stopped and not self._was_stopped:
            self._request.stop(now_s)
        elif self._was_stopped and not self.stopped:
            self._request.reset()
        self._request.serve(now_s)
        self._was_stopped = self.stopped

    def show(self, now_s: float, status: Callable[[], Mapping[str, object]]) -> None:
        """Call often: shows the person how things are, now and then, where the device can.

        Args:
            now_s: monotonic time [s].
            status: see `hardware.teleoperator.OperatorDisplay`; asked for only when it is shown.
        """
        device = None if self.operator is None else self.operator.device
        if isinstance(device, OperatorDisplay) and now_s - self._shown_s >= SHOWN_S:
            self._shown_s = now_s
            device.show_status(status())


def person_at(node: Node, name: str, task: Task) -> Person:
    """The person at the device called `name`; nobody for "".

    Raises:
        UnknownNameError: there is no such device.
        DeviceError: it is not there.
        ConfigError: it cannot move what the task's actions move.
    """
    if not name:
        return Person(node)
    operator = open_operator(name, task)
    if url := getattr(operator.device, "url", ""):
        sys.stderr.write(f"open {url}\n")  # it holds a key, which ROS's log would publish
        sys.stderr.flush()
    return Person(node, operator)
