"""A terminal that hands over every key at once, and is given back as it was on every way out."""

from __future__ import annotations

import atexit
import os
import signal
import sys
import termios
import threading
from types import FrameType
from typing import Any

from hardware.errors import DeviceNotConnectedError
from hardware.teleoperation.device_file import DeviceFile

_NAME = "keyboard"
_CHECK = "run this in a terminal (ssh -t gives one), or name one"


class KeyTerminal:
    """The terminal at `path`, without echo and without waiting for the end of a line. Ctrl-C and Ctrl-Z work as ever.

    Its settings are restored by `close`, at the end of the interpreter, and while the process is stopped by Ctrl-Z.

    Args:
        path: the terminal; "": the one of standard input, else the controlling one.

    Raises:
        DeviceNotConnectedError: there is no terminal.
    """

    def __init__(self, path: str = "") -> None:
        self._file = DeviceFile(_NAME, path or terminal_path(), _CHECK)
        try:
            self._found: list[Any] = termios.tcgetattr(self._file.descriptor)
        except termios.error as error:
            self._file.close()
            raise DeviceNotConnectedError(_NAME, self._file.path, f"{_CHECK}: this is none") from error
        self._previous: Any = None
        atexit.register(self.close)
        self._enter()
        if threading.current_thread() is threading.main_thread():
            self._previous = signal.signal(signal.SIGTSTP, self._on_suspend)

    def read(self) -> bytes:
        """What was typed since the last call, without waiting.

        Raises:
            DeviceNotConnectedError: the terminal is gone.
        """
        return b"".join(self._file.read())

    def close(self) -> None:
        """Restore the settings and close. Idempotent, never raises."""
        if self._file.descriptor < 0:
            return
        self._restore()
        self._file.close()
        atexit.unregister(self.close)
        if self._previous is not None:
            signal.signal(signal.SIGTSTP, self._previous)
            self._previous = None

    def _enter(self) -> None:
        settings = termios.tcgetattr(self._file.descriptor)
        settings[3] &= ~(termios.ICANON | termios.ECHO)  # signals and output processing stay on
        settings[6][termios.VMIN], settings[6][termios.VTIME] = 1, 0
        termios.tcsetattr(self._file.descriptor, termios.TCSADRAIN, settings)

    def _restore(self) -> None:
        try:
            termios.tcsetattr(self._file.descriptor, termios.TCSADRAIN, self._found)
        except termios.error:  # it hung up: there is nothing left to restore
            return

    def _on_suspend(self, number: int, _frame: FrameType | None) -> None:
        """Ctrl-Z: give the terminal back, stop as without a handler, and go on here once continued."""
        self._restore()
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
        self._enter()
        signal.signal(number, self._on_suspend)


def terminal_path() -> str:
    """The terminal a person is at."""
    try:
        return os.ttyname(sys.stdin.fileno())
    except (OSError, ValueError, AttributeError):  # a pipe, a closed stream, or none
        return "/dev/tty"
