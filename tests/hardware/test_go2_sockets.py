"""Finding a process's UDP sockets, and tying them to one network device."""

from __future__ import annotations

import socket

import pytest

from hardware import udp_sockets
from hardware.errors import DeviceError


def test_sockets_are_found_and_tied():
    before = udp_sockets.socket_descriptors()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made, socket.socket() as stream:
        made.bind(("0.0.0.0", 0))
        found = udp_sockets.socket_descriptors() - before
        assert found == {made.fileno()} and stream.fileno() not in found
        assert udp_sockets.tied_to(found) == {""}
        udp_sockets.tie(found)
        assert udp_sockets.tied_to(found) == {"lo"}
        with pytest.raises(DeviceError, match="nowhere0"):
            udp_sockets.tie(found, "nowhere0")
