"""The process that runs Isaac Gym: started with NVIDIA's Python, asked over a socket, ended with this one."""

from __future__ import annotations

import os
import socket
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from hardware.errors import ConfigError, SimulationError
from sim import isaacgym_worker
from sim.isaacgym_worker import Arrays, receive, send

PYTHON_VARIABLE = "ROBOSTACK_ISAACGYM_PYTHON"
"""Environment variable with the path of a Python that has isaacgym."""
HELP = (
    "Isaac Gym (Preview 4) is on no package registry and runs in Python 3.6 to 3.8 on a machine with an NVIDIA GPU and "
    "its driver. Get it from NVIDIA (developer.nvidia.com/isaac-gym), install it into a Python 3.8 of its own with "
    f"'pip install -e isaacgym/python', and set {PYTHON_VARIABLE} to that Python. Without such a GPU choose another "
    "engine: robostack list engines"
)
_ANSWER_S = 600.0
"""Longest wait for an answer: building thousands of simulations takes minutes."""
_END_S = 10.0
"""Time to give the GPU back before the process is killed."""
_LOG_LINES, _LOG_BYTES = 2, 4096
"""How much of what it printed is repeated in an error."""
_START = (
    "import runpy, sys; sys.argv = sys.argv[1:]; sys.path[:] = filter(None, sys.path); "
    "runpy.run_path(sys.argv[0], run_name='__main__')"
)
"""Run the file without its folder, or the current one, on the path: their modules are not for that Python."""


class IsaacGymProcess:
    """Isaac Gym in its own Python.

    Args:
        python: the Python that has isaacgym; default: the environment variable `PYTHON_VARIABLE`.

    Raises:
        ConfigError: there is no such Python, or it cannot import isaacgym.
    """

    def __init__(self, python: str | None = None) -> None:
        python = python or os.environ.get(PYTHON_VARIABLE, "")
        if not python:
            raise ConfigError(
                f"the engine 'isaacgym' needs a Python with isaacgym, but {PYTHON_VARIABLE} is not set. {HELP}"
            )
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed in _end()
        self._channel, theirs = socket.socketpair()
        self._channel.settimeout(_ANSWER_S)
        script = Path(isaacgym_worker.__file__).resolve()
        with theirs:
            try:
                self._process = subprocess.Popen(
                    [python, "-c", _START, str(script), str(theirs.fileno())],
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                    stdout=self._log,
                    stderr=self._log,
                )
            except OSError as error:
                self._channel.close()
                self._log.close()
                raise ConfigError(
                    f"{PYTHON_VARIABLE} is '{python}', which cannot be started ({error}). {HELP}"
                ) from error
        try:
            receive(self._channel)
        except (EOFError, OSError) as error:
            words = self._end()
            raise ConfigError(f"'{python}' cannot run Isaac Gym: {words}. {HELP}") from error

    def call(self, operation: str, arrays: Arrays, **values: Any) -> Arrays:
        """Ask for one operation of `sim.isaacgym_worker` and wait for its answer.

        Raises:
            ConfigError: Isaac Gym cannot do what is asked.
            SimulationError: the process is gone, or does not answer.
        """
        if self._log.closed:
            raise SimulationError("the process of Isaac Gym no longer runs; make the engine anew")
        try:
            send(self._channel, {"operation": operation, **values}, arrays)
            answer, found = receive(self._channel)
        except (EOFError, OSError) as error:
            words = self._end()
            raise SimulationError(f"the process of Isaac Gym ended or hangs: {words}") from error
        if "error" in answer:
            raise ConfigError(f"the engine 'isaacgym': {answer['error']}")
        return found

    def close(self) -> None:
        """End the process. Idempotent."""
        if not self._log.closed:
            self._end()

    def _end(self) -> str:
        """End the process; what it printed last."""
        self._channel.close()  # the process ends when its other end is gone
        try:
            self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        with self._log as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - _LOG_BYTES))
            lines = log.read().decode(errors="replace").strip().splitlines()
        return " / ".join(line.strip() for line in lines[-_LOG_LINES:]) or "it printed nothing"
