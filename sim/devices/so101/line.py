"""The half-duplex line: a pseudo terminal under a fixed path, with the time that bytes take on a real wire."""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import termios
import tty
from collections import deque
from pathlib import Path

from hardware.errors import AddressInUseError, ConfigError

_BITS_PER_BYTE = 10
_SPEEDS = {
    rate: getattr(termios, f"B{rate}")
    for rate in (9600, 19200, 38400, 57600, 115200, 230400, 500000, 1000000, 2000000, 3000000, 4000000)
    if hasattr(termios, f"B{rate}")
}


class Line:
    """A pseudo terminal that clients open like a USB adapter.

    Args:
        path: link that leads to it.
        baud_rate: speed of the servos; a client that set another one is not understood.

    Raises:
        ConfigError: a baud rate that the system does not offer.
    """

    def __init__(self, path: str, baud_rate: int) -> None:
        if baud_rate not in _SPEEDS:
            raise ConfigError(f"baud rate {baud_rate} is not offered; choose one of {', '.join(map(str, _SPEEDS))}")
        self.path, self.baud_rate = Path(path), baud_rate
        self.terminal = ""
        """Path of the pseudo terminal itself; "" while it is closed."""
        self.collisions = 0
        """Requests that were sent while a servo was still talking."""
        self.wrong_speed = 0
        """Chunks of bytes that came at another speed."""
        self.late_s = 0.0
        """How long the adapter holds answers back [s]."""
        self._lock: int | None = None
        self._master: int | None = None
        self._slave: int | None = None
        self._busy_until_s = 0.0
        self._leaving: deque[tuple[float, float, bytes]] = deque()

    @property
    def is_open(self) -> bool:
        """Whether a client could open it."""
        return self._master is not None

    def claim(self) -> None:
        """Reserve the path for this process.

        Raises:
            AddressInUseError: another virtual device has it, or it is no link.
        """
        if self.path.exists() and not self.path.is_symlink():
            raise AddressInUseError("virtual so101", str(self.path))
        lock = os.open(f"{self.path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(lock)
            raise AddressInUseError("virtual so101", str(self.path)) from error
        self._lock = lock

    def plug(self) -> None:
        """Make the pseudo terminal and the link to it."""
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        self.terminal = os.ttyname(self._slave)
        self._busy_until_s = 0.0
        self._leaving.clear()
        with contextlib.suppress(FileNotFoundError):
            self.path.unlink()
        self.path.symlink_to(self.terminal)

    def unplug(self) -> None:
        """Take the pseudo terminal away from whoever has it open. Idempotent."""
        with contextlib.suppress(OSError):
            self.path.unlink()
        for descriptor in (self._slave, self._master):
            if descriptor is not None:
                os.close(descriptor)
        self._master = self._slave = None
        self.terminal = ""

    def release(self) -> None:
        """Give the path back. Idempotent."""
        if self._lock is not None:
            with contextlib.suppress(OSError):
                Path(f"{self.path}.lock").unlink()
            os.close(self._lock)
            self._lock = None

    def wait(self, timeout_s: float, wake: int | None = None) -> None:
        """Return when bytes arrive, or `wake` is readable, or after `timeout_s` [s]."""
        descriptors = [descriptor for descriptor in (self._master, wake) if descriptor is not None]
        with contextlib.suppress(OSError):  # taken away between these two lines, by a fault from another thread
            select.select(descriptors, [], [], max(0.0, timeout_s))

    def receive(self, now_s: float) -> bytes:
        """What a client has sent; b"" where it is nothing, or nothing a servo would understand."""
        if self._master is None or self._slave is None:
            return b""
        try:
            data = os.read(self._master, 4096)
        except (BlockingIOError, OSError):
            return b""
        if termios.tcgetattr(self._slave)[5] != _SPEEDS[self.baud_rate]:
            self.wrong_speed += 1
            return b""
        if any(ends_s > now_s for ends_s, _, _ in self._leaving):
            self.collisions += 1  # both packets are garbled
            self._leaving = deque(entry for entry in self._leaving if entry[0] <= now_s)
            self._busy_until_s = now_s
            return b""
        self._busy_until_s = max(self._busy_until_s, now_s) + self._duration_s(data)
        return data

    def send(self, data: bytes, delay_s: float) -> None:
        """Put an answer on the line, `delay_s` after what is on it already."""
        ends_s = self._busy_until_s + delay_s + self._duration_s(data)
        self._busy_until_s = ends_s
        self._leaving.append((ends_s, ends_s + self.late_s, data))

    def next_s(self) -> float | None:
        """When the next answer arrives at the client; None without one."""
        return self._leaving[0][1] if self._leaving else None

    def deliver(self, now_s: float) -> int:
        """Hand over what has arrived by now; number of packets."""
        count = 0
        while self._leaving and self._leaving[0][1] <= now_s:
            _, _, data = self._leaving.popleft()
            if self._master is not None:
                with contextlib.suppress(OSError):  # a client that reads nothing loses bytes, as with a real adapter
                    os.write(self._master, data)
            count += 1
        return count

    def _duration_s(self, data: bytes) -> float:
        return len(data) * _BITS_PER_BYTE / self.baud_rate
