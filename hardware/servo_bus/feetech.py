"""The packets of Feetech's STS and SMS servos.

    FF FF id length instruction parameters check        length = parameters + 2
    FF FF id length error       data       check        check = bitwise not of the sum of id ... last parameter

Source: Feetech, "SMS/STS series communication protocol manual". Numbers in tables are little-endian.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hardware.errors import ProtocolError
from hardware.servo_bus.packet import BROADCAST_ID, Status

PING, READ, WRITE, REBOOT, SYNC_READ, SYNC_WRITE = 0x01, 0x02, 0x03, 0x08, 0x82, 0x83
_HEADER = b"\xff\xff"
_LENGTH_MAX = 0xFC


def packet(servo_id: int, instruction: int, parameters: bytes = b"") -> bytes:
    """One request.

    Raises:
        ProtocolError: more parameters than a packet can carry.
    """
    length = len(parameters) + 2
    if length > _LENGTH_MAX:
        raise ProtocolError(f"a Feetech packet carries at most {_LENGTH_MAX - 2} parameters, not {len(parameters)}")
    body = bytes((servo_id, length, instruction)) + parameters
    return _HEADER + body + bytes((check_sum(body),))


def check_sum(body: bytes) -> int:
    """Bitwise not of the low byte of the sum of `body` (id to last parameter)."""
    return ~sum(body) & 0xFF


class FeetechProtocol:
    """Implements hardware.servo_bus.packet.ServoProtocol."""

    name = "Feetech STS"
    status_overhead = 6

    def ping(self, servo_id: int) -> bytes:
        """Ask whether a servo is there."""
        return packet(servo_id, PING)

    def read(self, servo_id: int, address: int, size: int) -> bytes:
        """Ask one servo for `size` bytes of its table."""
        return packet(servo_id, READ, bytes((address, size)))

    def sync_read(self, servo_ids: Sequence[int], address: int, size: int) -> bytes:
        """Ask several servos for the same `size` bytes; they answer one after the other."""
        return packet(BROADCAST_ID, SYNC_READ, bytes((address, size, *servo_ids)))

    def sync_write(self, address: int, values: Mapping[int, bytes]) -> bytes:
        """Write bytes of equal length into several servos; nobody answers.

        Raises:
            ProtocolError: the lengths differ.
        """
        sizes = {len(value) for value in values.values()}
        if len(sizes) != 1:
            raise ProtocolError(f"a sync write needs values of one length, not {sorted(sizes)}")
        body = b"".join(bytes((servo_id,)) + value for servo_id, value in values.items())
        return packet(BROADCAST_ID, SYNC_WRITE, bytes((address, sizes.pop())) + body)

    def reboot(self, servo_id: int) -> bytes:
        """Restart one servo."""
        return packet(servo_id, REBOOT)

    def decoder(self) -> FeetechDecoder:
        """A decoder of what servos answer."""
        return FeetechDecoder()


class FeetechDecoder:
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
                del buffer[: max(0, len(buffer) - 1)]  # the last byte may begin a header
                return found
            del buffer[:start]
            if len(buffer) < 4:
                return found
            servo_id, length = buffer[2], buffer[3]
            if servo_id >= BROADCAST_ID or not 2 <= length <= _LENGTH_MAX:
                del buffer[0]
                continue
            end = length + 4
            if len(buffer) < end:
                return found
            if check_sum(bytes(buffer[2 : end - 1])) != buffer[end - 1]:
                self.damaged += 1
                del buffer[0]
                continue
            found.append(Status(servo_id, buffer[4], bytes(buffer[5 : end - 1])))
            del buffer[:end]
