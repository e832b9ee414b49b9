"""Keeps the sockets of a DDS library on one network device.

Cyclone DDS announces and sends on the configured interface only, but binds what it receives with to every address of
the computer, and has no setting for that. Linux lets the owner of a socket tie it to one network device.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path

from hardware.errors import DeviceError

_NAME_MAX = 16


def socket_descriptors() -> set[int]:
    """The open UDP sockets of this process."""
    found = set()
    for entry in Path("/proc/self/fd").iterdir():
        try:
            if not str(entry.readlink()).startswith("socket:"):
                continue
            with socket.socket(fileno=os.dup(int(entry.name))) as copy:
                if copy.type == socket.SOCK_DGRAM and copy.family == socket.AF_INET:
                    found.add(int(entry.name))
        except OSError:
            continue  # closed meanwhile, such as the listing's own descriptor
    return found


def tie(descriptors: set[int], interface: str = "lo") -> None:
    """Let these sockets receive from `interface` only.

    Raises:
        DeviceError: there is no such device, or the system does not allow it (Linux before 5.7, not as root).
    """
    for descriptor in descriptors:
        with socket.socket(fileno=os.dup(descriptor)) as copy:
            try:
                copy.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode())
            except OSError as error:
                why = f"{error.strerror}; Linux before 5.7 lets only root do it"
                raise DeviceError(f"sockets cannot be kept on the network device '{interface}': {why}") from error


def tied_to(descriptors: set[int]) -> set[str]:
    """The devices that these sockets are tied to, "" for none."""
    names = set()
    for descriptor in descriptors:
        with socket.socket(fileno=os.dup(descriptor)) as copy:
            raw = copy.getsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, _NAME_MAX)
            names.add(raw.rstrip(b"\x00").decode())
    return names
