"""Configuration of the virtual Create 2: its port, and the dynamics that the driver is not told."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from sim.devices.serial_line import default_port

HIDDEN_RANGES: dict[str, tuple[float, float]] = {
    "left_wheel_factor": (0.985, 1.015),
    "right_wheel_factor": (0.985, 1.015),
    "mass_factor": (1.0, 1.3),
    "command_delay_s": (0.005, 0.03),
}
"""What the dynamics are drawn from."""


@dataclass(frozen=True)
class BaseDynamics:
    """How the physical base differs from the shipped model."""

    left_wheel_factor: float
    """Factor on the radius of the left wheel; its encoder knows nothing of it."""
    right_wheel_factor: float
    """Factor on the radius of the right wheel."""
    mass_factor: float
    """Factor on every mass."""
    command_delay_s: float
    """Time from a command to the motors [s]."""


NOMINAL = BaseDynamics(1.0, 1.0, 1.0, 0.0)
"""The shipped model."""


def random_dynamics(seed: int) -> BaseDynamics:
    """One base out of `HIDDEN_RANGES`; the same seed gives the same base."""
    rng = np.random.default_rng(seed)
    return BaseDynamics(**{name: float(rng.uniform(low, high)) for name, (low, high) in HIDDEN_RANGES.items()})


@dataclass(frozen=True)
class VirtualCreate2Config:
    """A virtual Create 2."""

    port: str = field(default_factory=lambda: default_port("create2"))
    """Path of the link to the pseudo terminal."""
    seed: int = 0
    """Seed of the hidden dynamics."""
    nominal: bool = False
    """Whether to leave the hidden dynamics out."""
    x: float = 0.0
    """Start position [m]; the room is 3 m by 3 m around the origin, with the edge at x = 1.5."""
    room: Literal["edge", "walled"] = "edge"
    """What is at x = 1.5: an edge, or a wall like those on the other three sides."""
    y: float = 0.0
    """Start position [m]."""
    heading: float = 0.0
    """Start heading [rad], 0: towards the edge."""
    docked: bool = False
    """Whether it stands on its home base."""
    dock_sleep_s: float = 60.0
    """Time on the home base in passive mode after which it ignores commands [s]."""

    def dynamics(self) -> BaseDynamics:
        """The base that it is."""
        return NOMINAL if self.nominal else random_dynamics(self.seed)
