"""How to reach and drive one car."""

from __future__ import annotations

from dataclasses import dataclass

from hardware.errors import ConfigError

_RANGES = {
    "erpm_per_m_s": (100.0, 100_000.0),
    "servo_per_rad": (-10.0, 10.0),
    "servo_min": (0.0, 1.0),
    "servo_max": (0.0, 1.0),
    "brake_current_a": (0.0, 50.0),
    "speed_min": (0.0, 1.0),
    "connect_timeout_s": (0.01, 60.0),
}


@dataclass(frozen=True)
class RacecarConfig:
    """How to reach and drive one car. The defaults of the scales are those of the F1TENTH build; calibrate your own.

    Raises:
        ConfigError: a value is outside its range.
    """

    port: str = "/dev/ttyACM0"
    """Serial port of the VESC; better a link below /dev/serial/by-id."""
    erpm_per_m_s: float = 4614.0
    """Electrical revolutions per minute at 1 m/s: 60 * pole pairs * gear ratio / (pi * wheel diameter)."""
    servo_per_rad: float = -1.2135
    """Change of the servo's position (scale 0 to 1) per steering angle [1/rad]; the sign is that of its mounting."""
    servo_straight: float = 0.5304
    """Servo position at which the car drives straight on."""
    servo_min: float = 0.15
    """Lowest servo position that does not strain the linkage."""
    servo_max: float = 0.85
    """Highest servo position that does not strain the linkage."""
    speed_min: float = 0.2
    """Below this speed the VESC lets the motor coast (its 900 electrical rpm); the driver brakes instead [m/s]."""
    brake_current_a: float = 5.0
    """Current of the brake at rest, and of a stop [A]."""
    connect_timeout_s: float = 2.0
    """Longest wait for the first answer [s]."""

    def __post_init__(self) -> None:
        for name, (low, high) in _RANGES.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise ConfigError(f"racecar configuration: {name} = {value} is outside [{low}, {high}]")
        if self.servo_per_rad == 0.0 or not self.servo_min < self.servo_straight < self.servo_max:
            raise ConfigError("racecar configuration: servo_min < servo_straight < servo_max, servo_per_rad not 0")
