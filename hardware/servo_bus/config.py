"""How to reach a servo bus."""

from __future__ import annotations

from dataclasses import dataclass

from hardware.clock import Clock
from hardware.errors import ConfigError
from hardware.serial_port import SerialPort
from hardware.servo_bus.bus import ServoBus
from hardware.servo_bus.servo_model import ServoFamily, ServoModel


@dataclass(frozen=True)
class ServoBusConfig:
    """How to reach a servo bus.

    Raises:
        ConfigError: a setting out of range.
    """

    port: str = "/dev/ttyACM0"
    """Serial port; the links in /dev/serial/by-id keep their names."""
    servos: ServoFamily = "feetech"
    """Family of the servos: feetech (STS3215) or dynamixel (XM430-W350)."""
    baud_rate: int = 1_000_000
    """Speed of the bus [bit/s]."""
    calibration: str = ""
    """Calibration file (YAML); empty: servos 1, 2, ... with their zero in the middle of their turn."""
    reply_timeout_s: float = 0.008
    """Time the servos may take to answer, beyond the time of the bytes on the wire [s]."""
    late_reply_s: float = 0.06
    """While connecting: how late an answer can come at all [s]; it is dropped."""

    def __post_init__(self) -> None:
        for name in ("reply_timeout_s", "late_reply_s"):
            value = getattr(self, name)
            if not 0.0 < value <= 1.0:
                raise ConfigError(f"servo bus configuration: {name} = {value} is outside (0, 1]")


def open_bus(config: ServoBusConfig, model: ServoModel, clock: Clock) -> ServoBus:
    """The bus, with its port open.

    Raises:
        DeviceNotConnectedError: no such port, or another program has it.
        ConfigError: a baud rate that the system does not offer.
    """
    port = SerialPort("servo bus", config.port, config.baud_rate)
    return ServoBus(port, model.protocol, config.reply_timeout_s, config.late_reply_s, clock)
