"""Exchanges on a half-duplex servo bus: one request, then the answers of those who were asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from hardware.clock import Clock, SystemClock
from hardware.errors import DeviceNotConnectedError
from hardware.servo_bus.packet import ServoProtocol, Status

_BITS_PER_BYTE = 10
"""Start bit, eight data bits, stop bit."""
_LENGTHS = 8
"""Different lengths of the answers to cyclic reads: at 100 Hz one that comes up to 70 ms late is not mistaken."""
_QUIET_S = 0.002
"""A line that was silent for this long in the midst of an answer has nothing more to say [s]."""


class Port(Protocol):
    """What a bus needs of `SerialPort`."""

    path: str
    baud_rate: int

    def write(self, data: bytes) -> None:
        """Hand `data` to the system."""
        ...

    def read(self, timeout_s: float) -> bytes:
        """What has arrived within `timeout_s` [s]."""
        ...

    def close(self) -> None:
        """Close it."""
        ...


@dataclass
class BusCounters:
    """What happened on the bus since it was opened."""

    exchanges: int = 0
    """Requests that wanted answers."""
    incomplete: int = 0
    """Of these, how many got no answer from at least one servo."""
    silent: int = 0
    """Of these, how many got not a single byte."""
    last_complete_s: float | None = None
    """Time from a request to the last of its answers, of the newest complete exchange [s]."""


class ServoBus:
    """Requests and answers, one at a time; for one thread.

    An answer that comes too late must never be taken for that of a later request: its time of capture would be wrong.
    After an incomplete exchange the bus listens, and drops what it hears, until the line is quiet; where nothing at all
    was heard, for `late_reply_s`, because USB adapters may hold bytes back for that long. In a control cycle there is
    no time for that: `sync_read_cyclic` knows late answers by their length instead.

    Args:
        port: the open port.
        protocol: the maker's packets.
        reply_timeout_s: time that the answers may take beyond their bytes' time on the wire [s].
        late_reply_s: how late answers can come at all [s].
        clock: for the deadlines.
    """

    def __init__(
        self,
        port: Port,
        protocol: ServoProtocol,
        reply_timeout_s: float = 0.008,
        late_reply_s: float = 0.06,
        clock: Clock | None = None,
    ) -> None:
        self.port, self.protocol = port, protocol
        self.counters = BusCounters()
        self._timeout_s, self._late_s = reply_timeout_s, late_reply_s
        self._clock: Clock = clock if clock is not None else SystemClock()
        self._decoder = protocol.decoder()
        self._turn = 0

    @property
    def damaged(self) -> int:
        """Answers dropped because their check sum was wrong."""
        return self._decoder.damaged

    def sync_read(self, servo_ids: Sequence[int], address: int, size: int) -> dict[int, Status]:
        """Read the same registers of several servos.

        Returns:
            Id -> answer, of those that answered in time, completely and undamaged.

        Raises:
            DeviceNotConnectedError: the port is gone.
        """
        return self._exchange(self.protocol.sync_read(servo_ids, address, size), servo_ids, size)

    def sync_read_cyclic(self, servo_ids: Sequence[int], address: int, size: int) -> dict[int, Status]:
        """As `sync_read`, for one call after another: a silent line costs no more than the timeout.

        Each call begins up to seven registers earlier than the one before, so that eight calls in a row have answers of
        different lengths. `address` must therefore be at least 7. Raises as `sync_read`.
        """
        self._turn = (self._turn + 1) % _LENGTHS
        lead = self._turn
        request = self.protocol.sync_read(servo_ids, address - lead, size + lead)
        replies = self._exchange(request, servo_ids, size + lead, patient=False)
        return {servo: Status(servo, reply.error, reply.data[lead:]) for servo, reply in replies.items()}

    def read(self, servo_id: int, address: int, size: int) -> Status | None:
        """Read registers of one servo; None where it does not answer. Raises as `sync_read`."""
        return self._exchange(self.protocol.read(servo_id, address, size), [servo_id], size).get(servo_id)

    def sync_write(self, address: int, values: Mapping[int, bytes]) -> None:
        """Write registers of several servos; they do not answer. Raises as `sync_read`."""
        self.port.write(self.protocol.sync_write(address, values))

    def reboot(self, servo_id: int) -> bool:
        """Restart one servo; whether it confirmed. Raises as `sync_read`."""
        return bool(self._exchange(self.protocol.reboot(servo_id), [servo_id], 0))

    def ping(self, servo_id: int) -> bool:
        """Whether a servo answers. Raises as `sync_read`."""
        return bool(self._exchange(self.protocol.ping(servo_id), [servo_id], None))

    def require(self, servo_id: int, address: int, size: int, attempts: int = 3) -> bytes:
        """Registers of one servo that must answer.

        Raises:
            DeviceNotConnectedError: it does not, or the port is gone.
        """
        for _ in range(attempts):
            status = self.read(servo_id, address, size)
            if status is not None:
                return status.data
        raise DeviceNotConnectedError(
            f"servo {servo_id}",
            self.port.path,
            f"its cable, its power, its id, and that it runs at {self.port.baud_rate} baud ({self.protocol.name})",
        )

    def close(self) -> None:
        """Close the port. Idempotent, never raises."""
        self.port.close()

    def _exchange(
        self, request: bytes, servo_ids: Sequence[int], size: int | None, patient: bool = True
    ) -> dict[int, Status]:
        """`size` None: whatever the answer carries. `patient`: after silence, wait for answers that come late."""
        begun_s = self._clock.now()
        self.port.write(request)
        self.counters.exchanges += 1
        self._decoder.reset()
        wire_bytes = len(request) + len(servo_ids) * (self.protocol.status_overhead + (size or 0))
        deadline_s = self._clock.now() + wire_bytes * _BITS_PER_BYTE / self.port.baud_rate + self._timeout_s
        missing, replies, heard = set(servo_ids), dict[int, Status](), False
        while missing:
            remaining_s = deadline_s - self._clock.now()
            data = self.port.read(max(0.0, remaining_s))
            if not data and remaining_s <= 0.0:
                break  # not before a last look: this thread may have slept while the answers came
            heard = heard or bool(data)
            for status in self._decoder.feed(data):
                if status.servo_id in missing and size in (None, len(status.data)):
                    replies[status.servo_id] = status
                    missing.remove(status.servo_id)
        if missing:
            self.counters.incomplete += 1
            self.counters.silent += not heard
            self._settle(heard or not patient)
        else:
            self.counters.last_complete_s = self._clock.now() - begun_s
        return replies

    def _settle(self, heard: bool) -> None:
        """Drop bytes until the line is quiet; where nothing was heard yet, wait for the late ones."""
        deadline_s = self._clock.now() + self._late_s
        while (now_s := self._clock.now()) < deadline_s:
            data = self.port.read(_QUIET_S if heard else deadline_s - now_s)
            if not data and heard:
                break
            heard = heard or bool(data)
