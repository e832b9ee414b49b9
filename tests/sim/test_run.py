from __future__ import annotations

import pytest

from sim.devices.run import main


@pytest.mark.parametrize("host", ["0.0.0.0", "8.8.8.8", "banana", ""])
def test_a_virtual_device_is_not_offered_to_a_network(host, capfd):
    assert main(["ur5e", "--host", host]) == 1
    assert f"loopback addresses only (127.0.0.1, 127.0.0.2, ...), not '{host}'" in capfd.readouterr().err
