"""Where a Go2 is, and how carefully it is started."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Go2Config:
    """Network and settings of the low-level connection."""

    interface: str = "eth0"
    """Network interface of this computer that the robot's cable is in; "lo" for a virtual robot."""
    domain: int = 0
    """DDS domain: 0 on the robot, 1 in Unitree's simulator and for the virtual robot."""
    connect_timeout_s: float = 5.0
    """How long `connect` waits for the first state, and then for the motion service to let go [s]."""
    motion_service: bool = True
    """Ask the motion switcher to release the motors, and whether it stays so; False only for simulators without it."""
    recheck_s: float = 1.0
    """Time between two questions whether Unitree's motion service is still released [s]."""
    gain_ramp_s: float = 0.5
    """Time over which gains and torques grow from nothing after the first command [s]."""
    first_step_max_rad: float = 0.2
    """Largest distance of the first command from the measured position [rad]."""
    silence_max_s: float = 0.1
    """A pause between two commands longer than this counts as a loss of control: the motors have damped by then [s]."""
    damping: float = 3.0
    """Damping of the motors in `stop` [Nm s/rad]."""
    charge_min: int = 10
    """State of charge of the battery below which `connect` refuses [%]; a robot that shuts down falls."""
