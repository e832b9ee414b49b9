"""The virtual Go1: Unitree's low-level UDP protocol, with MuJoCo and hidden dynamics behind it."""

from __future__ import annotations

from collections.abc import Mapping

from sim.devices.device import DeviceEntry
from sim.devices.go1.config import VirtualGo1Config


def _driver_config(config: VirtualGo1Config) -> Mapping[str, object]:
    """The fields of the driver's configuration that lead to this device."""
    return {"host": config.host, "port": config.port, "crc": config.crc}


DEVICE = DeviceEntry(
    robot="go1",
    device="sim.devices.go1.device:VirtualGo1",
    config="sim.devices.go1.config:VirtualGo1Config",
    driver_config=_driver_config,
    summary="Go1 quadruped on loopback: low-level UDP, 500 Hz, MuJoCo on a floor with hidden dynamics",
)

__all__ = ["DEVICE"]
