"""The serial protocol of the VESC, host side: payloads in frames with a checksum, commands and values.

A frame is `02 length payload crc 03`; the checksum is CRC-16/XMODEM over the payload. (There are longer frames, for
payloads above 255 bytes; nothing asked for here is that long.) All numbers are big-endian.
Facts from vedderb/bldc: comm/packet.c, comm/commands.c, datatypes.h.
"""

from __future__ import annotations

import binascii
import struct
from collections.abc import Iterator
from dataclasses import dataclass

_BEGIN, _END = 2, 3
_GET_VALUES, _SET_CURRENT_BRAKE, _SET_RPM, _SET_SERVO_POS = 4, 7, 8, 12
PAYLOAD_MAX = 128
"""A longer payload is no answer to anything asked here, so its length is damaged [bytes]."""
_VALUES = struct.Struct(">hhiiiihihiiiiiiB")
# Behind the fault code: position, controller id, three temperatures and two voltages, then the status.
_STATUS_AT = 1 + _VALUES.size + 4 + 1 + 3 * 2 + 2 * 4
FAULTS = {
    0: "none",
    1: "over voltage",
    2: "under voltage",
    3: "gate driver",
    4: "absolute over current",
    5: "over temperature of the transistors",
    6: "over temperature of the motor",
}
"""Code of `Values.fault` -> words; others are named by number."""


@dataclass(frozen=True, slots=True)
class Values:
    """What GET_VALUES answers, as far as the driver uses it."""

    motor_current_a: float
    """[A]."""
    input_voltage_v: float
    """Of the battery [V]."""
    erpm: int
    """Electrical revolutions per minute."""
    tachometer: int
    """Steps of the commutation, six per electrical revolution, signed 32 bit, wraps."""
    fault: int
    """See `FAULTS`."""
    timed_out: bool = False
    """No command for the controller's own timeout; older firmware does not tell."""
    kill_switch: bool = False
    """Its kill switch is open; older firmware does not tell."""


def frame(payload: bytes) -> bytes:
    """`payload` in a frame."""
    return bytes([_BEGIN, len(payload)]) + payload + struct.pack(">HB", binascii.crc_hqx(payload, 0), _END)


def get_values() -> bytes:
    """Ask for the values."""
    return frame(bytes([_GET_VALUES]))


def set_rpm(erpm: int) -> bytes:
    """Regulate to `erpm` electrical revolutions per minute."""
    return frame(struct.pack(">Bi", _SET_RPM, erpm))


def set_brake(current_a: float) -> bytes:
    """Brake with `current_a` [A]."""
    return frame(struct.pack(">Bi", _SET_CURRENT_BRAKE, round(1e3 * current_a)))


def set_servo(position: float) -> bytes:
    """Put the steering servo to `position`, 0 to 1."""
    return frame(struct.pack(">Bh", _SET_SERVO_POS, round(1e3 * position)))


def parse_values(payload: bytes) -> Values | None:
    """The values in an answer; None for another answer or one that is too short."""
    if not payload or payload[0] != _GET_VALUES or len(payload) < 1 + _VALUES.size:
        return None
    fields = _VALUES.unpack_from(payload, 1)
    status = payload[_STATUS_AT] if len(payload) > _STATUS_AT else 0
    return Values(
        motor_current_a=fields[2] / 100,
        erpm=fields[7],
        input_voltage_v=fields[8] / 10,
        tachometer=fields[13],
        fault=fields[15],
        timed_out=bool(status & 1),
        kill_switch=bool(status & 2),
    )


class FrameParser:
    """Cuts the byte stream into payloads; finds back after any damage."""

    def __init__(self) -> None:
        self.bad_frames = 0
        """Frames whose checksum or end was wrong."""
        self._pending = b""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Take bytes; give the payload of each frame they complete."""
        self._pending += data
        while len(self._pending) > 1:
            begin, length = self._pending[0], self._pending[1]
            if begin != _BEGIN or not 0 < length <= PAYLOAD_MAX:
                self._pending = self._pending[1:]
                continue
            end = 2 + length
            if len(self._pending) < end + 3:
                return
            payload = self._pending[2:end]
            if self._pending[end : end + 3] == struct.pack(">HB", binascii.crc_hqx(payload, 0), _END):
                self._pending = self._pending[end + 3 :]
                yield payload
            else:
                # Where the damage is, nobody knows: the next frame may begin inside this one.
                self.bad_frames += 1
                self._pending = self._pending[1:]
