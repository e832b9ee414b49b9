"""Configuration of the virtual car: its port, and the dynamics that the driver is not told."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from sim.devices.serial_line import default_port

HIDDEN_RANGES: dict[str, tuple[float, float]] = {
    "wheel_factor": (0.97, 1.03),
    "mass_factor": (1.0, 1.25),
    "friction_factor": (0.6, 1.0),
    "steering_offset_rad": (-0.02, 0.02),
    "command_delay_s": (0.0, 0.02),
}
"""What the dynamics are drawn from."""


@dataclass(frozen=True)
class CarDynamics:
    """How the physical car differs from the shipped model."""

    wheel_factor: float
    """Factor on the radius of the wheels; the motor knows nothing of it."""
    mass_factor: float
    """Factor on every mass."""
    friction_factor: float
    """Factor on the friction of the tyres."""
    steering_offset_rad: float
    """Steering angle at the servo's straight position [rad]."""
    command_delay_s: float
    """Time from a command to motor and servo [s]."""


NOMINAL = CarDynamics(1.0, 1.0, 1.0, 0.0, 0.0)
"""The shipped model."""


def random_dynamics(seed: int) -> CarDynamics:
    """One car out of `HIDDEN_RANGES`; the same seed gives the same car."""
    rng = np.random.default_rng(seed)
    return CarDynamics(**{name: float(rng.uniform(low, high)) for name, (low, high) in HIDDEN_RANGES.items()})


@dataclass(frozen=True)
class VirtualRacecarConfig:
    """A virtual car."""

    port: str = field(default_factory=lambda: default_port("racecar"))
    """Path of the link to the pseudo terminal."""
    seed: int = 0
    """Seed of the hidden dynamics."""
    nominal: bool = False
    """Whether to leave the hidden dynamics out."""
    timeout_s: float = 1.0
    """Time without a motor command after which the VESC cuts the motor [s]."""
    timeout_brake_a: float = 0.0
    """Brake current after that time [A]; 0 as delivered: the car rolls on."""
    old_firmware: bool = False
    """Whether answers end before the newer fields (temperatures, voltages, status)."""

    def dynamics(self) -> CarDynamics:
        """The car that it is."""
        return NOMINAL if self.nominal else random_dynamics(self.seed)
