"""The virtual UR5e: Universal Robots' protocols, with MuJoCo and hidden dynamics behind them."""

from __future__ import annotations

from collections.abc import Mapping

from sim.devices.device import DeviceEntry
from sim.devices.ur5e.config import VirtualUR5eConfig


def _driver_config(config: VirtualUR5eConfig) -> Mapping[str, object]:
    """The fields of the driver's configuration that lead to this device."""
    return {
        "host": config.host,
        "rtde_port": config.rtde_port,
        "script_port": config.secondary_port,
        "dashboard_port": config.dashboard_port,
    }


DEVICE = DeviceEntry(
    robot="ur5e",
    device="sim.devices.ur5e.device:VirtualUR5e",
    config="sim.devices.ur5e.config:VirtualUR5eConfig",
    driver_config=_driver_config,
    summary="UR5e controller on loopback: RTDE, dashboard and script ports, 500 Hz, MuJoCo with hidden dynamics",
)

__all__ = ["DEVICE"]
