"""The virtual SO-101: six bus servos on a pseudo terminal, with MuJoCo and hidden dynamics behind them."""

from __future__ import annotations

from collections.abc import Mapping

from sim.devices.device import DeviceEntry
from sim.devices.so101.config import VirtualSO101Config


def _driver_config(config: VirtualSO101Config) -> Mapping[str, object]:
    """The fields of the driver's configuration that lead to this device."""
    return {"port": config.port, "servos": config.servos, "baud_rate": config.baud_rate}


DEVICE = DeviceEntry(
    robot="so101",
    device="sim.devices.so101.device:VirtualSO101",
    config="sim.devices.so101.config:VirtualSO101Config",
    driver_config=_driver_config,
    summary="SO-101 on a pseudo terminal: Feetech STS or Dynamixel 2.0 servos, MuJoCo with hidden dynamics",
)

__all__ = ["DEVICE"]
