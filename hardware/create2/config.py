"""How to reach and drive one Create 2."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from hardware.errors import ConfigError


@dataclass(frozen=True)
class Create2Config:
    """How to reach and drive one Create 2.

    Raises:
        ConfigError: a time that is not positive.
    """

    port: str = "/dev/ttyUSB0"
    """Serial port; better a link below /dev/serial/by-id, which does not change with the order of plugging."""
    oi_mode: Literal["safe", "full"] = "safe"
    """"safe": the robot stops itself at edges, when lifted, and on its charger. "full": it does not; for benches."""
    connect_timeout_s: float = 3.0
    """Longest wait for the robot's first sensor data, and for a change of its mode [s]."""
    guard_silence_s: float = 0.5
    """A guard process stops the moving robot when this program sends no command for this long [s]."""

    def __post_init__(self) -> None:
        for name in ("connect_timeout_s", "guard_silence_s"):
            if not getattr(self, name) > 0.0:
                raise ConfigError(f"Create 2 configuration: {name} = {getattr(self, name)} must be positive")
