"""The servos on the line: what each does with a request, and in which order they answer."""

from __future__ import annotations

from collections.abc import Sequence

from sim.devices.so101.servo import VirtualServo
from sim.devices.so101.wire import ALL, Request, Wire

_PING, _READ, _WRITE, _REBOOT, _SYNC_READ, _SYNC_WRITE = 0x01, 0x02, 0x03, 0x08, 0x82, 0x83
_X_LENGTH_ERROR = 0x05


class Chain:
    """All servos of one line.

    Args:
        wire: their protocol.
        servos: in the order of the joints.
        ping_data: number of bytes from the table's start that a ping is answered with (model and firmware), as
            (address, size) pairs; empty where it is answered with nothing.
    """

    def __init__(self, wire: Wire, servos: Sequence[VirtualServo], ping_data: Sequence[tuple[int, int]]) -> None:
        self.wire, self.servos = wire, tuple(servos)
        self.requests = 0
        """Requests understood."""
        self.writes = 0
        """Of these, sync writes."""
        self.absent: set[int] = set()
        """Servos that neither hear nor answer."""
        self._ping_data = tuple(ping_data)

    def obey(self, data: bytes, now_s: float) -> list[bytes]:
        """Carry out the requests in `data`; the answers, in order.

        Where several requests arrive at once, because this process was asleep, a client has given up on all but the
        last: only that one is answered.
        """
        answers: list[bytes] = []
        for request in self.wire.requests(data):
            self.requests += 1
            present = [servo for servo in self.servos if servo.servo_id not in self.absent]
            for servo in present:
                servo.heard(now_s)
            answers = self._carry_out(request, present, now_s) or answers
        return answers

    def _carry_out(self, request: Request, present: list[VirtualServo], now_s: float) -> list[bytes]:
        by_id = {servo.servo_id: servo for servo in present}
        block, payload = self.wire.block(request), self.wire.payload(request)
        if request.instruction == _SYNC_READ:
            if block is None or request.servo_id != ALL:
                return []
            answers = []
            for servo_id in payload:  # each waits for its predecessor: behind a gap in the row nobody answers
                servo = by_id.get(servo_id)
                content = servo.read(block.address, block.size) if servo is not None else None
                if servo is None or content is None:
                    break
                answers.append(self.wire.answer(servo_id, servo.error, content))
            return answers
        if request.instruction == _SYNC_WRITE:
            self.writes += 1
            width = block.size + 1 if block is not None else 0
            if block is None or not width or len(payload) % width:
                return []
            for start in range(0, len(payload), width):
                servo = by_id.get(payload[start])
                if servo is not None:
                    servo.write(block.address, payload[start + 1 : start + width], now_s)
            return []
        answers = []
        for servo in present:
            if request.servo_id in (servo.servo_id, ALL):
                answer = self._single(request, servo, now_s)
                if answer is not None and (request.servo_id != ALL or request.instruction == _PING):
                    answers.append(answer)
        return answers

    def _single(self, request: Request, servo: VirtualServo, now_s: float) -> bytes | None:
        """A request to one servo; None where it keeps silent."""
        block, payload = self.wire.block(request), self.wire.payload(request)
        if request.instruction == _PING:
            content = b"".join(bytes(servo.table[start : start + size]) for start, size in self._ping_data)
            return self.wire.answer(servo.servo_id, servo.error, content)
        if request.instruction == _READ and block is not None:
            found = servo.read(block.address, block.size)
            return self.wire.answer(servo.servo_id, servo.error if found else _X_LENGTH_ERROR, found or b"")
        if request.instruction == _WRITE and block is not None:
            return self.wire.answer(servo.servo_id, servo.write(block.address, payload, now_s))
        if request.instruction == _REBOOT:
            servo.reboot(now_s)
            return self.wire.answer(servo.servo_id, 0)
        return None
