"""The serial Open Interface, host side: commands to bytes, and the sensor stream to readings.

Source: iRobot Create 2 Open Interface Specification. All numbers are big-endian. A packet of the stream is
`19 n [id data]... checksum`; all its bytes sum to zero modulo 256.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

from hardware.create2.spec import WHEEL_SPEED_MAX
from hardware.errors import LimitViolationError

START, SAFE, FULL, STOP = bytes([128]), bytes([131]), bytes([132]), bytes([173])
"""Begin to listen (passive mode), take commands guarded, take commands unguarded, stop listening."""
PAUSE_STREAM = bytes([150, 0])
_DRIVE_DIRECT, _STREAM, _HEADER = 145, 148, 19

BUMPS_AND_DROPS, CLIFFS, CHARGING, VOLTAGE, CHARGE, CAPACITY, SOURCES, MODE, LEFT, RIGHT = (
    7, (9, 10, 11, 12), 21, 22, 25, 26, 34, 35, 43, 44
)  # fmt: skip
LIGHT_BUMPS = (46, 47, 48, 49, 50, 51)
LIGHT_BUMP_MAX = 4095
"""Largest signal of a light bumper."""
FORMATS: dict[int, str] = {
    BUMPS_AND_DROPS: "B",
    **dict.fromkeys(CLIFFS, "B"),
    CHARGING: "B",
    VOLTAGE: "H",
    CHARGE: "H",
    CAPACITY: "H",
    SOURCES: "B",
    MODE: "B",
    LEFT: "H",
    RIGHT: "H",
    **dict.fromkeys(LIGHT_BUMPS, "H"),
}
"""Packets that the driver streams -> format of their data."""
_BODY = struct.Struct(">" + "".join("B" + code for code in FORMATS.values()))
PACKET_BYTES = _BODY.size + 3
"""Length of a packet of the stream."""


class OiMode(IntEnum):
    """Packet 35."""

    OFF = 0
    PASSIVE = 1
    SAFE = 2
    FULL = 3


@dataclass(frozen=True, slots=True)
class Reading:
    """One packet of the stream."""

    bumps_and_drops: int
    """Bits: 0 bump right, 1 bump left, 2 wheel drop right, 3 wheel drop left."""
    cliffs: tuple[int, int, int, int]
    """Left, front left, front right, right; 1: no floor."""
    charging_state: int
    """0 no, 1 reconditioning, 2 full, 3 trickle, 4 waiting, 5 fault."""
    voltage_mv: int
    """Of the battery [mV]."""
    charge_mah: int
    """Left in the battery [mAh]."""
    capacity_mah: int
    """Of the battery [mAh]."""
    charging_sources: int
    """Bits: 0 internal charger, 1 home base."""
    mode: int
    """See `OiMode`."""
    left_counts: int
    """Encoder of the left wheel, modulo 65536."""
    right_counts: int
    """Encoder of the right wheel, modulo 65536."""
    light_bumps: tuple[int, ...] = (0,) * len(LIGHT_BUMPS)
    """Infrared light that comes back, 0 to 4095: left, front left, centre left, centre right, front right, right."""


def drive_direct(left: float, right: float) -> bytes:
    """The command for the speeds of both wheels [m/s], rounded to mm/s.

    Raises:
        LimitViolationError: a wheel cannot be that fast.
    """
    for name, speed in (("left", left), ("right", right)):
        if not abs(speed) <= WHEEL_SPEED_MAX:
            raise LimitViolationError(f"{name} wheel speed [m/s]", speed, -WHEEL_SPEED_MAX, WHEEL_SPEED_MAX)
    return struct.pack(">Bhh", _DRIVE_DIRECT, round(1e3 * right), round(1e3 * left))


def stream_request() -> bytes:
    """The command that starts the stream of the packets in `FORMATS`."""
    return bytes([_STREAM, len(FORMATS), *FORMATS])


def counts_between(before: int, after: int) -> int:
    """Encoder counts from one reading to the next, -32768 to 32767: the shorter way round."""
    return (after - before + 0x8000) % 0x10000 - 0x8000


class StreamParser:
    """Cuts the byte stream into packets; finds back after any damage."""

    def __init__(self) -> None:
        self.bad_packets = 0
        """Packets whose checksum or layout was wrong."""
        self._pending = b""

    def feed(self, data: bytes) -> Iterator[Reading | None]:
        """Take bytes; give each packet they complete, None for one that was damaged."""
        self._pending += data
        while True:
            begin = self._pending.find(bytes([_HEADER, _BODY.size]))
            if begin < 0:
                self._pending = self._pending[-1:]
                return
            if len(self._pending) < begin + PACKET_BYTES:
                self._pending = self._pending[begin:]
                return
            packet = self._pending[begin : begin + PACKET_BYTES]
            reading = _reading(packet)
            # A damaged packet may hide where the next one begins, so only its header is skipped.
            self._pending = self._pending[begin + (PACKET_BYTES if reading is not None else 2) :]
            self.bad_packets += reading is None
            yield reading


def _reading(packet: bytes) -> Reading | None:
    """The content of one packet of the stream; None if it is damaged."""
    if sum(packet) % 256 != 0:
        return None
    fields = _BODY.unpack(packet[2:-1])
    if fields[::2] != tuple(FORMATS):
        return None
    values = fields[1::2]
    ordered = (values[0], values[1:5], *values[5:-6], values[-6:])
    return Reading(*ordered)
