"""A device behind a file: opened without blocking, and gone for good once a read says so."""

from __future__ import annotations

import os

from hardware.errors import DeviceNotConnectedError

_CHUNK = 4096


class DeviceFile:
    """One open device file (or terminal, or pipe).

    Args:
        device: name of the device, for errors.
        path: the file.
        check: what a person should look at when it is not there.

    Raises:
        DeviceNotConnectedError: it cannot be opened.
    """

    def __init__(self, device: str, path: str, check: str) -> None:
        self.device, self.path, self.check = device, path, check
        try:
            # An own description of the file: one that is shared with the shell would stay non-blocking for it too.
            self._descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        except OSError as error:
            raise DeviceNotConnectedError(device, path, f"{check} ({error.strerror})") from error

    @property
    def descriptor(self) -> int:
        """The file descriptor, for `ioctl` and terminal settings; -1 once closed."""
        return self._descriptor

    def read(self) -> list[bytes]:
        """What has arrived since the last call, without waiting: one entry per read, for HID that is one report.

        Raises:
            DeviceNotConnectedError: the device is gone.
        """
        chunks: list[bytes] = []
        while True:
            try:
                chunk = os.read(self._descriptor, _CHUNK)
            except BlockingIOError:
                return chunks
            except OSError as error:
                raise DeviceNotConnectedError(self.device, self.path, f"{self.check} ({error.strerror})") from error
            if not chunk:
                if chunks:
                    return chunks  # the next call finds the end again
                raise DeviceNotConnectedError(self.device, self.path, f"{self.check} (it was closed)")
            chunks.append(chunk)

    def close(self) -> None:
        """Close it. Idempotent."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)
