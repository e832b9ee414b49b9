"""Configuration of the virtual UR5e: its address, and the dynamics that the driver is not told."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

CYCLE_S = 0.002
"""Controller cycle of an e-Series arm [s]."""

HIDDEN_RANGES: dict[str, tuple[float, float]] = {
    "mass_factor": (1.25, 1.40),
    "payload_kg": (1.2, 2.0),
    "damping_factor": (2.2, 3.0),
    "friction_factor": (2.2, 3.0),
    "stiffness_factor": (0.50, 0.65),
    "command_delay_s": (0.010, 0.018),
    "position_noise_rad": (2e-4, 4e-4),
    "velocity_noise_rad_s": (4e-3, 8e-3),
}
"""What `random_dynamics` draws from. Mass, friction and stiffness lie outside what the reaching task is trained with
(a test compares them) and training knows no payload and no noise of the encoders, so that success here is a transfer.
The delay adds to the look-ahead of `servoj` and to the network; their sum is within what training covers."""


@dataclass(frozen=True)
class ArmDynamics:
    """How the physical arm differs from the shipped model."""

    mass_factor: float = 1.0
    """Factor on the mass and inertia of every link; the controller compensates the gravity of the nominal ones."""
    payload_kg: float = 0.0
    """Mass at the flange that the controller was not told about [kg]."""
    damping_factor: float = 1.0
    """Factor on the viscous friction of every joint."""
    friction_factor: float = 1.0
    """Factor on the dry friction of every joint."""
    stiffness_factor: float = 1.0
    """Factor on the position gain of the joint servos."""
    command_delay_s: float = 0.0
    """Delay between the controller's target and the joint servos [s]; rounded to whole controller cycles."""
    position_noise_rad: float = 0.0
    """Standard deviation of the measured joint positions [rad]."""
    velocity_noise_rad_s: float = 0.0
    """Standard deviation of the measured joint velocities [rad/s]."""


def random_dynamics(seed: int) -> ArmDynamics:
    """One arm out of `HIDDEN_RANGES`; the same seed gives the same arm."""
    rng = np.random.default_rng(seed)
    return ArmDynamics(**{name: float(rng.uniform(low, high)) for name, (low, high) in HIDDEN_RANGES.items()})


@dataclass(frozen=True)
class VirtualUR5eConfig:
    """A virtual UR5e."""

    host: str = "127.0.0.2"
    """Address to listen on; give each virtual robot its own 127.0.0.x, because UR's ports are fixed."""
    rtde_port: int = 30004
    """Port of the Real-Time Data Exchange."""
    dashboard_port: int = 29999
    """Port of the dashboard server."""
    primary_port: int = 30001
    """Port of the primary interface; takes scripts."""
    secondary_port: int = 30002
    """Port of the secondary interface; takes scripts."""
    realtime_port: int = 30003
    """Port of the real-time interface; takes scripts."""
    seed: int = 0
    """Seed of the hidden dynamics and of the measurement noise."""
    preset: Literal["hidden", "nominal", "custom"] = "hidden"
    """Which arm: drawn from `seed`, the shipped model without noise, or `dynamics`."""
    dynamics: ArmDynamics = field(default_factory=ArmDynamics)
    """The arm of the preset "custom"."""
    initial_position: tuple[float, float, float, float, float, float] | None = None
    """Joint positions at power-up [rad]; default: the default pose of the robot's specification."""
    speed_scaling: float = 1.0
    """Position of the speed slider, 0..1."""
    unlock_delay_s: float = 5.0
    """Time after a protective stop before it can be unlocked [s]; 5 s on the real controller."""
    powered: bool = True
    """Start with released brakes; otherwise `power on` and `brake release` must be sent to the dashboard."""
    remote_control: bool = True
    """Whether the teach pendant is in remote control; without it scripts and most dashboard commands are refused."""
    serial_number: str = "20235500001"
    """Serial number that the dashboard gives."""
    software_version: tuple[int, int, int, int] = (5, 15, 2, 0)
    """Version of the controller's software: major, minor, bugfix, build."""

    def arm_dynamics(self) -> ArmDynamics:
        """The dynamics that `preset` selects."""
        if self.preset == "hidden":
            return random_dynamics(self.seed)
        return ArmDynamics() if self.preset == "nominal" else self.dynamics
