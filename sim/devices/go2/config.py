"""Configuration of the virtual Go2."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sim.devices.quadruped_config import VirtualQuadrupedConfig


@dataclass(frozen=True)
class VirtualGo2Config(VirtualQuadrupedConfig):
    """A virtual Go2."""

    interface: Literal["lo"] = "lo"
    """Network interface; the virtual robot keeps to loopback."""
    domain: int = 1
    """DDS domain, 0 to 232: 1 as Unitree's own simulator; give each virtual robot its own."""
    service: str = "normal"
    """Motion service that owns the motors at power-up, as on the physical robot; "" for none."""
