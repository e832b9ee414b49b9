"""The virtual Go2: Unitree's low-level topics over DDS, with MuJoCo and hidden dynamics behind them."""

from __future__ import annotations

from collections.abc import Mapping

from sim.devices.device import DeviceEntry
from sim.devices.go2.config import VirtualGo2Config


def _driver_config(config: VirtualGo2Config) -> Mapping[str, object]:
    """The fields of the driver's configuration that lead to this device."""
    return {"interface": config.interface, "domain": config.domain}


DEVICE = DeviceEntry(
    robot="go2",
    device="sim.devices.go2.device:VirtualGo2",
    config="sim.devices.go2.config:VirtualGo2Config",
    driver_config=_driver_config,
    summary="Go2 quadruped on loopback: low level over DDS, 500 Hz, MuJoCo on a floor with hidden dynamics",
)

__all__ = ["DEVICE"]
