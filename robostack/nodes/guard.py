"""Whatever goes wrong in a step of a policy ends its node in order."""

from __future__ import annotations

import traceback
from types import TracebackType
from typing import Any, Protocol

from hardware.errors import RobostackError
from robostack.runner import EpisodeRunner


class Guarded(Protocol):
    """A node that acts by a policy."""

    def get_logger(self) -> Any:
        """As rclpy's."""
        ...

    def broken(self, error: BaseException, runner: EpisodeRunner) -> None:
        """The robot holds, and the node ends with the reason."""
        ...


class Guard:
    """Whatever goes wrong inside ends the node in order, with the robot at rest; a defect also shows its traceback."""

    def __init__(self, node: Guarded, runner: EpisodeRunner) -> None:
        self._node, self._runner = node, runner

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if not isinstance(error, Exception):
            return False
        if not isinstance(error, RobostackError | OSError):
            self._node.get_logger().error("".join(traceback.format_exception(kind, error, trace)))
        self._node.broken(error, self._runner)
        return True
