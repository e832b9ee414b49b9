"""Configuration of the virtual SO-101: its port, how it was put together, and the dynamics nobody is told."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

HIDDEN_RANGES: dict[str, tuple[float, float]] = {
    "mass_factor": (1.05, 1.20),
    "payload_kg": (0.02, 0.08),
    "damping_factor": (0.9, 1.3),
    "friction_factor": (1.0, 3.0),
    "stiffness_factor": (0.10, 0.25),
    "command_delay_s": (0.004, 0.012),
    "position_noise_rad": (2e-4, 8e-4),
}
"""What `random_dynamics` draws from. Hobby servos hold far less stiffly than their makers' model says."""


@dataclass(frozen=True)
class ArmDynamics:
    """How the physical arm differs from the shipped model."""

    mass_factor: float = 1.0
    """Factor on the mass and inertia of every link."""
    payload_kg: float = 0.0
    """Mass at the tool [kg]."""
    damping_factor: float = 1.0
    """Factor on the viscous friction of every joint."""
    friction_factor: float = 1.0
    """Factor on the dry friction of every joint."""
    stiffness_factor: float = 1.0
    """Factor on the position gain of the servos."""
    command_delay_s: float = 0.0
    """Delay between a goal in the register and the servo's motion [s]; rounded to whole steps of the physics."""
    position_noise_rad: float = 0.0
    """Standard deviation of the measured positions, before they are rounded to 1/4096 turn [rad]."""


def random_dynamics(seed: int) -> ArmDynamics:
    """One arm out of `HIDDEN_RANGES`; the same seed gives the same arm."""
    rng = np.random.default_rng(seed)
    return ArmDynamics(**{name: float(rng.uniform(low, high)) for name, (low, high) in HIDDEN_RANGES.items()})


@dataclass(frozen=True)
class VirtualSO101Config:
    """A virtual SO-101."""

    port: str = field(default_factory=lambda: str(Path(tempfile.gettempdir()) / "robostack-so101"))
    """Path that leads to the pseudo terminal (a link, made at the start and removed at the end)."""
    servos: Literal["feetech", "dynamixel"] = "feetech"
    """Family of the servos: STS3215 or XM430-W350."""
    baud_rate: int = 1_000_000
    """Speed of the bus [bit/s]; a client at another speed is not understood."""
    return_delay_s: float = 20e-6
    """Time a servo waits before it answers [s]."""
    seed: int = 0
    """Seed of the hidden dynamics and of the noise."""
    preset: Literal["hidden", "nominal", "custom"] = "hidden"
    """Which arm: drawn from `seed`, the shipped model without noise, or `dynamics`."""
    dynamics: ArmDynamics = field(default_factory=ArmDynamics)
    """The arm of the preset "custom"."""
    scene: Literal["empty", "pick-cube"] = "empty"
    """What stands before the arm: nothing, or a table with a cube of 24 mm."""
    ids: tuple[int, int, int, int, int, int] = (1, 2, 3, 4, 5, 6)
    """Address of each joint's servo."""
    zero_ticks: tuple[int, int, int, int, int, int] = (2048, 2048, 2048, 2048, 2048, 2048)
    """What each servo reads at its joint's zero [1/4096 turn]."""
    directions: tuple[int, int, int, int, int, int] = (1, 1, 1, 1, 1, 1)
    """1 where a servo counts up with its joint, -1 where it counts down."""
    initial_position: tuple[float, float, float, float, float, float] | None = None
    """Joint positions at power-up [rad]; default: the default pose of the robot's specification."""
    carried: bool = True
    """Whether someone carries the arm while the torque of all servos is off; otherwise it falls."""

    def arm_dynamics(self) -> ArmDynamics:
        """The dynamics that `preset` selects."""
        if self.preset == "hidden":
            return random_dynamics(self.seed)
        return ArmDynamics() if self.preset == "nominal" else self.dynamics
