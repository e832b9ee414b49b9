"""How to reach and drive one UR5e."""

from __future__ import annotations

from dataclasses import dataclass

from hardware.errors import ConfigError

_RANGES = {
    "lookahead_s": (0.03, 0.2),
    "gain": (100.0, 2000.0),
    "watchdog_s": (0.004, 1.0),
    "stop_deceleration": (1.0, 40.0),
    "first_step_max_rad": (1e-3, 1.0),
}


@dataclass(frozen=True)
class UR5eConfig:
    """How to reach and drive one UR5e.

    Raises:
        ConfigError: a setting is outside the range that the controller takes.
    """

    host: str = "192.168.1.10"
    """Address of the controller."""
    rtde_port: int = 30004
    """Port of the Real-Time Data Exchange."""
    script_port: int = 30002
    """Port that takes programs (the secondary interface)."""
    dashboard_port: int = 29999
    """Port of the dashboard server."""
    lookahead_s: float = 0.03
    """Smoothing time of the controller's `servoj` [s], 0.03 to 0.2; the arm follows about this much later."""
    gain: float = 300.0
    """Position gain of the controller's `servoj`, 100 to 2000."""
    watchdog_s: float = 0.1
    """The arm stops after this time without a command [s]."""
    stop_deceleration: float = 10.0
    """Deceleration of every stop [rad/s^2]."""
    first_step_max_rad: float = 0.1
    """The first command must be this close to the measured position, per joint [rad]."""
    power_on: bool = True
    """Switch on the motors and release the brakes where needed."""
    connect_timeout_s: float = 2.0
    """Longest wait for each connection and each reply while connecting [s]."""
    power_timeout_s: float = 30.0
    """Longest wait for the motors and brakes [s]."""

    def __post_init__(self) -> None:
        for name, (low, high) in _RANGES.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise ConfigError(f"UR5e configuration: {name} = {value} is outside [{low}, {high}]")
