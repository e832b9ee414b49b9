"""The device's end of a serial line: a pseudo terminal behind a link with a fixed name, with the line's byte timing."""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
import tty
from collections import deque
from collections.abc import Callable
from pathlib import Path

from hardware.errors import AddressInUseError

_CHUNK = 4096


def default_port(name: str) -> str:
    """Where the virtual device `name` puts its port by default: in the system's folder for temporary files."""
    return str(Path(tempfile.gettempdir()) / f"virtual-{name}")


class SerialLine:
    """A pseudo terminal seen from the device. Nothing here waits; call `poll` once per cycle of the device.

    Ten bits per byte: what is sent arrives when its last bit would have. A faulty line can be mute, late, damaged or
    cut; see the attributes.

    Args:
        name: of the device, for messages.
        port: path of the link to the terminal.
        baud_rate: bits per second.
    """

    def __init__(self, name: str, port: str, baud_rate: int) -> None:
        self.name, self.port, self.baud_rate = name, Path(port), baud_rate
        self.delay_s = 0.0
        """Additional delay of everything that is sent [s]."""
        self.damage: Callable[[bytes], bytes] | None = None
        """Applied to everything that is sent."""
        self._lock: int | None = None
        self._ends: tuple[int, int] | None = None
        self._free_s = 0.0
        self._under_way: deque[tuple[float, bytes]] = deque()

    @property
    def plugged(self) -> bool:
        """Whether there is a terminal."""
        return self._ends is not None

    def open(self) -> None:
        """Make the terminal and the link to it.

        Raises:
            AddressInUseError: another virtual device has the link, or a file is in its place.
        """
        lock = os.open(f"{self.port}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(lock)
            raise AddressInUseError(f"virtual {self.name}", str(self.port)) from error
        if self.port.exists() and not self.port.is_symlink():
            os.close(lock)
            raise AddressInUseError(f"virtual {self.name}", str(self.port))
        self._lock = lock
        self.plug()

    def close(self) -> None:
        """Remove terminal, link and lock. Idempotent."""
        self.unplug()
        if self._lock is not None:
            Path(f"{self.port}.lock").unlink(missing_ok=True)
            os.close(self._lock)
            self._lock = None

    def plug(self) -> None:
        """Make the terminal; the device keeps both ends open, as a cable does when nobody listens."""
        if self._ends is not None:
            return
        near, far = os.openpty()
        tty.setraw(far)
        os.set_blocking(near, False)
        # Replaced in one step, so that nobody finds the place empty.
        temporary = self.port.with_name(f"{self.port.name}.{os.getpid()}.new")
        temporary.unlink(missing_ok=True)
        temporary.symlink_to(os.ttyname(far))
        temporary.replace(self.port)
        self._ends = (near, far)

    def unplug(self) -> None:
        """Pull the cable: whoever has the terminal open gets errors from now on."""
        if self._ends is None:
            return
        self.port.unlink(missing_ok=True)
        for end in self._ends:
            os.close(end)
        self._ends = None
        self._under_way.clear()

    def send(self, data: bytes, now_s: float) -> None:
        """Begin to send `data`."""
        self._free_s = max(now_s, self._free_s) + 10.0 * len(data) / self.baud_rate
        self._under_way.append((self._free_s + self.delay_s, self.damage(data) if self.damage is not None else data))

    def poll(self, now_s: float) -> bytes:
        """Deliver what has arrived by now; what the computer has written."""
        while self._under_way and self._under_way[0][0] <= now_s:
            data = self._under_way.popleft()[1]
            if self._ends is not None:
                with contextlib.suppress(BlockingIOError):  # nobody reads: a line has no memory
                    os.write(self._ends[0], data)
        if self._ends is None:
            return b""
        try:
            return os.read(self._ends[0], _CHUNK)
        except BlockingIOError:
            return b""
