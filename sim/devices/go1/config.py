"""Configuration of the virtual Go1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sim.devices.quadruped_config import VirtualQuadrupedConfig


@dataclass(frozen=True)
class VirtualGo1Config(VirtualQuadrupedConfig):
    """A virtual Go1."""

    host: str = "127.0.0.6"
    """Address to listen on; give each virtual robot its own 127.0.0.x."""
    port: int = 8007
    """UDP port of low-level commands."""
    crc: Literal["plain", "encrypted"] = "plain"
    """Form of the checksum that the robot's firmware uses."""
    high_level: bool = False
    """Start with Unitree's own high-level mode owning the motors."""
