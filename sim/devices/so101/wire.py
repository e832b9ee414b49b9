"""Both protocols from the servo's side: requests cut out of a byte stream, answers put together."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Protocol

ALL = 0xFE


@dataclass(frozen=True)
class Request:
    """One request that arrived undamaged."""

    servo_id: int
    instruction: int
    parameters: bytes


@dataclass(frozen=True)
class Block:
    """Part of a table."""

    address: int
    size: int


class Wire(Protocol):
    """One protocol."""

    damaged: int
    """Requests whose check sum was wrong."""

    def requests(self, data: bytes) -> list[Request]:
        """The requests that are complete now."""
        ...

    def forget(self) -> None:
        """Drop the beginning of a request, as servos do after a pause."""
        ...

    def answer(self, servo_id: int, error: int, data: bytes = b"") -> bytes:
        """A status packet."""
        ...

    def block(self, request: Request) -> Block | None:
        """The block that a read, write or sync request is about; None where it is malformed."""
        ...

    def payload(self, request: Request) -> bytes:
        """What follows the head of the request: data of a write, ids of a sync read, ids and data of a sync write."""
        ...


class StsWire:
    """FF FF id length instruction ... check; addresses and sizes of one byte."""

    def __init__(self) -> None:
        self.damaged = 0
        self._pending = b""

    def requests(self, data: bytes) -> list[Request]:
        """The requests that are complete now."""
        self._pending += data
        found: list[Request] = []
        while (start := self._pending.find(b"\xff\xff")) >= 0:
            rest = self._pending[start:]
            if len(rest) < 6 or len(rest) < rest[3] + 4:
                self._pending = rest
                if len(rest) >= 4 and rest[3] < 2:
                    self._pending = rest[1:]
                    continue
                return found
            if rest[2] == 0xFF or rest[3] < 2:
                self._pending = rest[1:]
                continue
            whole, self._pending = rest[: rest[3] + 4], rest[rest[3] + 4 :]
            if (sum(whole[2:]) & 0xFF) != 0xFF:  # a sum and its complement
                self.damaged += 1
                self._pending = rest[1:]
                continue
            found.append(Request(whole[2], whole[4], whole[5:-1]))
        self._pending = self._pending[-1:]
        return found

    def forget(self) -> None:
        """Drop the beginning of a request."""
        self._pending = b""

    def answer(self, servo_id: int, error: int, data: bytes = b"") -> bytes:
        """A status packet."""
        content = struct.pack("BBB", servo_id, len(data) + 2, error) + data
        return b"\xff\xff" + content + bytes([(255 - sum(content)) % 256])

    def block(self, request: Request) -> Block | None:
        """Address first; reads and sync requests give the size, a write has it in its length."""
        parameters = request.parameters
        if request.instruction == 3 and len(parameters) >= 2:
            return Block(parameters[0], len(parameters) - 1)
        return Block(parameters[0], parameters[1]) if len(parameters) >= 2 else None

    def payload(self, request: Request) -> bytes:
        """What follows the head."""
        return request.parameters[1:] if request.instruction == 3 else request.parameters[2:]


class XWire:
    """FF FF FD 00 id length length instruction ... crc crc; addresses and sizes of two bytes; stuffing."""

    def __init__(self) -> None:
        self.damaged = 0
        self._pending = b""

    def requests(self, data: bytes) -> list[Request]:
        """The requests that are complete now."""
        self._pending += data
        found: list[Request] = []
        while (start := self._pending.find(b"\xff\xff\xfd\x00")) >= 0:
            rest = self._pending[start:]
            self._pending = rest
            if len(rest) < 10:
                return found
            (length,) = struct.unpack_from("<H", rest, 5)
            if not 3 <= length <= 2048:
                self._pending = rest[1:]
                continue
            if len(rest) < length + 7:
                return found
            whole = rest[: length + 7]
            if struct.unpack("<H", whole[-2:])[0] != _crc(whole[:-2]):
                self.damaged += 1
                self._pending = rest[1:]
                continue
            self._pending = rest[length + 7 :]
            plain = _unstuffed(whole[7:-2])
            found.append(Request(whole[4], plain[0], plain[1:]))
        self._pending = self._pending[-3:]
        return found

    def forget(self) -> None:
        """Drop the beginning of a request."""
        self._pending = b""

    def answer(self, servo_id: int, error: int, data: bytes = b"") -> bytes:
        """A status packet."""
        content = _stuffed(struct.pack("BB", 0x55, error) + data)
        whole = b"\xff\xff\xfd\x00" + struct.pack("<BH", servo_id, len(content) + 2) + content
        return whole + struct.pack("<H", _crc(whole))

    def block(self, request: Request) -> Block | None:
        """Address first; reads and sync requests give the size, a write has it in its length."""
        parameters = request.parameters
        if request.instruction == 3 and len(parameters) >= 3:
            return Block(struct.unpack_from("<H", parameters)[0], len(parameters) - 2)
        return Block(*struct.unpack_from("<HH", parameters)) if len(parameters) >= 4 else None

    def payload(self, request: Request) -> bytes:
        """What follows the head."""
        return request.parameters[2:] if request.instruction == 3 else request.parameters[4:]


def _crc(data: bytes) -> int:
    """Bit by bit: polynomial x^16 + x^15 + x^2 + 1."""
    register = 0
    for byte in data:
        for bit in range(7, -1, -1):
            feedback = (register >> 15) ^ (byte >> bit & 1)
            register = (register << 1) & 0xFFFF
            if feedback:
                register ^= 0x8005
    return register


def _stuffed(content: bytes) -> bytes:
    stuffed = bytearray()
    for byte in content:
        stuffed.append(byte)
        if stuffed[-3:] == b"\xff\xff\xfd":
            stuffed.append(0xFD)
    return bytes(stuffed)


def _unstuffed(content: bytes) -> bytes:
    plain, skip = bytearray(), False
    for byte in content:
        if skip and byte == 0xFD:
            skip = False
            continue
        plain.append(byte)
        skip = plain[-3:] == b"\xff\xff\xfd"
    return bytes(plain)
