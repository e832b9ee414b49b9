"""A raw serial port, or pseudo terminal, through termios: 8 data bits, no parity, no flow control, no modem lines."""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import termios

from hardware.errors import ConfigError, DeviceNotConnectedError

BAUD_RATES: dict[int, int] = {
    rate: getattr(termios, f"B{rate}")
    for rate in (9600, 19200, 38400, 57600, 115200, 230400, 500000, 1000000, 2000000, 3000000, 4000000)
    if hasattr(termios, f"B{rate}")
}
"""Bits per second -> the constant of termios."""
_CHUNK = 4096
_CHECK = "the USB cable, the power of the bus, and the path (ls -l /dev/serial/by-id)"


class SerialPort:
    """An open port, owned by this process alone.

    Modem lines are not touched, because pseudo terminals have none.

    Args:
        path: device file ("/dev/ttyACM0"), or a link to one.
        baud_rate: bits per second.

    Raises:
        ConfigError: a baud rate that the system does not offer.
        DeviceNotConnectedError: no such port, no permission, or another process has it.
    """

    def __init__(self, path: str, baud_rate: int) -> None:
        if baud_rate not in BAUD_RATES:
            raise ConfigError(f"baud rate {baud_rate} is not offered; choose one of {', '.join(map(str, BAUD_RATES))}")
        self.path, self.baud_rate = path, baud_rate
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            hint = "sudo usermod -aG dialout $USER, then log in again" if isinstance(error, PermissionError) else _CHECK
            raise DeviceNotConnectedError("servo bus", path, f"{hint} ({error.strerror})") from error
        try:
            # Two programs on one half-duplex line destroy each other's packets. The lock also binds root.
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._make_raw(BAUD_RATES[baud_rate])
        except BlockingIOError as error:
            os.close(self._descriptor)
            raise DeviceNotConnectedError("servo bus", path, "that no other program uses the port") from error
        except (OSError, termios.error) as error:
            os.close(self._descriptor)
            raise DeviceNotConnectedError("servo bus", path, f"that it is a serial port ({error})") from error
        self._open = True

    def write(self, data: bytes) -> None:
        """Hand `data` to the system.

        Raises:
            DeviceNotConnectedError: the port is gone, or takes no more.
        """
        self._require_open()
        try:
            written = os.write(self._descriptor, data)
        except OSError as error:
            raise self._lost(str(error)) from error
        if written != len(data):
            raise self._lost("the port takes no more bytes")

    def read(self, timeout_s: float) -> bytes:
        """What has arrived; waits up to `timeout_s` [s] for the first byte, b"" if none comes.

        Raises:
            DeviceNotConnectedError: the port is gone.
        """
        self._require_open()
        try:
            ready, _, _ = select.select([self._descriptor], [], [], max(0.0, timeout_s))
            if not ready:
                return b""
            data = os.read(self._descriptor, _CHUNK)
        except BlockingIOError:
            return b""
        except (OSError, ValueError) as error:  # a closed descriptor is a ValueError of select
            raise self._lost(str(error)) from error
        if not data:
            raise self._lost("end of file")
        return data

    def close(self) -> None:
        """Close the port. Idempotent, never raises."""
        if self._open:
            self._open = False
            with contextlib.suppress(OSError):
                os.close(self._descriptor)

    def _make_raw(self, speed: int) -> None:
        attributes = termios.tcgetattr(self._descriptor)
        control = termios.CS8 | termios.CREAD | termios.CLOCAL
        attributes[:6] = [0, 0, control, 0, speed, speed]
        attributes[6][termios.VMIN], attributes[6][termios.VTIME] = 0, 0
        termios.tcsetattr(self._descriptor, termios.TCSANOW, attributes)
        termios.tcflush(self._descriptor, termios.TCIOFLUSH)

    def _require_open(self) -> None:
        if not self._open:
            raise DeviceNotConnectedError("servo bus", self.path, "that it was not closed before")

    def _lost(self, why: str) -> DeviceNotConnectedError:
        return DeviceNotConnectedError("servo bus", self.path, f"{_CHECK} ({why})")
