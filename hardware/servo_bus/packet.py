"""What the two servo protocols have in common: requests as bytes, and status packets found in a byte stream."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

BROADCAST_ID = 0xFE
"""The address of every servo at once, in both protocols."""


@dataclass(frozen=True, slots=True)
class Status:
    """One status packet whose check sum is right."""

    servo_id: int
    """Address of the servo that sent it."""
    error: int
    """Its error byte; the bits differ between makers."""
    data: bytes
    """What it was asked for; empty after a ping or a write."""


class StatusDecoder(Protocol):
    """Cuts a byte stream into status packets."""

    damaged: int
    """Packets dropped because their check sum was wrong, since construction."""

    def feed(self, data: bytes) -> list[Status]:
        """The packets that are complete now."""
        ...

    def reset(self) -> None:
        """Forget the beginning of a packet."""
        ...


class ServoProtocol(Protocol):
    """Request packets of one maker. `status_overhead` is the length of a status packet without data."""

    name: str
    status_overhead: int

    def ping(self, servo_id: int) -> bytes:
        """Ask whether a servo is there."""
        ...

    def read(self, servo_id: int, address: int, size: int) -> bytes:
        """Ask one servo for `size` bytes of its table."""
        ...

    def sync_read(self, servo_ids: Sequence[int], address: int, size: int) -> bytes:
        """Ask several servos for the same `size` bytes; they answer one after the other."""
        ...

    def sync_write(self, address: int, values: Mapping[int, bytes]) -> bytes:
        """Write bytes of equal length into several servos; nobody answers."""
        ...

    def reboot(self, servo_id: int) -> bytes:
        """Restart one servo."""
        ...

    def decoder(self) -> StatusDecoder:
        """A decoder of what servos answer."""
        ...
