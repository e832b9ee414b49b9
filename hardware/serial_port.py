"""A raw serial port, or pseudo terminal, through termios: 8 data bits, no parity, no flow control."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import select
import struct
import termios

from hardware.errors import ConfigError, DeviceNotConnectedError

BAUD_RATES: dict[int, int] = {
    rate: getattr(termios, f"B{rate}")
    for rate in (9600, 19200, 38400, 57600, 115200, 230400, 500000, 1000000, 2000000, 3000000, 4000000)
    if hasattr(termios, f"B{rate}")
}
"""Bits per second -> the constant of termios."""
_CHUNK = 4096
_CHECK = "the USB cable, the power of the device, and the path (ls -l /dev/serial/by-id)"


class SerialPort:
    """An open port, locked against other programs: on a half-duplex line they would destroy each other's packets.

    A pseudo terminal has no modem lines; `set_rts` says so instead of failing.

    Args:
        device: name of the device, for messages.
        path: device file ("/dev/ttyUSB0"), or a link to one.
        baud_rate: bits per second.

    Raises:
        ConfigError: a baud rate that the system does not offer.
        DeviceNotConnectedError: no such port, no permission, no serial port, or another process has it.
    """

    def __init__(self, device: str, path: str, baud_rate: int = 115_200) -> None:
        if baud_rate not in BAUD_RATES:
            raise ConfigError(f"baud rate {baud_rate} is not offered; choose one of {', '.join(map(str, BAUD_RATES))}")
        self.device, self.path, self.baud_rate = device, path, baud_rate
        try:
            self.descriptor = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            hint = "sudo usermod -aG dialout $USER, then log in again" if isinstance(error, PermissionError) else _CHECK
            raise DeviceNotConnectedError(device, path, f"{hint} ({error.strerror})") from error
        self._open = True
        try:
            # The lock also binds root.
            fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._make_raw(BAUD_RATES[baud_rate])
        except BlockingIOError as error:
            self.close()
            raise DeviceNotConnectedError(device, path, "that no other program uses the port") from error
        except (OSError, termios.error) as error:
            self.close()
            raise DeviceNotConnectedError(device, path, f"that it is a serial port ({error})") from error

    def read(self, timeout_s: float = 0.0) -> bytes:
        """What has arrived, b"" if nothing has; waits up to `timeout_s` [s] for the first byte.

        Raises:
            DeviceNotConnectedError: the port is closed or gone.
        """
        data = b""
        try:
            if timeout_s > 0.0 and not select.select([self._opened()], [], [], timeout_s)[0]:
                return data
            while chunk := os.read(self._opened(), _CHUNK):
                data += chunk
        except BlockingIOError:
            return data
        except (OSError, ValueError) as error:  # a descriptor that another thread closes is a ValueError of select
            raise self._lost(str(error)) from error
        raise self._lost("end of file")

    def write(self, data: bytes) -> None:
        """Hand `data` to the system.

        Raises:
            DeviceNotConnectedError: the port is closed or gone, or takes no more.
        """
        try:
            written = os.write(self._opened(), data)
        except OSError as error:
            raise self._lost(str(error)) from error
        if written != len(data):
            raise self._lost("the port takes no more bytes")

    def set_rts(self, on: bool) -> bool:
        """Set the line RTS; False where the port has no modem lines.

        Raises:
            DeviceNotConnectedError: the port is closed or gone.
        """
        request = termios.TIOCMBIS if on else termios.TIOCMBIC
        try:
            fcntl.ioctl(self._opened(), request, struct.pack("I", termios.TIOCM_RTS))
        except OSError as error:
            if error.errno in (errno.ENOTTY, errno.EINVAL):
                return False
            raise self._lost(str(error)) from error
        return True

    def close(self) -> None:
        """Close the port. Idempotent, never raises."""
        if self._open:
            self._open = False
            with contextlib.suppress(OSError):
                os.close(self.descriptor)

    def _make_raw(self, speed: int) -> None:
        attributes = termios.tcgetattr(self.descriptor)
        attributes[:6] = [0, 0, termios.CS8 | termios.CREAD | termios.CLOCAL, 0, speed, speed]
        attributes[6][termios.VMIN], attributes[6][termios.VTIME] = 1, 0
        termios.tcsetattr(self.descriptor, termios.TCSANOW, attributes)
        termios.tcflush(self.descriptor, termios.TCIOFLUSH)

    def _opened(self) -> int:
        if not self._open:
            raise DeviceNotConnectedError(
                self.device, self.path, "that connect() was called, and not disconnect() since"
            )
        return self.descriptor

    def _lost(self, why: str) -> DeviceNotConnectedError:
        return DeviceNotConnectedError(self.device, self.path, f"{_CHECK} ({why})")
