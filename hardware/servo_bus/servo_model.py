"""What the bus needs to know of one model of servo: its registers and units."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, Protocol

from hardware.servo_bus.packet import ServoProtocol, Status

TICKS_PER_TURN = 4096
"""Resolution of the position sensors of both families."""
RAD_PER_TICK = 2.0 * math.pi / TICKS_PER_TURN

ServoFamily = Literal["feetech", "dynamixel"]
"""The families that have a model here."""


@dataclass(frozen=True, slots=True)
class ServoReading:
    """One servo, measured."""

    tick: int
    """Position [1/4096 turn]."""
    velocity: float
    """Velocity of the shaft in the servo's own direction [rad/s]."""
    effort: float
    """Torque of the shaft in the servo's own direction, from the motor current [Nm]."""
    voltage: float
    """Supply [V]."""
    temperature: float
    """Temperature [degree Celsius]."""
    faults: tuple[str, ...]
    """What the servo complains of, in words; empty where all is well."""
    alert: bool = False
    """Whether `fault_register` must be read to know what the servo complains of."""


@dataclass(frozen=True, slots=True)
class Register:
    """A place in a servo's table."""

    address: int
    size: int

    def bytes_of(self, value: int) -> bytes:
        """A value that is not negative, as the table holds it."""
        return value.to_bytes(self.size, "little")


class ServoModel(Protocol):
    """Registers and units of one model of servo."""

    name: str
    protocol: ServoProtocol
    model_number: int
    model_register: Register
    mode_register: Register
    position_mode: int
    """Value of `mode_register` in position mode."""
    feedback: Register
    """The block that holds all that is measured; read in every cycle."""
    goal_register: Register
    torque_register: Register
    speed_register: Register
    """Largest speed towards a goal."""
    limit_register: Register
    """Largest share of the motor's power, in RAM."""
    fault_register: Register | None
    """What an `alert` is about; None where the feedback says it."""
    watchdog_register: Register | None
    """The servo's own watch over the bus; None where it has none."""
    reboots: bool
    """Whether faults are cleared by a restart (else by switching the torque off and on)."""

    def decode(self, status: Status) -> ServoReading:
        """The `feedback` block in units."""
        ...

    def fault_words(self, value: int) -> tuple[str, ...]:
        """The bits of `fault_register` in words."""
        ...

    def speed(self, speed_rad_s: float) -> int:
        """Value of `speed_register`, rounded up; at least 1, because 0 means unlimited."""
        ...

    def limit(self, share: float) -> int:
        """Value of `limit_register` for a share of the full power, 0 to 1."""
        ...

    def watchdog(self, time_s: float) -> int:
        """Value of `watchdog_register`."""
        ...


def family_model(family: ServoFamily) -> ServoModel:
    """The model that stands for a family: STS3215 or XM430-W350."""
    # Imported here because both modules import this one.
    if family == "feetech":
        from hardware.servo_bus.sts3215 import Sts3215

        return Sts3215()
    from hardware.servo_bus.xm430 import Xm430W350

    return Xm430W350()


def signed(value: int, bits: int) -> int:
    """Two's complement."""
    return value - (1 << bits) if value >> (bits - 1) else value


def sign_magnitude(value: int, sign_bit: int) -> int:
    """A number whose bit `sign_bit` says minus."""
    magnitude = value & ((1 << sign_bit) - 1)
    return -magnitude if value >> sign_bit & 1 else magnitude


def words_of(value: int, bits: dict[int, str]) -> tuple[str, ...]:
    """The words of the bits that are set."""
    return tuple(words for bit, words in bits.items() if value >> bit & 1)
