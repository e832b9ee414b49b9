"""The virtual Create 2: the Open Interface on a pseudo terminal, with MuJoCo and hidden dynamics behind it."""

from __future__ import annotations

from sim.devices.create2.config import VirtualCreate2Config
from sim.devices.device import DeviceEntry


def _driver_config(config: VirtualCreate2Config) -> dict[str, object]:
    """The fields of the driver's configuration that lead to this device."""
    return {"port": config.port}


DEVICE = DeviceEntry(
    robot="create2",
    device="sim.devices.create2.device:VirtualCreate2",
    config="sim.devices.create2.config:VirtualCreate2Config",
    driver_config=_driver_config,
    summary="Create 2 on a pseudo terminal: Open Interface at 115200 baud, a room with walls and an edge",
)

__all__ = ["DEVICE"]
