"""A virtual STS3215: its memory table, units and protection.

Addresses and units are those of the maker's memory table for the STS series.
"""

from __future__ import annotations

from sim.devices.so101.servo import Measurement, Stall, Wish

_SIZE = 87
_READ_ONLY = range(56, 72)
_STALL_AMPERE = 2.7
_BIT = {"overload": 1 << 5, "overheating": 1 << 2}


class StsServo:
    """Implements sim.devices.so101.servo.VirtualServo.

    It starts with its torque off and a goal that has nothing to do with where it stands, as after a change of its
    offset: a client that switches the torque on without setting the goal sees it leap.
    """

    def __init__(self, servo_id: int) -> None:
        self.servo_id = servo_id
        self.table = bytearray(_SIZE)
        self._tripped = 0
        self._stall = Stall(0.8, 2.0)
        self._put(0, 1, 3)
        self._put(1, 1, 10)
        self._put(3, 2, 777)
        self._put(5, 1, servo_id)
        self._put(8, 1, 1)  # answers everything
        self._put(11, 2, 4095)
        self._put(13, 1, 70)
        self._put(16, 2, 1000)
        self._put(34, 1, 20)
        self._volatile()

    @property
    def error(self) -> int:
        """The error byte: what the servo protects itself from."""
        return self._tripped

    def read(self, address: int, size: int) -> bytes | None:
        """Bytes of the table; None where it has no such place."""
        if size < 1 or address + size > _SIZE:
            return None
        return bytes(self.table[address : address + size])

    def write(self, address: int, data: bytes, now_s: float) -> int:
        """Write into the table. The real servo ignores what it does not allow, and so does this one."""
        for offset, value in enumerate(data):
            place = address + offset
            if place < _SIZE and place not in _READ_ONLY and place > 4:
                self.table[place] = value
        if address <= 40 < address + len(data) and self.table[40] == 0:
            self._tripped = 0  # protection ends when the torque is switched off
        return self.error

    def measure(self, measurement: Measurement, now_s: float) -> None:
        """Registers 56 to 70, and the protection against overload and heat."""
        if self._stall.noticed(measurement.power, now_s):
            self.trip("overload")
        if measurement.temperature_c >= self.table[13]:
            self.trip("overheating")
        self._put(56, 2, _signed(measurement.tick))
        self._put(58, 2, _signed(round(measurement.tick_speed)))
        load = min(1000, round(abs(measurement.power) * 1000))
        self._put(60, 2, load | (1 << 10 if measurement.power < 0.0 else 0))
        self._put(62, 1, 121)
        self._put(63, 1, min(255, round(measurement.temperature_c)))
        self._put(65, 1, self._tripped)
        self._put(66, 1, int(abs(measurement.tick_speed) > 20.0))
        self._put(69, 2, _signed(round(measurement.power * _STALL_AMPERE / 0.0065)))

    def wish(self) -> Wish:
        """Goal, speed (0: unlimited) and torque limit; 20 % of the torque while tripped."""
        power = self._get(48, 2) / 1000.0 if self.table[40] == 1 else 0.0
        if self._tripped:
            power = min(power, self.table[34] / 100.0)
        goal = self._get(42, 2)
        tick = -(goal & 0x7FFF) if goal & 0x8000 else goal
        speed = self._get(46, 2) & 0x7FFF
        return Wish(float(min(max(tick, self._get(9, 2)), self._get(11, 2))), float(speed or 3073), power)

    def heard(self, now_s: float) -> None:
        """This family does not watch the bus."""

    def trip(self, kind: str) -> None:
        """The protection acts: little torque until the torque is switched off."""
        self._tripped |= _BIT[kind]

    def reboot(self, now_s: float) -> None:
        """The volatile part as after power-up."""
        self._tripped = 0
        self._volatile()

    def _volatile(self) -> None:
        self.table[40:56] = bytes(16)
        self.table[48:50] = self.table[16:18]
        self.table[55] = 1

    def _put(self, address: int, size: int, value: int) -> None:
        self.table[address : address + size] = value.to_bytes(size, "little")

    def _get(self, address: int, size: int) -> int:
        return int.from_bytes(self.table[address : address + size], "little")


def _signed(value: int) -> int:
    """Sign and magnitude, bit 15."""
    return min(abs(value), 0x7FFF) | (0x8000 if value < 0 else 0)
