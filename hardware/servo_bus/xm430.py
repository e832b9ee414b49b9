"""Dynamixel XM430-W350: registers and units.

Source: Robotis e-Manual, "XM430-W350": control table; stall torque 4.1 Nm at 2.3 A and 12 V.
"""

from __future__ import annotations

import math

from hardware.servo_bus.dynamixel import DynamixelProtocol
from hardware.servo_bus.packet import ServoProtocol, Status
from hardware.servo_bus.servo_model import Register, ServoReading, signed, words_of

RAD_S_PER_UNIT = 0.229 * 2.0 * math.pi / 60.0
"""Unit of velocities, 0.229 rev/min [rad/s]."""
AMPERE_PER_UNIT = 2.69e-3
"""Unit of currents [A]."""
NM_PER_AMPERE = 4.1 / 2.3
"""Stall torque over stall current [Nm/A]."""
PWM_FULL = 885
"""Goal PWM of full power."""
WATCHDOG_UNIT_S = 0.02
"""Unit of the bus watchdog [s]."""
_ALERT = 0x80
_ERRORS = 0x7F
_FAULTS = {0: "supply voltage", 2: "overheating", 3: "position sensor", 4: "electrical shock", 5: "overload"}


class Xm430W350:
    """Implements hardware.servo_bus.servo_model.ServoModel."""

    name = "XM430-W350"
    protocol: ServoProtocol = DynamixelProtocol()
    model_number = 1020
    model_register = Register(0, 2)
    mode_register = Register(11, 1)
    position_mode = 3
    feedback = Register(126, 21)
    goal_register = Register(116, 4)
    torque_register = Register(64, 1)
    speed_register = Register(112, 4)
    limit_register = Register(100, 2)
    fault_register: Register | None = Register(70, 1)
    watchdog_register: Register | None = Register(98, 1)
    reboots = True

    def decode(self, status: Status) -> ServoReading:
        """Registers 126 to 146: current, velocity, position, two trajectories, voltage, temperature."""
        data = status.data

        def number(offset: int, size: int) -> int:
            return signed(int.from_bytes(data[offset : offset + size], "little"), 8 * size)

        refusal = status.error & _ERRORS
        return ServoReading(
            tick=number(6, 4),
            velocity=number(2, 4) * RAD_S_PER_UNIT,
            effort=number(0, 2) * AMPERE_PER_UNIT * NM_PER_AMPERE,
            voltage=0.1 * int.from_bytes(data[18:20], "little"),
            temperature=float(data[20]),
            faults=(f"refuses to be read (error {refusal})",) if refusal else (),
            alert=bool(status.error & _ALERT),
        )

    def fault_words(self, value: int) -> tuple[str, ...]:
        """The bits of the hardware error status in words."""
        return words_of(value, _FAULTS)

    def speed(self, speed_rad_s: float) -> int:
        """Profile velocity, in units of 0.229 rev/min."""
        return max(1, min(math.ceil(speed_rad_s / RAD_S_PER_UNIT), 0x7FFF))

    def limit(self, share: float) -> int:
        """Goal PWM, which bounds the power in position mode."""
        return round(PWM_FULL * share)

    def watchdog(self, time_s: float) -> int:
        """Units of 20 ms, 1 to 127."""
        return max(1, min(math.ceil(time_s / WATCHDOG_UNIT_S), 127))
