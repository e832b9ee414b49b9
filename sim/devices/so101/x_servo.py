"""A virtual XM430-W350: its control table, units, bus watchdog and shutdown.

Addresses and units are those of the maker's e-Manual.
"""

from __future__ import annotations

import math

from sim.devices.so101.servo import Measurement, Stall, Wish

_SIZE = 147
_READ_ONLY = (*range(0, 7), 70, *range(120, 147))
_EEPROM_END = 64
_GOALS = range(100, 120)
_BITTEN = 0xFF
_ALERT = 0x80
_DATA_RANGE, _DATA_LIMIT, _ACCESS = 0x04, 0x06, 0x07
_STALL_AMPERE = 2.3
_TICK_SPEED_UNIT = 0.229 * 4096 / 60.0
_BIT = {"overload": 1 << 5, "overheating": 1 << 2}


class XServo:
    """Implements sim.devices.so101.servo.VirtualServo."""

    def __init__(self, servo_id: int) -> None:
        self.servo_id = servo_id
        self.table = bytearray(_SIZE)
        self._stall = Stall(0.8, 2.0)
        self._heard_s: float | None = None
        self._put(0, 2, 1020)
        self._put(6, 1, 45)
        self._put(7, 1, servo_id)
        self._put(8, 1, 3)
        self._put(9, 1, 250)
        self._put(11, 1, 3)
        self._put(31, 1, 80)
        self._put(36, 2, 885)
        self._put(48, 4, 4095)
        self._volatile()

    @property
    def error(self) -> int:
        """The error byte: an alert while the hardware error status is not zero."""
        return _ALERT if self.table[70] else 0

    def read(self, address: int, size: int) -> bytes | None:
        """Bytes of the table; None where it has no such place."""
        if size < 1 or address + size > _SIZE:
            return None
        return bytes(self.table[address : address + size])

    def write(self, address: int, data: bytes, now_s: float) -> int:
        """Write into the table, under the maker's rules; the error byte of the answer."""
        end = address + len(data)
        if end > _SIZE or any(place in _READ_ONLY for place in range(address, end)):
            return self.error | _ACCESS
        if address < _EEPROM_END and self.table[64]:
            return self.error | _ACCESS
        if self.table[98] == _BITTEN and any(place in _GOALS for place in range(address, end)):
            return self.error | _DATA_RANGE
        if address <= 116 and end >= 120:
            goal = int.from_bytes(data[116 - address : 120 - address], "little", signed=True)
            if not self._get(52, 4) <= goal <= self._get(48, 4):
                return self.error | _DATA_LIMIT
        if address <= 64 < end and data[64 - address] and self.table[70]:
            return self.error | _ACCESS  # shut down: only a restart helps
        self.table[address:end] = data
        self._heard_s = now_s
        return self.error

    def measure(self, measurement: Measurement, now_s: float) -> None:
        """Registers 120 to 146, the watch over the bus, and the shutdown at overload and heat."""
        if self._stall.noticed(measurement.power, now_s):
            self.trip("overload")
        if measurement.temperature_c >= self.table[31]:
            self.trip("overheating")
        self._put(122, 1, int(abs(measurement.tick_speed) > 10.0 * _TICK_SPEED_UNIT))
        self._put_signed(124, 2, round(measurement.power * 885))
        self._put_signed(126, 2, round(measurement.power * _STALL_AMPERE / 2.69e-3))
        self._put_signed(128, 4, round(measurement.tick_speed / _TICK_SPEED_UNIT))
        self._put_signed(132, 4, measurement.tick)
        self._put(144, 2, 121)
        self._put(146, 1, min(255, round(measurement.temperature_c)))
        limit = self.table[98]
        if 1 <= limit <= 127 and self.table[64] and self._heard_s is not None and now_s - self._heard_s > 0.02 * limit:
            self.table[98] = _BITTEN
            self._put(116, 4, min(max(measurement.tick, 0), 4095))  # stop here

    def wish(self) -> Wish:
        """Goal, profile velocity (0: unlimited) and goal PWM."""
        power = self._get(100, 2) / 885.0 if self.table[64] else 0.0
        speed = self._get(112, 4) * _TICK_SPEED_UNIT
        return Wish(float(self._get(116, 4)), speed if speed else math.inf, power)

    def heard(self, now_s: float) -> None:
        """A packet went over the bus: the watchdog is fed."""
        self._heard_s = now_s

    def trip(self, kind: str) -> None:
        """Shutdown: an error in the status, and the torque off, until a restart."""
        self.table[70] |= _BIT[kind]
        self.table[64] = 0

    def reboot(self, now_s: float) -> None:
        """The volatile part as after power-up."""
        self._volatile()

    def _volatile(self) -> None:
        self.table[64:120] = bytes(56)
        self._put(100, 2, self._get(36, 2))

    def _put(self, address: int, size: int, value: int) -> None:
        self.table[address : address + size] = value.to_bytes(size, "little")

    def _put_signed(self, address: int, size: int, value: int) -> None:
        self.table[address : address + size] = value.to_bytes(size, "little", signed=True)

    def _get(self, address: int, size: int) -> int:
        return int.from_bytes(self.table[address : address + size], "little")
