"""The virtual car without real time: the VESC's protocol and timeout, and the bicycle under it."""

from __future__ import annotations

import binascii
import math

import pytest

from sim.devices.racecar.car import TICK_S, Car
from sim.devices.racecar.config import NOMINAL
from sim.devices.racecar.controller import Vesc, crc16


def vesc_with(**options):
    return Vesc(Car(NOMINAL), **{"timeout_s": 1.0, "timeout_brake_a": 0.0} | options)


def frame(*payload):
    body = bytes(payload)
    return bytes([2, len(body)]) + body + binascii.crc_hqx(body, 0).to_bytes(2, "big") + b"\x03"


def rpm(value):
    return frame(8, *value.to_bytes(4, "big", signed=True))


def run(vesc, duration_s, *frames):
    """Send `frames` every 20 ms."""
    for tick in range(round(duration_s / TICK_S)):
        if tick % 4 == 0:
            for data in frames:
                vesc.receive(data)
        vesc.tick()


def test_the_checksum_has_its_published_test_value():
    assert crc16(b"123456789") == 0x31C3


def test_frames_may_come_in_pieces_and_damaged_ones_do_nothing():
    vesc, data = vesc_with(), rpm(4614)
    for byte in data[:-1]:
        vesc.receive(bytes([byte]))
    assert vesc.mode == "off"
    vesc.receive(data[-1:])
    assert (vesc.mode, vesc.setting) == ("rpm", 4614.0)
    damaged = rpm(2000)
    vesc.receive(damaged[:4] + bytes([damaged[4] ^ 1]) + damaged[5:])
    assert vesc.setting == 4614.0 and vesc.counters["bad_frames"] == 1


def test_values_have_the_documented_layout():
    vesc = vesc_with()
    run(vesc, 2.0, rpm(4614))
    answer = vesc.receive(frame(4))
    payload = answer[2:-3]
    assert answer[:2] == bytes([2, 74]) and payload[0] == 4
    assert int.from_bytes(payload[23:27], "big", signed=True) == pytest.approx(4614, abs=60)
    assert int.from_bytes(payload[27:29], "big") == 118
    tachometer = int.from_bytes(payload[45:49], "big", signed=True)
    assert tachometer * 10 / 4614 == pytest.approx(vesc.car.pose[0], abs=0.06)  # six steps per electrical turn
    assert payload[53] == 0 and payload[-1] == 0
    assert len(vesc_with(old_firmware=True).receive(frame(4))) == 59 + 5


def test_speed_is_regulated_and_small_set_points_coast():
    vesc = vesc_with()
    run(vesc, 3.0, rpm(4614))
    assert vesc.car.speed == pytest.approx(1.0, rel=0.03)
    run(vesc, 0.5, rpm(800))
    assert vesc.current_a == 0.0 and vesc.car.speed > 0.5
    run(vesc, 1.0, frame(7, *(5000).to_bytes(4, "big")))
    assert vesc.car.speed < 0.02


def test_the_motor_is_cut_on_silence_and_neither_servo_nor_questions_prevent_it():
    vesc = vesc_with()
    run(vesc, 1.0, rpm(4614))
    run(vesc, 0.9, frame(12, 2, 18), frame(4))
    assert vesc.mode == "rpm" and not vesc.timed_out
    run(vesc, 0.2, frame(12, 2, 18), frame(4))
    assert vesc.mode == "off" and vesc.timed_out and vesc.current_a == 0.0
    assert vesc.receive(frame(4))[-4] == 1
    vesc.receive(frame(30))  # alive
    vesc.tick()
    assert not vesc.timed_out


def test_a_timeout_brake_stops_what_else_would_roll():
    distances = []
    for brake_a in (0.0, 8.0):
        vesc = vesc_with(timeout_s=0.2, timeout_brake_a=brake_a)
        run(vesc, 2.0, rpm(6000))
        begun_at = vesc.car.pose[0]
        run(vesc, 2.0)
        distances.append(vesc.car.pose[0] - begun_at)
    assert distances[1] < 0.6 * distances[0]


@pytest.mark.parametrize("steering", [0.2, -0.2])
def test_the_radius_is_that_of_the_bicycle(steering):
    vesc = vesc_with()
    servo = round(1e3 * (0.5304 - 1.2135 * steering))
    run(vesc, 2.0, rpm(2307), frame(12, *servo.to_bytes(2, "big")))
    before, turn = vesc.car.pose[2], 0.0
    for _ in range(200):
        run(vesc, TICK_S, rpm(2307))
        turn, before = turn + math.remainder(vesc.car.pose[2] - before, math.tau), vesc.car.pose[2]
    assert turn / 1.0 == pytest.approx(0.5 * math.tan(steering) / 0.3302, rel=0.08)


def test_a_fault_or_an_open_kill_switch_cuts_the_motor():
    for fault, switch in ((3, False), (0, True)):
        vesc = vesc_with()
        vesc.fault, vesc.kill_switch = fault, switch
        run(vesc, 0.5, rpm(4614))
        assert vesc.car.speed < 1e-3
        payload = vesc.receive(frame(4))[2:-3]
        assert (payload[53], payload[-1]) == (fault, 2 * switch)
