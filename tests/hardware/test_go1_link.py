"""The UDP link against a peer written by hand: which answer counts, how old it is, and which command it belongs to."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest
from test_go1_packets import state_bytes

from hardware.clock import VirtualClock
from hardware.errors import DeviceNotConnectedError
from hardware.go1.config import Go1Config
from hardware.go1.link import UdpLink
from hardware.go1.packets import DAMPING, CommandPacket

COMMAND = CommandPacket().fill(DAMPING)


def at(tick_ms: int) -> bytes:
    return state_bytes(at_755=("<I", (tick_ms,)))


class Peer:
    """A socket that answers when told to."""

    def __init__(self, host: str) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((host, 8007))
        self.socket.settimeout(5.0)
        self.clock = VirtualClock(100.0)
        self.link = UdpLink(Go1Config(host=host), self.clock)

    def exchange(self, *answers: bytes) -> None:
        """One command; `answers` go back to its sender."""
        self.link.send(COMMAND)
        data, sender = self.socket.recvfrom(2048)
        assert data == COMMAND
        for answer in answers:
            self.socket.sendto(answer, sender)


@pytest.fixture
def peer(loopback_host: str) -> Iterator[Peer]:
    made = Peer(loopback_host)
    yield made
    made.link.close()
    made.socket.close()


def test_without_an_answer_there_is_none(peer):
    peer.exchange()
    assert peer.link.receive() is None
    assert (peer.link.sent, peer.link.received, peer.link.last_round_trip_s) == (1, 0, None)


def test_the_newest_answer_counts_whatever_the_order(peer):
    peer.exchange(at(1000), at(1004), at(1002))
    state, _ = peer.link.receive()
    assert state.tick_s == pytest.approx(1.004)
    assert peer.link.received == 3
    peer.exchange(at(1003))
    assert peer.link.receive() is None  # overtaken
    peer.exchange(at(1004))
    assert peer.link.receive() is not None  # the same cycle, asked again


def test_bad_packets_are_counted_and_passed_over(peer):
    peer.exchange(at(1000), at(1002)[:-1] + b"\x00", b"noise")
    state, _ = peer.link.receive()
    assert state.tick_s == pytest.approx(1.0)
    assert peer.link.bad == 2
    assert "not 5" in peer.link.last_error


def test_an_answer_that_was_held_up_shows_its_age(peer):
    peer.exchange(at(1000))
    _, captured_s = peer.link.receive()
    assert captured_s == pytest.approx(100.0, abs=0.5)
    peer.clock.advance(0.2)
    peer.exchange(at(1050))  # made 50 ms after the first one, arrives 200 ms after it
    _, late_s = peer.link.receive()
    assert late_s - captured_s == pytest.approx(0.05, abs=1e-3)


def test_losing_the_processor_while_reading_makes_no_later_answer_look_old(peer):
    for tick in range(5):
        peer.exchange(at(1000 + 2 * tick))
        peer.link.receive()
        peer.clock.advance(0.002)
    peer.clock = peer.link._clock = Preempted(peer.clock.now(), pause_s=0.3)
    peer.exchange(at(1010))
    peer.link.receive()
    peer.clock.pause_s = 0.0
    peer.exchange(at(1010 + round(1e3 * (peer.clock.now() - 100.010))))
    _, captured_s = peer.link.receive()
    assert peer.clock.now() - captured_s < 0.05


class Preempted(VirtualClock):
    """A clock whose every reader loses the processor for `pause_s` just after it got the time."""

    def __init__(self, start_s: float, pause_s: float) -> None:
        super().__init__(start_s)
        self.pause_s = pause_s

    def now(self) -> float:
        now_s = super().now()
        time.sleep(self.pause_s)
        self.advance(self.pause_s)
        return now_s


def test_a_restarted_robot_is_young_again(peer):
    peer.exchange(at(3_600_000))
    peer.link.receive()
    peer.clock.advance(10.0)
    peer.exchange(at(5))
    _, captured_s = peer.link.receive()
    assert captured_s == pytest.approx(110.0, abs=0.5)


def test_round_trips_find_their_commands_again_after_a_loss(peer):
    for _ in range(3):
        peer.exchange()  # lost
        time.sleep(0.01)
    for tick in range(60):
        peer.exchange(at(1000 + 2 * tick))
        assert peer.link.receive() is not None
        time.sleep(0.001)
    begin_s = time.monotonic()
    peer.exchange(at(2000))
    peer.link.receive()
    assert 0.0 <= peer.link.last_round_trip_s <= time.monotonic() - begin_s + 1e-3


def test_a_closed_port_is_reported(peer):
    peer.socket.close()
    with pytest.raises(DeviceNotConnectedError, match="network cable"):
        for _ in range(200):
            peer.link.send(COMMAND)
            peer.link.receive()
            time.sleep(0.005)
