"""Speeds that devices with keys, sticks or a puck share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hardware.arrays import FloatArray
from hardware.errors import ConfigError


@dataclass(frozen=True)
class TwistConfig:
    """How fast the tool moves.

    Raises:
        ConfigError: a setting out of range.
    """

    linear_speed: float = 0.1
    """Speed of the tool per axis at full deflection [m/s]."""
    angular_speed: float = 0.5
    """Turning speed of the tool per axis at full deflection [rad/s]."""

    def __post_init__(self) -> None:
        for name in ("linear_speed", "angular_speed"):
            value = getattr(self, name)
            if not 0.0 < value <= 2.0:
                raise ConfigError(f"teleoperation device: {name} = {value} is outside (0, 2]")


def past_dead_zone(values: FloatArray, dead_zone: float) -> FloatArray:
    """Deflections in [-1, 1] with those below `dead_zone` set to 0 and the rest stretched, so that none jumps."""
    beyond = np.clip((np.abs(values) - dead_zone) / (1.0 - dead_zone), 0.0, 1.0)
    return np.sign(values) * beyond
