"""What the two families of virtual servos have in common: a table of registers, and what the mechanics need of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Measurement:
    """What the sensors of one servo see, in the servo's own direction."""

    tick: int
    """Position [1/4096 turn]; below 0 or above 4095 in other turns."""
    tick_speed: float
    """Speed [1/4096 turn per second]."""
    power: float
    """Share of the stall torque at work, -1 to 1."""
    temperature_c: float
    """Temperature [degree Celsius]."""


@dataclass(frozen=True)
class Wish:
    """What the electronics of one servo want of the motor."""

    tick: float
    """Goal [1/4096 turn]."""
    tick_speed: float
    """Largest speed [1/4096 turn per second]."""
    power: float
    """Largest share of the stall torque; 0 is torque off."""


class VirtualServo(Protocol):
    """One servo behind the wire."""

    servo_id: int
    table: bytearray

    @property
    def error(self) -> int:
        """The error byte of an answer to a request that was carried out."""
        ...

    def read(self, address: int, size: int) -> bytes | None:
        """Bytes of the table; None where it has no such place."""
        ...

    def write(self, address: int, data: bytes, now_s: float) -> int:
        """Write into the table; the error byte of the answer."""
        ...

    def measure(self, measurement: Measurement, now_s: float) -> None:
        """Put what the sensors see into the table, and look after the servo's own protection."""
        ...

    def wish(self) -> Wish:
        """What the motor is to do."""
        ...

    def heard(self, now_s: float) -> None:
        """A valid packet went over the bus."""
        ...

    def trip(self, kind: str) -> None:
        """The protection of `kind` ("overload", "overheating") acts now."""
        ...

    def reboot(self, now_s: float) -> None:
        """Restart: the table's volatile part as after power-up."""
        ...


class Stall:
    """Notices a motor that has worked near its limit for too long."""

    def __init__(self, share: float, time_s: float) -> None:
        self._share, self._time_s = share, time_s
        self._since_s: float | None = None

    def noticed(self, power: float, now_s: float) -> bool:
        """Whether `power` has been above the limit for the whole time."""
        if abs(power) < self._share:
            self._since_s = None
            return False
        if self._since_s is None:
            self._since_s = now_s
        return now_s - self._since_s > self._time_s
