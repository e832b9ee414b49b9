"""The virtual car: a VESC on a pseudo terminal, with MuJoCo and hidden dynamics behind it."""

from __future__ import annotations

from sim.devices.device import DeviceEntry
from sim.devices.racecar.config import VirtualRacecarConfig


def _driver_config(config: VirtualRacecarConfig) -> dict[str, object]:
    """The fields of the driver's configuration that lead to this device."""
    return {"port": config.port}


DEVICE = DeviceEntry(
    robot="racecar",
    device="sim.devices.racecar.device:VirtualRacecar",
    config="sim.devices.racecar.config:VirtualRacecarConfig",
    driver_config=_driver_config,
    summary="1:10 car with a VESC on a pseudo terminal: framed serial protocol, motor timeout, MuJoCo behind it",
)

__all__ = ["DEVICE"]
