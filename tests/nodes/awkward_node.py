"""A node that fails in the way its parameter says; run as a process by the tests."""

from __future__ import annotations

import sys

from hardware.errors import ConfigError
from robostack.nodes.lifecycle import ManagedNode
from robostack.nodes.run_node import run_node


class AwkwardNode(ManagedNode):
    def __init__(self) -> None:
        super().__init__("awkward")
        self.kind = str(self.declare_parameter("kind", "none").value)

    def configure(self) -> None:
        if self.kind == "expected":
            raise ConfigError("the value is wrong; use another")
        if self.kind == "defect":
            raise KeyError("a defect")
        self.create_timer(0.05, self._tick)

    def activate(self) -> None:
        if self.kind == "activate":
            raise ConfigError("cannot begin")
        self._say("active")

    def deactivate(self) -> None:
        self._say("deactivated")

    def cleanup(self) -> None:
        self._say("cleaned up")

    def _tick(self) -> None:
        if self.kind == "callback" and self.active:
            raise KeyError("a defect in a callback")
        if self.kind == "finish":
            self.finish(5)

    def _say(self, text: str) -> None:
        self.get_logger().info(text)


if __name__ == "__main__":
    sys.exit(run_node(AwkwardNode))
