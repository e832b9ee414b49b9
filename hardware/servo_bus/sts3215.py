"""Feetech STS3215: registers and units.

Sources: Feetech, "STS series memory table" and "SMS/STS series communication protocol manual"; data sheet of the
STS3215-C018 (12 V, 1:345): stall torque 30 kg cm at 2.7 A, 45 rev/min without load.
"""

from __future__ import annotations

import math

from hardware.servo_bus.feetech import FeetechProtocol
from hardware.servo_bus.packet import ServoProtocol, Status
from hardware.servo_bus.servo_model import RAD_PER_TICK, Register, ServoReading, sign_magnitude, words_of

NM_PER_AMPERE = 30.0 * 0.0980665 / 2.7
"""Stall torque over stall current [Nm/A]; the gear's losses make it an estimate."""
AMPERE_PER_UNIT = 0.0065
"""Unit of the present current [A]."""
_FAULTS = {0: "supply voltage", 1: "position sensor", 2: "overheating", 3: "overcurrent", 5: "overload"}


class Sts3215:
    """Implements hardware.servo_bus.servo_model.ServoModel."""

    name = "STS3215"
    protocol: ServoProtocol = FeetechProtocol()
    model_number = 777
    model_register = Register(3, 2)
    mode_register = Register(33, 1)
    position_mode = 0
    feedback = Register(56, 15)
    goal_register = Register(42, 2)
    torque_register = Register(40, 1)
    speed_register = Register(46, 2)
    limit_register = Register(48, 2)
    fault_register: Register | None = None
    watchdog_register: Register | None = None
    reboots = False

    def decode(self, status: Status) -> ServoReading:
        """Registers 56 to 70: position, speed, load, voltage, temperature, flag, status, moving, two unused, current.

        Position, speed and current are sign and magnitude (bit 15).
        """
        data = status.data

        def two(offset: int) -> int:
            return sign_magnitude(int.from_bytes(data[offset : offset + 2], "little"), 15)

        return ServoReading(
            tick=two(0),
            velocity=two(2) * RAD_PER_TICK,
            effort=two(13) * AMPERE_PER_UNIT * NM_PER_AMPERE,
            voltage=0.1 * data[6],
            temperature=float(data[7]),
            # The error byte of the packet and the status register carry the same bits.
            faults=self.fault_words(status.error | data[9]),
        )

    def fault_words(self, value: int) -> tuple[str, ...]:
        """The bits of the error byte in words."""
        return words_of(value, _FAULTS)

    def speed(self, speed_rad_s: float) -> int:
        """Steps per second."""
        return max(1, min(math.ceil(speed_rad_s / RAD_PER_TICK), 0x7FFF))

    def limit(self, share: float) -> int:
        """Per mille of the stall torque."""
        return round(1000.0 * share)

    def watchdog(self, time_s: float) -> int:
        """There is none."""
        return 0
