"""The fixtures that all tests share."""

from __future__ import annotations

import ipaddress
import socket

import pytest
from hypothesis import settings

seen: set[str] = set()


@pytest.mark.parametrize("turn", range(4))
def test_every_test_gets_a_loopback_address_of_its_own(loopback_host, turn):
    assert ipaddress.ip_address(loopback_host).is_loopback
    assert not loopback_host.startswith("127.0.0."), "left to people and to defaults"
    assert loopback_host not in seen
    seen.add(loopback_host)
    with socket.create_server((loopback_host, 0)) as server:
        assert server.getsockname()[0] == loopback_host


def test_property_tests_are_deterministic():
    assert settings().derandomize
    assert settings().deadline is None
