"""Requests and answers on a half-duplex bus, on a virtual clock: silence, damage, and answers that come too late."""

from __future__ import annotations

import pytest
from test_servo_bus_codec import sts_status

from hardware.clock import VirtualClock
from hardware.errors import DeviceNotConnectedError
from hardware.servo_bus.bus import ServoBus
from hardware.servo_bus.feetech import FeetechProtocol

IDS = (1, 2, 3)


class ScriptedPort:
    """Answers each request with (delay [s], bytes) pairs that the test has put in."""

    path, baud_rate = "scripted", 1_000_000

    def __init__(self, clock: VirtualClock) -> None:
        self.clock, self.script = clock, []
        self.written: list[bytes] = []
        self._coming: list[tuple[float, bytes]] = []

    def write(self, data: bytes) -> None:
        self.written.append(data)
        if self.script:
            now_s = self.clock.now()
            self._coming += [(now_s + delay_s, answer) for delay_s, answer in self.script.pop(0)]

    def read(self, timeout_s: float) -> bytes:
        deadline_s = self.clock.now() + timeout_s
        if not self._coming or self._coming[0][0] > deadline_s:
            self.clock.sleep_until(deadline_s)
            return b""
        at_s, data = self._coming.pop(0)
        self.clock.sleep_until(at_s)
        return data

    def close(self) -> None:
        self.written.append(b"closed")


@pytest.fixture
def port():
    return ScriptedPort(VirtualClock(100.0))


@pytest.fixture
def bus(port):
    return ServoBus(port, FeetechProtocol(), reply_timeout_s=0.008, late_reply_s=0.06, clock=port.clock)


def answers(value: bytes, ids=IDS) -> bytes:
    return b"".join(sts_status(servo_id, 0, value) for servo_id in ids)


def test_all_answers_end_the_exchange_at_once(bus, port):
    port.script = [[(0.001, answers(b"ab"))]]
    assert {i: status.data for i, status in bus.sync_read(IDS, 56, 2).items()} == dict.fromkeys(IDS, b"ab")
    assert port.clock.now() == pytest.approx(100.001)
    assert (bus.counters.exchanges, bus.counters.incomplete) == (1, 0)


def test_a_missing_servo_is_missing_and_costs_only_the_timeout(bus, port):
    port.script = [[(0.001, answers(b"ab", (1, 3)))]]
    assert set(bus.sync_read(IDS, 56, 2)) == {1, 3}
    # 11 + 3 x 8 bytes take 0.35 ms; then the timeout, then 2 ms of quiet because the line was alive.
    assert port.clock.now() - 100.0 == pytest.approx(0.00035 + 0.008 + 0.002, abs=1e-6)
    assert (bus.counters.incomplete, bus.counters.silent) == (1, 0)


def test_a_damaged_answer_is_dropped_and_the_next_exchange_is_clean(bus, port):
    spoiled = bytearray(answers(b"ab"))
    spoiled[5] ^= 4
    port.script = [[(0.001, bytes(spoiled))], [(0.001, answers(b"cd"))]]
    assert set(bus.sync_read(IDS, 56, 2)) == {2, 3}
    assert bus.damaged == 1
    assert {status.data for status in bus.sync_read(IDS, 56, 2).values()} == {b"cd"}


def test_an_answer_that_comes_late_is_never_taken_for_the_next_one(bus, port):
    """An adapter that holds every answer back by 20 ms: nothing is ever believed to be fresh."""
    port.script = [[(0.020, answers(bytes((n, 0))))] for n in range(10)]
    for _ in range(10):
        assert bus.sync_read(IDS, 56, 2) == {}
    assert bus.counters.silent == 10
    assert port.clock.now() - 100.0 < 10 * 0.03  # each waited only until its own answer had passed


@pytest.mark.parametrize("delay_s", [0.012, 0.02, 0.033, 0.06])
def test_cyclic_reads_know_late_answers_by_their_length_and_lose_no_time(bus, port, delay_s):
    """At 100 Hz, an adapter that holds every answer back."""
    for cycle in range(30):
        port.clock.sleep_until(100.0 + 0.01 * cycle)
        before = len(port.written)
        lead = (cycle + 1) % 8
        port.script = [[(delay_s, answers(bytes(2 + lead)))]]
        assert bus.sync_read_cyclic(IDS, 56, 2) == {}
        assert port.written[before][5:7] == bytes((56 - lead, 2 + lead))
    assert port.clock.now() - 100.0 < 30 * 0.0155


def test_a_cyclic_read_after_a_lost_one_is_believed_again(bus, port):
    port.script = [[], [(0.001, answers(b"..ab"))]]
    assert bus.sync_read_cyclic(IDS, 56, 2) == {}
    assert port.clock.now() - 100.0 < 0.011
    assert {status.data for status in bus.sync_read_cyclic(IDS, 56, 2).values()} == {b"ab"}


def test_silence_is_waited_for_as_long_as_answers_can_be_late(bus, port):
    assert bus.read(1, 56, 2) is None
    assert port.clock.now() - 100.0 == pytest.approx(0.008 + 0.06, abs=1e-3)


def test_answers_of_others_and_of_another_length_do_not_count(bus, port):
    port.script = [[(0.001, sts_status(7, 0, b"ab") + sts_status(1, 0, b"abc"))]]
    assert bus.read(1, 56, 2) is None


def test_a_servo_that_must_answer_is_asked_again_then_named(bus, port):
    port.script = [[], [(0.001, answers(b"ab", (1,)))]]
    assert bus.require(1, 56, 2) == b"ab"
    with pytest.raises(DeviceNotConnectedError, match=r"servo 2 is not connected at scripted.*1000000 baud"):
        bus.require(2, 56, 2)


def test_ping_reboot_and_writes(bus, port):
    port.script = [[(0.001, answers(b"", (1,)))], [(0.001, answers(b"", (1,)))], []]
    assert bus.ping(1) and bus.reboot(1)
    before_s = port.clock.now()
    bus.sync_write(42, {1: b"ab"})
    assert port.clock.now() == before_s  # nobody answers, nobody waits
    bus.close()
    assert port.written[-1] == b"closed"


def test_the_time_of_an_exchange_is_that_of_the_newest_complete_one(bus, port):
    assert bus.counters.last_complete_s is None
    port.script = [[(0.003, answers(b"ab"))], [(0.001, answers(b"ab", (1, 2)))]]
    bus.sync_read(IDS, 56, 2)
    assert bus.counters.last_complete_s == pytest.approx(0.003)
    bus.sync_read(IDS, 56, 2)
    assert (bus.counters.last_complete_s, bus.counters.incomplete) == (pytest.approx(0.003), 1)
