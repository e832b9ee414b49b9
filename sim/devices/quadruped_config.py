"""What the virtual quadrupeds are configured with: the dynamics that a driver is not told, posture and watchdog."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

CYCLE_S = 0.002
"""Physics step and cycle of the motor controller [s]."""

HIDDEN_RANGES: dict[str, tuple[float, float]] = {
    "mass_factor": (0.95, 1.1),
    "payload_kg": (0.3, 1.2),
    "friction_factor": (1.2, 2.0),
    "strength_factor": (0.9, 1.05),
    "foot_friction": (0.6, 1.0),
    "command_delay_s": (0.002, 0.006),
    "position_noise_rad": (5e-4, 1.5e-3),
    "velocity_noise_rad_s": (0.02, 0.08),
    "gyroscope_noise_rad_s": (5e-3, 0.02),
}
"""What `random_dynamics` draws from."""


@dataclass(frozen=True)
class BodyDynamics:
    """How the physical robot differs from the shipped model."""

    mass_factor: float = 1.0
    """Factor on the mass and inertia of every link."""
    payload_kg: float = 0.0
    """Mass on the trunk [kg]."""
    friction_factor: float = 1.0
    """Factor on the dry friction of every joint."""
    strength_factor: float = 1.0
    """Torque that a motor gives, as a share of what it is asked for."""
    foot_friction: float = 0.8
    """Coefficient of friction under the feet."""
    command_delay_s: float = 0.0
    """Time from a command's arrival to its torque [s]; rounded to whole cycles."""
    position_noise_rad: float = 0.0
    """Standard deviation of the measured joint positions [rad]."""
    velocity_noise_rad_s: float = 0.0
    """Standard deviation of the measured joint velocities [rad/s]."""
    gyroscope_noise_rad_s: float = 0.0
    """Standard deviation of the measured angular velocity [rad/s]."""


def random_dynamics(seed: int) -> BodyDynamics:
    """One robot out of `HIDDEN_RANGES`; the same seed gives the same robot."""
    rng = np.random.default_rng(seed)
    return BodyDynamics(**{name: float(rng.uniform(low, high)) for name, (low, high) in HIDDEN_RANGES.items()})


@dataclass(frozen=True)
class VirtualQuadrupedConfig:
    """What every virtual quadruped has; a robot adds its address."""

    seed: int = 0
    """Seed of the hidden dynamics and of the measurement noise."""
    preset: Literal["hidden", "nominal", "custom"] = "hidden"
    """Which robot: drawn from `seed`, the shipped model without noise, or `dynamics`."""
    dynamics: BodyDynamics = field(default_factory=BodyDynamics)
    """The robot of the preset "custom"."""
    posture: Literal["lying", "hung"] = "lying"
    """At power-up: on the ground with the legs folded, or hung from its trunk with the feet in the air."""
    watchdog_s: float = 0.1
    """Silence after which the motors go into damping [s]; Unitree does not publish the robot's own figure."""

    def body_dynamics(self) -> BodyDynamics:
        """The dynamics that `preset` selects."""
        if self.preset == "hidden":
            return random_dynamics(self.seed)
        return BodyDynamics() if self.preset == "nominal" else self.dynamics
