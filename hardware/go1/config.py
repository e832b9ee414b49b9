"""Where a Go1 is, and how carefully it is started."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Go1Config:
    """Address and settings of the low-level connection."""

    host: str = "192.168.123.10"
    """Address of the motor controller in the robot's own network."""
    port: int = 8007
    """UDP port of low-level commands."""
    local_port: int = 0
    """Port of this computer that the robot answers to; 0: any free one (Unitree's examples use 8090)."""
    crc: Literal["plain", "encrypted"] = "plain"
    """Form of the checksum: plain since SDK 3.8, encrypted in 3.5."""
    connect_timeout_s: float = 2.0
    """How long `connect` waits for the first answer [s]."""
    check_s: float = 0.1
    """How long `connect` then watches who commands the motors [s]."""
    gain_ramp_s: float = 0.5
    """Time over which gains and torques grow from nothing after the first command [s]."""
    first_step_max_rad: float = 0.2
    """Largest distance of the first command from the measured position [rad]."""
    silence_max_s: float = 0.15
    """A pause between two commands longer than this counts as a loss of control: the motors have damped by then [s]."""
    damping: float = 3.0
    """Damping of the motors in `stop` [Nm s/rad]."""
    power_max_w: float = 1500.0
    """Mechanical power of all motors, either way, above which the robot is reported as faulty [W]."""
    charge_min: int = 10
    """State of charge of the battery below which `connect` refuses [%]; a robot that shuts down falls."""
