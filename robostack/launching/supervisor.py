"""Starts what a launch description lists as processes of this machine, watches them, and ends them in order.

It needs no ROS tool, and gives the children what they need from ROS: the Fast DDS profile, the domain, the ament
index and a folder for logs.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from hardware.errors import ConfigError, DeviceError, MissingExtraError
from robostack.launching.description import NodeSpec, ParameterValue, ProcessSpec
from robostack.nodes.profile import profile_environment

Output = Callable[[str, str], None]
"""Called from a thread per child with the child's name and one line of its output."""
_PR_SET_PDEATHSIG = 1
# Looked up here: between fork and exec of a child nothing may be loaded.
_PRCTL = ctypes.CDLL(None).prctl if sys.platform == "linux" else None


@dataclass(frozen=True)
class SupervisorConfig:
    """Where the children run, and how patient the supervisor is."""

    domain_id: int = field(default_factory=lambda: int(os.environ.get("ROS_DOMAIN_ID") or 0))
    """ROS domain, 0 to 232, default the variable ROS_DOMAIN_ID; robots that share a network need different ones."""
    lan_address: str = ""
    """Address of this machine on the robot's network; empty: ROS talks on loopback only."""
    log_dir: str = ""
    """Folder for the log files of ROS; empty: ROS's own choice."""
    ready_limit_s: float = 20.0
    """Time a helper process has to say that it is ready [s]."""
    interrupt_s: float = 5.0
    """Time the children have after SIGINT before SIGTERM follows [s]."""
    terminate_s: float = 3.0
    """Time they have after SIGTERM before SIGKILL follows [s]."""


class Supervisor:
    """Children of one launch. Use as a context manager: leaving it ends whatever still runs.

    Args:
        items: what to start, in order; each `ProcessSpec` is ready before the next item is started.
        on_output: receives every line the children print.
        config: where the children run.
    """

    def __init__(
        self, items: Sequence[ProcessSpec | NodeSpec], on_output: Output, config: SupervisorConfig | None = None
    ) -> None:
        self.items, self.on_output, self.config = tuple(items), on_output, config or SupervisorConfig()
        names = [item.name for item in self.items]
        if len(set(names)) != len(names):
            raise ConfigError(f"two processes of one launch share a name: {', '.join(sorted(names))}")
        if not 0 <= self.config.domain_id <= 232:
            raise ConfigError(f"ROS domain {self.config.domain_id} is outside 0..232")
        self.ended_by = ""
        self._children: dict[str, _Child] = {}
        self._stop = threading.Event()

    def __enter__(self) -> Supervisor:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def run(self) -> dict[str, int]:
        """Start everything, wait until a required child ends or `request_stop` is called, end the rest.

        Returns:
            Exit status by name; negative: the signal that ended it.

        Raises:
            DeviceError: a helper process ended or did not get ready in time.
        """
        try:
            self.start()
            self.wait()
        finally:
            self.stop()
        return self.statuses()

    def statuses(self) -> dict[str, int]:
        """Exit status by name of every child that has ended; negative: the signal that ended it."""
        codes = {name: child.process.poll() for name, child in self._children.items()}
        return {name: code for name, code in codes.items() if code is not None}

    def ended(self) -> bool:
        """Whether a required child has ended, or every child; notes which one in `ended_by`."""
        gone = [child for child in self._children.values() if child.process.poll() is not None]
        for child in gone:
            if getattr(child.item, "required", True):
                self.ended_by = child.item.name
                return True
        return len(gone) == len(self._children)

    def start(self) -> None:
        """Start every item in order.

        Raises:
            DeviceError: a helper process ended or did not get ready in time; the others have been ended.
            MissingExtraError: there are nodes to start but no rclpy; nothing has been started.
        """
        if any(isinstance(item, NodeSpec) for item in self.items) and importlib.util.find_spec("rclpy") is None:
            raise MissingExtraError("rclpy", "ros", "starting ROS 2 nodes")
        environment = child_environment(self.config)
        for item in self.items:
            if self._stop.is_set():
                return
            child = _Child(item, command_line(item), environment, self.on_output)
            self._children[item.name] = child
            try:
                self._await_ready(item, child)
            except DeviceError:
                self.stop()
                raise

    def wait(self) -> None:
        """Return once a required child has ended, every child has, or `request_stop` was called."""
        while not self._stop.wait(0.05):
            if self.ended():
                return

    def request_stop(self) -> None:
        """Let `wait` return; for a signal handler or another thread."""
        self._stop.set()

    def stop(self) -> None:
        """End what still runs, last started first: SIGINT, then SIGTERM, then SIGKILL. Idempotent."""
        running = [child for child in reversed(self._children.values()) if child.process.poll() is None]
        nodes = [child for child in running if isinstance(child.item, NodeSpec)]
        helpers = [child for child in running if isinstance(child.item, ProcessSpec)]
        for group in (nodes, helpers):  # a virtual device outlives the driver that wants to stop it
            for number, patience_s in (
                (signal.SIGINT, self.config.interrupt_s),
                (signal.SIGTERM, self.config.terminate_s),
                (signal.SIGKILL, 5.0),
            ):
                _signal_all(group, number)
                if _all_ended(group, patience_s):
                    break
        for child in self._children.values():
            child.reader.join(timeout=1.0)

    def pid(self, name: str) -> int:
        """Process id of a child, for tests and people."""
        return self._children[name].process.pid

    def _await_ready(self, item: ProcessSpec | NodeSpec, child: _Child) -> None:
        if not isinstance(item, ProcessSpec) or not item.ready_line:
            return
        deadline = time.monotonic() + self.config.ready_limit_s
        while not child.ready.wait(0.02):
            if self._stop.is_set():
                return
            status = child.process.poll()
            if status is not None and not child.ready.wait(0.2):
                raise DeviceError(f"{item.name} ended with status {status} before it was ready; see its output above")
            if time.monotonic() > deadline:
                raise DeviceError(
                    f"{item.name} did not print '{item.ready_line}' within {self.config.ready_limit_s:g} s"
                )


class _Child:
    """One process, and the thread that reads what it prints."""

    def __init__(
        self, item: ProcessSpec | NodeSpec, command: Sequence[str], environment: Mapping[str, str], on_output: Output
    ) -> None:
        self.item, self.ready = item, threading.Event()
        # A group of its own, so that Ctrl-C in the terminal reaches only the supervisor, which ends all in order.
        self.process = subprocess.Popen(
            list(command),
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
            preexec_fn=_end_with_parent if _PRCTL is not None else None,
        )
        self.reader = threading.Thread(target=self._read, args=(on_output,), daemon=True, name=f"output-{item.name}")
        self.reader.start()

    def _read(self, on_output: Output) -> None:
        ready_line = self.item.ready_line if isinstance(self.item, ProcessSpec) else ""
        for line in self.process.stdout or ():
            on_output(self.item.name, line.rstrip("\n"))
            if ready_line and ready_line in line:
                self.ready.set()


def command_line(item: ProcessSpec | NodeSpec) -> list[str]:
    """The command that starts `item`, with this interpreter."""
    command = [sys.executable, "-m", item.module]
    if isinstance(item, ProcessSpec):
        return [*command, *item.arguments]
    command += ["--ros-args", "-r", f"__node:={item.name}"]
    if item.namespace:
        command += ["-r", f"__ns:=/{item.namespace.strip('/')}"]
    for source, target in item.remappings.items():
        command += ["-r", f"{source}:={target}"]
    for name, value in item.parameters.items():
        command += ["-p", f"{name}:={parameter_text(value)}"]
    return command


def parameter_text(value: ParameterValue) -> str:
    """A parameter value as ROS's command line reads it: YAML on one line, texts quoted so that they stay texts."""
    if isinstance(value, str):
        return yaml.safe_dump(value, default_style='"', width=1_000_000).strip()
    return yaml.safe_dump(value, default_flow_style=True, width=1_000_000).replace("\n...", "").strip()


def child_environment(config: SupervisorConfig) -> dict[str, str]:
    """The whole environment of a child. It is passed whole because the ROS wheels re-execute the interpreter by it."""
    environment = dict(os.environ)
    environment.update(profile_environment(config.lan_address))
    environment["ROS_DOMAIN_ID"] = str(config.domain_id)
    environment["PYTHONUNBUFFERED"] = "1"
    prefixes = [sys.prefix, *environment.get("AMENT_PREFIX_PATH", "").split(os.pathsep)]
    environment["AMENT_PREFIX_PATH"] = os.pathsep.join(dict.fromkeys(prefix for prefix in prefixes if prefix))
    if config.log_dir:
        environment["ROS_LOG_DIR"] = str(Path(config.log_dir).absolute())
    return environment


def _signal_all(children: Sequence[_Child], number: signal.Signals) -> None:
    for child in children:
        if child.process.poll() is None:
            child.process.send_signal(number)


def _all_ended(children: Sequence[_Child], patience_s: float) -> bool:
    deadline = time.monotonic() + patience_s
    while any(child.process.poll() is None for child in children):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def _end_with_parent() -> None:
    """In the child: SIGTERM when the supervisor dies without a chance to end its children (Linux)."""
    if _PRCTL is not None:
        _PRCTL(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
