"""The packets of Robotis' Dynamixel protocol 2.0.

    FF FF FD 00 id length_low length_high instruction parameters crc_low crc_high     length = parameters + 3
    FF FF FD 00 id length_low length_high 55 error    data       crc_low crc_high     length = data + 4

After FF FF FD inside instruction and parameters one FD is stuffed in; the length counts it.
Source: Robotis e-Manual, "DYNAMIXEL Protocol 2.0". Numbers in tables are little-endian.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hardware.errors import ProtocolError
from hardware.servo_bus.packet import BROADCAST_ID, Status

PING, READ, WRITE, REBOOT, STATUS, SYNC_READ, SYNC_WRITE = 0x01, 0x02, 0x03, 0x08, 0x55, 0x82, 0x83
_HEADER = b"\xff\xff\xfd\x00"
_FORBIDDEN = b"\xff\xff\xfd"
_STUFFED = b"\xff\xff\xfd\xfd"
_LENGTH_MAX = 1024
"""Longer packets are noise: no servo of the X series has a table this long."""


def _crc_table() -> tuple[int, ...]:
    table = []
    for byte in range(256):
        value = byte << 8
        for _ in range(8):
            value = (value << 1) ^ 0x8005 if value & 0x8000 else value << 1
        table.append(value & 0xFFFF)
    return tuple(table)


_CRC_TABLE = _crc_table()


def crc16(data: bytes) -> int:
    """CRC-16 with polynomial 0x8005, start 0, not reflected, over everything before it."""
    crc = 0
    for byte in data:
        crc = ((crc << 8) & 0xFFFF) ^ _CRC_TABLE[(crc >> 8) ^ byte]
    return crc


def packet(servo_id: int, instruction: int, parameters: bytes = b"") -> bytes:
    """One request.

    Raises:
        ProtocolError: more parameters than a packet can carry.
    """
    content = (bytes((instruction,)) + parameters).replace(_FORBIDDEN, _STUFFED)
    length = len(content) + 2
    if length > _LENGTH_MAX:
        raise ProtocolError(f"a Dynamixel packet carries at most {_LENGTH_MAX - 3} parameters, not {len(parameters)}")
    head = _HEADER + bytes((servo_id,)) + length.to_bytes(2, "little") + content
    return head + crc16(head).to_bytes(2, "little")


class DynamixelProtocol:
    """Implements hardware.servo_bus.packet.ServoProtocol."""

    name = "Dynamixel 2.0"
    status_overhead = 11

    def ping(self, servo_id: int) -> bytes:
        """Ask whether a servo is there."""
        return packet(servo_id, PING)

    def read(self, servo_id: int, address: int, size: int) -> bytes:
        """Ask one servo for `size` bytes of its table."""
        return packet(servo_id, READ, _two(address) + _two(size))

    def sync_read(self, servo_ids: Sequence[int], address: int, size: int) -> bytes:
        """Ask several servos for the same `size` bytes; they answer one after the other."""
        return packet(BROADCAST_ID, SYNC_READ, _two(address) + _two(size) + bytes(servo_ids))

    def sync_write(self, address: int, values: Mapping[int, bytes]) -> bytes:
        """Write bytes of equal length into several servos; nobody answers.

        Raises:
            ProtocolError: the lengths differ.
        """
        sizes = {len(value) for value in values.values()}
        if len(sizes) != 1:
            raise ProtocolError(f"a sync write needs values of one length, not {sorted(sizes)}")
        body = b"".join(bytes((servo_id,)) + value for servo_id, value in values.items())
        return packet(BROADCAST_ID, SYNC_WRITE, _two(address) + _two(sizes.pop()) + body)

    def reboot(self, servo_id: int) -> bytes:
        """Restart one servo."""
        return packet(servo_id, REBOOT)

    def decoder(self) -> DynamixelDecoder:
        """A decoder of what servos answer."""
        return DynamixelDecoder()


class DynamixelDecoder:
    """Finds status packets; skips what is none."""

    def __init__(self) -> None:
        self.damaged = 0
        self._buffer = bytearray()

    def reset(self) -> None:
        """Forget the beginning of a packet."""
        self._buffer.clear()

    def feed(self, data: bytes) -> list[Status]:
        """The packets that are complete now."""
        buffer = self._buffer
        found: list[Status] = []
        buffer += data
        while True:
            start = buffer.find(_HEADER)
            if start < 0:
                del buffer[: max(0, len(buffer) - 3)]  # the last three bytes may begin a header
                return found
            del buffer[:start]
            if len(buffer) < 7:
                return found
            servo_id, length = buffer[4], int.from_bytes(buffer[5:7], "little")
            if servo_id >= BROADCAST_ID or not 4 <= length <= _LENGTH_MAX:
                del buffer[0]
                continue
            end = length + 7
            if len(buffer) < end:
                return found
            whole = bytes(buffer[:end])
            if crc16(whole[:-2]) != int.from_bytes(whole[-2:], "little"):
                self.damaged += 1
                del buffer[0]
                continue
            del buffer[:end]
            content = whole[7:-2].replace(_STUFFED, _FORBIDDEN)
            if content[0] == STATUS:
                found.append(Status(servo_id, content[1], content[2:]))


def _two(value: int) -> bytes:
    return value.to_bytes(2, "little")
