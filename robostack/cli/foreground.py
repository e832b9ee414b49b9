"""Runs a node in this process, which owns the terminal, while a supervisor runs the others beside it."""

from __future__ import annotations

import os
import shutil
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hardware.errors import MissingExtraError
from robostack.cli.output import print_error
from robostack.launching.description import NodeSpec, ProcessSpec
from robostack.launching.supervisor import Supervisor, SupervisorConfig, child_environment

if TYPE_CHECKING:
    from robostack.nodes.lifecycle import ManagedNode


class StatusLine:
    """One line at the bottom of the terminal that is written anew; other lines go above it. From any thread."""

    def __init__(self) -> None:
        self._line = ""
        self._lock = threading.Lock()
        self._drawn = sys.stderr.isatty()

    def say(self, line: str) -> None:
        """Write a line that stays."""
        with self._lock:
            sys.stderr.write(f"\r\x1b[K{line}\n{self._line}" if self._drawn else f"{line}\n")
            sys.stderr.flush()

    def show(self, line: str) -> None:
        """Replace the status; nothing where standard error is no terminal."""
        if not self._drawn:
            return
        with self._lock:
            self._line = line[: shutil.get_terminal_size().columns - 1]
            sys.stderr.write(f"\r\x1b[K{self._line}")
            sys.stderr.flush()

    def close(self) -> None:
        """Leave the cursor below."""
        if self._line:
            self._line = ""
            self.say("")


def status_text(status: Mapping[str, Any]) -> str:
    """The status of a teleoperation node as one line."""
    parts = [str(status["robot"]), "STOPPED" if status["stopped"] else "enabled" if status["enabled"] else "holds"]
    if status["episodes"]:
        number = f"{min(status['episode'] + 1, status['episodes'])}/{status['episodes']}"
        seconds = f" {status['episode_time_s']:.0f} s" if status["recording"] else ""
        parts.append(f"{status['phase']} {number}{seconds}")
    age_s = status["state_age_s"]
    parts.append("no measurements" if age_s is None else f"state {age_s * 1e3:.0f} ms")
    parts.append(f"{status['rate_hz']:.0f} Hz, p99 late {status['lateness_ms']:.1f} ms")
    parts.append(str(status["message"] or status["safety"]))
    return " | ".join(part for part in parts if part)


def run_with_children(
    items: Sequence[ProcessSpec | NodeSpec],
    create: Callable[[Callable[[], str]], ManagedNode],
    ros: SupervisorConfig,
    namespace: str,
    say: Callable[[str], None],
) -> int:
    """Start `items`, run one node here until it ends, end the others.

    Args:
        items: what a launch description lists.
        create: makes the node of this process; gets a function that names a process that has ended, "" while all run.
        ros: where the children and this process find each other.
        namespace: ROS namespace of the node.
        say: takes the lines that the children print.

    Returns:
        The exit status: the node's, or 1 where another process failed.

    Raises:
        MissingExtraError: there is no rclpy.
        DeviceError: a helper process did not get ready.
    """
    os.environ.update(child_environment(ros))
    try:
        from robostack.nodes.run_node import run_node
    except ImportError as error:
        raise MissingExtraError("rclpy", "ros", "running a robot") from error
    supervisor = Supervisor(items, lambda name, line: say(f"[{name}] {line}"), ros)

    def ended() -> str:
        return supervisor.ended_by or "a process" if supervisor.ended() else ""

    arguments = ["robostack", "--ros-args", *(["-r", f"__ns:=/{namespace.strip('/')}"] if namespace else [])]
    with supervisor:
        supervisor.start()
        status = run_node(lambda: create(ended), arguments)
    for name, code in supervisor.statuses().items():
        if code != 0:
            print_error(f"{name} ended with status {code}")
            status = status or 1
    return status
