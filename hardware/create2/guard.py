"""The driver's side of the guard process."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path

_PROGRAM = Path(__file__).with_name("guard_program.py")
_END_S = 1.0


class Guard:
    """A process that stops the robot when this one dies or falls silent; see `guard_program`.

    Args:
        serial: descriptor of the open serial port, which both processes then write to.
        silence_s: silence of a moving robot's driver that stops it [s].
    """

    def __init__(self, serial: int, silence_s: float) -> None:
        read, self._write = os.pipe()
        os.set_blocking(self._write, False)
        command = [sys.executable, "-I", str(_PROGRAM), str(serial), str(read), str(silence_s)]
        try:
            # A session of its own, so that Ctrl-C in the terminal does not reach it.
            self._process = subprocess.Popen(command, pass_fds=(serial, read), start_new_session=True)
        finally:
            os.close(read)

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process.poll() is None

    def tell(self, *, moving: bool) -> None:
        """Say that a command went out. Never waits, never raises."""
        with contextlib.suppress(OSError):
            os.write(self._write, b"m" if moving else b"r")

    def close(self) -> None:
        """End the process. Idempotent, never raises."""
        if self._write < 0:
            return
        with contextlib.suppress(OSError):
            os.write(self._write, b"q")
        os.close(self._write)
        self._write = -1
        try:
            self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
