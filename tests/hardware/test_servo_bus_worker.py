"""The bus thread step by step, on a virtual clock, with a port that knows what servos answer."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from test_servo_bus_codec import sts_status

from hardware.clock import VirtualClock
from hardware.errors import DeviceNotConnectedError
from hardware.servo_bus.bus import ServoBus
from hardware.servo_bus.servo_model import family_model
from hardware.servo_bus.worker import BusWorker, hold_goal

IDS = (1, 2)


class Servos:
    """Answers every sync read of two STS3215 at `ticks`; keeps what is written."""

    path, baud_rate = "servos", 1_000_000

    def __init__(self, clock: VirtualClock) -> None:
        self.clock, self.ticks, self.silent = clock, [2048, 2048], False
        self.writes: list[tuple[int, list[int]]] = []
        self._answer = b""

    def write(self, data: bytes) -> None:
        instruction, address = data[4], data[5]
        if instruction == 0x82 and not self.silent:
            blocks = [struct.pack("<HHHBBBBBHH", tick, 0, 0, 121, 30, 0, 0, 0, 0, 0) for tick in self.ticks]
            lead = bytes(56 - address)
            self._answer = b"".join(sts_status(i, 0, lead + block) for i, block in zip(IDS, blocks, strict=True))
        elif instruction == 0x83:
            rows = [data[7:-1][k : k + data[6] + 1] for k in range(0, len(data) - 8, data[6] + 1)]
            self.writes.append((address, [int.from_bytes(row[1:], "little") for row in rows]))

    def read(self, timeout_s: float) -> bytes:
        answer, self._answer = self._answer, b""
        self.clock.advance(0.001 if answer else timeout_s)
        return answer

    def close(self) -> None:
        pass


@pytest.fixture
def servos():
    return Servos(VirtualClock(50.0))


@pytest.fixture
def worker(servos):
    model = family_model("feetech")
    bus = ServoBus(servos, model.protocol, clock=servos.clock)
    return BusWorker(bus, model, IDS, 0.01, servos.clock, goal_timeout_s=0.2, silent_share=0.5)


def test_a_cycle_publishes_one_snapshot_with_the_time_of_its_request(worker, servos):
    servos.ticks = [2048, 3000]
    worker.cycle()
    assert worker.newest.capture_time_s == 50.0
    np.testing.assert_array_equal(worker.newest.tick, [2048, 3000])
    assert worker.newest.faults == ((), ())


def test_an_incomplete_cycle_leaves_the_old_snapshot(worker, servos):
    worker.cycle()
    servos.silent = True
    worker.cycle()
    assert worker.newest.capture_time_s == 50.0


def test_only_the_newest_goal_is_written_and_only_once(worker, servos):
    worker.cycle()
    worker.put([2000, 2000])
    worker.put([2100, 2200])
    worker.serve()
    worker.serve()
    assert servos.writes == [(42, [2100, 2200])]


def test_a_hold_stops_where_the_servos_are_with_less_power_and_is_repeated(worker, servos):
    servos.ticks = [2100, 2100]
    worker.cycle()
    worker.hold(0.6, "asked")
    worker.hold(1.0, "again")  # the first one counts
    worker.put([3000, 3000])
    worker.serve()
    assert servos.writes == [(42, [2100, 2100]), (48, [600, 600])]
    servos.ticks = [2110, 2110]
    for _ in range(5):
        worker.cycle()
        worker.serve()
    assert servos.writes == [(42, [2100, 2100]), (48, [600, 600])] * 3
    assert worker.held == "asked" and worker.wait_held(0.0)


def test_a_host_that_falls_silent_is_noticed_once_it_has_spoken(worker, servos):
    for _ in range(30):
        worker.cycle()
        servos.clock.advance(0.01)
    assert worker.held == ""
    worker.put([2048, 2048])
    worker.serve()
    spoken_s = servos.clock.now()
    while worker.held == "":
        worker.cycle()
        servos.clock.advance(0.01)
    assert servos.clock.now() - spoken_s == pytest.approx(0.22, abs=0.02)
    assert worker.held == "no command came for 0.2 s"
    assert servos.writes[-1] == (48, [500, 500])


def test_a_hold_is_finished_when_the_thread_ends(worker, servos):
    worker.cycle()
    worker.hold(0.6, "asked")
    worker.end()
    assert servos.writes == [(42, [2048, 2048]), (48, [600, 600])] * 3


def test_readings_that_cannot_be_true_do_not_become_goals():
    assert hold_goal(np.array([2050.0, 3500.0, -4.0]), [2048, 2048, 10]) == [2050, 2048, 0]
    assert hold_goal(np.array([2050.0, 3500.0]), []) == [2050, 3500]


def test_a_port_that_goes_away_ends_the_thread_with_its_error(worker, servos):
    def gone(timeout_s: float) -> bytes:
        raise DeviceNotConnectedError("servo bus", "servos", "the cable")

    servos.read = gone
    worker.start()
    assert worker.wait_held(5.0)
    assert isinstance(worker.failure, DeviceNotConnectedError)
    worker.end()
