"""The wire format of Universal Robots' Real-Time Data Exchange, protocol version 2. Pure: bytes in, values out.

Every package is a header (uint16 size with the header, uint8 type) and a payload; all numbers are big-endian.
Source: Universal Robots, "Real-Time Data Exchange (RTDE) Guide".
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from typing import TypeAlias

from hardware.errors import ProtocolError

PROTOCOL_VERSION = 2
"""The protocol version spoken here."""
PACKAGE_SIZE_MAX = 65535
"""Largest package; its size field has 16 bits [bytes]."""

Scalar: TypeAlias = bool | int | float
Value: TypeAlias = Scalar | tuple[Scalar, ...]
"""A field of a data package: a number, or a tuple of 3 or 6 numbers for a vector."""

_HEADER = struct.Struct(">HB")
_FORMATS = {
    "BOOL": ("?", 1),
    "UINT8": ("B", 1),
    "INT32": ("i", 1),
    "UINT32": ("I", 1),
    "UINT64": ("Q", 1),
    "DOUBLE": ("d", 1),
    "VECTOR3D": ("d", 3),
    "VECTOR6D": ("d", 6),
    "VECTOR6INT32": ("i", 6),
    "VECTOR6UINT32": ("I", 6),
}
"""Type word -> (struct letter, how many)."""


class PackageType(IntEnum):
    """The type byte of a package."""

    PROTOCOL_VERSION = ord("V")
    CONTROLLER_VERSION = ord("v")
    TEXT = ord("M")
    DATA = ord("U")
    OUTPUT_SETUP = ord("O")
    INPUT_SETUP = ord("I")
    START = ord("S")
    PAUSE = ord("P")


@dataclass(frozen=True, slots=True)
class TextMessage:
    """A message that the controller sends on its own."""

    text: str
    """The message."""
    source: str
    """Who sends it."""
    level: int
    """0 exception, 1 error, 2 warning, 3 information."""


@dataclass(frozen=True)
class Recipe:
    """The agreed layout of data packages."""

    recipe_id: int
    """Number of the recipe on this connection."""
    names: tuple[str, ...]
    """Variables, in order."""
    types: tuple[str, ...]
    """Their type words, in order."""

    @cached_property
    def _struct(self) -> struct.Struct:
        return struct.Struct(">B" + "".join(f"{count}{letter}" for letter, count in self._formats))

    @cached_property
    def _formats(self) -> tuple[tuple[str, int], ...]:
        return tuple(_FORMATS[word] for word in self.types)

    @property
    def payload_size(self) -> int:
        """Size of a data package's payload [bytes]."""
        return self._struct.size

    def pack(self, values: Mapping[str, Value]) -> bytes:
        """A whole data package with `values`, by name.

        Raises:
            ProtocolError: a value is missing, or does not fit its type.
        """
        flat: list[Scalar] = []
        try:
            for name in self.names:
                value = values[name]
                flat.extend(value) if isinstance(value, tuple) else flat.append(value)
            return encode(PackageType.DATA, self._struct.pack(self.recipe_id, *flat))
        except (KeyError, struct.error) as error:
            raise ProtocolError(
                f"cannot pack RTDE recipe {self.recipe_id} ({', '.join(self.names)}): {error}"
            ) from error

    def unpack(self, payload: bytes) -> dict[str, Value]:
        """The values of a data package's payload, by name.

        Raises:
            ProtocolError: another recipe, or another size.
        """
        if len(payload) != self._struct.size:
            raise ProtocolError(f"RTDE data of {len(payload)} bytes, expected {self._struct.size}")
        recipe_id, *flat = self._struct.unpack(payload)
        if recipe_id != self.recipe_id:
            raise ProtocolError(f"RTDE data of recipe {recipe_id}, expected {self.recipe_id}")
        values: dict[str, Value] = {}
        start = 0
        for name, (_, count) in zip(self.names, self._formats, strict=True):
            values[name] = flat[start] if count == 1 else tuple(flat[start : start + count])
            start += count
        return values


class Decoder:
    """Cuts a byte stream into packages, however it was split on the way."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """(type, payload) of every package that `data` completes.

        Raises:
            ProtocolError: a size field that is smaller than the header.
        """
        self._buffer += data
        while len(self._buffer) >= _HEADER.size:
            size, kind = _HEADER.unpack_from(self._buffer)
            if size < _HEADER.size:
                raise ProtocolError(f"RTDE package of {size} bytes: not an RTDE stream")
            if len(self._buffer) < size:
                return
            payload = bytes(self._buffer[_HEADER.size : size])
            del self._buffer[:size]
            yield kind, payload


def encode(kind: int, payload: bytes = b"") -> bytes:
    """A package of type `kind`.

    Raises:
        ProtocolError: the payload is too long for one package.
    """
    size = _HEADER.size + len(payload)
    if size > PACKAGE_SIZE_MAX:
        raise ProtocolError(f"RTDE package of {size} bytes, at most {PACKAGE_SIZE_MAX} fit")
    return _HEADER.pack(size, kind) + payload


def protocol_version_request() -> bytes:
    """Ask for protocol version 2; the reply is one byte, 1 if accepted."""
    return encode(PackageType.PROTOCOL_VERSION, struct.pack(">H", PROTOCOL_VERSION))


def output_setup_request(frequency_hz: float, names: Sequence[str]) -> bytes:
    """Ask for data packages with the variables `names` at `frequency_hz`."""
    return encode(PackageType.OUTPUT_SETUP, struct.pack(">d", frequency_hz) + ",".join(names).encode("ascii"))


def input_setup_request(names: Sequence[str]) -> bytes:
    """Announce data packages with the variables `names`."""
    return encode(PackageType.INPUT_SETUP, ",".join(names).encode("ascii"))


def parse_accepted(payload: bytes) -> bool:
    """Whether a reply to a version, start or pause request says yes."""
    return len(payload) >= 1 and payload[0] == 1


def parse_controller_version(payload: bytes) -> tuple[int, int, int, int]:
    """(major, minor, bugfix, build) of the controller's software.

    Raises:
        ProtocolError: the payload has another size.
    """
    if len(payload) != 16:
        raise ProtocolError(f"RTDE controller version of {len(payload)} bytes, expected 16")
    major, minor, bugfix, build = struct.unpack(">4I", payload)
    return major, minor, bugfix, build


def parse_setup_reply(names: Sequence[str], payload: bytes) -> Recipe:
    """The recipe that the controller agreed to.

    Raises:
        ProtocolError: it refuses; names the variables that it does not have or that another client uses.
    """
    words = tuple(word for word in payload[1:].decode("ascii", errors="replace").split(",") if word)
    refused = [f"{name} ({word})" for name, word in zip(names, words, strict=False) if word not in _FORMATS]
    if refused:
        raise ProtocolError(
            f"the controller refuses the RTDE variables {', '.join(refused)}. NOT_FOUND: its software is too old; "
            "IN_USE: another client (field bus, second driver) writes it, close that client"
        )
    if not payload or payload[0] == 0:
        raise ProtocolError(f"the controller refuses the RTDE recipe {', '.join(names)}")
    if len(words) != len(names):
        raise ProtocolError(f"the controller answers {len(words)} RTDE types for {len(names)} variables")
    return Recipe(payload[0], tuple(names), words)


def parse_text(payload: bytes) -> TextMessage:
    """A text message.

    Raises:
        ProtocolError: the lengths inside it do not fit.
    """
    try:
        text_end = 1 + payload[0]
        source_end = text_end + 1 + payload[text_end]
        level = payload[source_end]
    except IndexError as error:
        raise ProtocolError(f"RTDE text message cut short: {payload!r}") from error
    text, source = payload[1:text_end], payload[text_end + 1 : source_end]
    return TextMessage(text.decode("utf-8", "replace"), source.decode("utf-8", "replace"), level)
