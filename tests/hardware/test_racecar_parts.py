"""VESC frames and values against bytes written by hand, and which question an answer belongs to."""

from __future__ import annotations

import binascii

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardware.errors import ConfigError
from hardware.racecar import RACECAR, vesc
from hardware.racecar.config import RacecarConfig
from hardware.racecar.value_requests import ASK_AGAIN_S, GIVE_UP_S, MARGIN_S, ValueRequests
from hardware.racecar.vesc import FrameParser, Values

# id 4; 31.2, 28.7 C; motor 2.50 A, input 1.20 A; id 0, iq 2.50 A; duty 0.123; 4614 rpm; 11.8 V; four counters;
# tachometer -2; absolute 70000; fault 0.
VALUES = bytes.fromhex(
    "04 0138 011f 000000fa 00000078 00000000 000000fa 007b 00001206 0076"
    "00000000 00000000 00000000 00000000 fffffffe 00011170 00"
)
NEWER = VALUES + bytes.fromhex("00000000 07 000000000000 0000000000000000")


def framed(payload):
    return bytes([2, len(payload)]) + payload + binascii.crc_hqx(payload, 0).to_bytes(2, "big") + b"\x03"


def test_commands_by_hand():
    assert vesc.get_values() == bytes.fromhex("02 01 04 4084 03")
    assert vesc.set_rpm(4614)[:7] == bytes.fromhex("02 05 08 00001206")
    assert vesc.set_rpm(-1)[:7] == bytes.fromhex("02 05 08 ffffffff")
    assert vesc.set_brake(5.0)[:7] == bytes.fromhex("02 05 07 00001388")
    assert vesc.set_servo(0.5304)[:5] == bytes.fromhex("02 03 0c 0212")
    assert vesc.frame(b"123456789")[-3:] == bytes.fromhex("31c3 03")  # the published test value of CRC-16/XMODEM


def test_values_by_hand():
    assert vesc.parse_values(VALUES) == Values(2.5, 11.8, 4614, -2, 0)
    assert vesc.parse_values(NEWER + b"\x01").timed_out
    found = vesc.parse_values(NEWER + b"\x02")
    assert found.kill_switch and not found.timed_out
    assert vesc.parse_values(VALUES[:-1]) is None
    assert vesc.parse_values(b"\x00" + VALUES[1:]) is None


@given(st.lists(st.integers(1, 100), max_size=20), st.binary(max_size=40))
def test_frames_survive_any_cut_and_any_noise_before_them(cuts, noise):
    parser, data, found = FrameParser(), noise + 6 * framed(VALUES), []
    for cut in cuts:
        found += parser.feed(data[:cut])
        data = data[cut:]
    found += parser.feed(data)
    assert found.count(VALUES) >= 4  # noise may announce up to 128 bytes of its own, which are looked at again


@pytest.mark.parametrize("at", range(len(VALUES) + 5))
def test_any_damaged_byte_costs_one_frame(at):
    good = framed(VALUES)
    spoilt = good[:at] + bytes([good[at] ^ 0x40]) + good[at + 1 :]
    parser = FrameParser()
    found = list(parser.feed(good + spoilt + 3 * good))
    assert set(found) == {VALUES} and len(found) == 4


def test_one_question_at_a_time_and_its_answer_dates_from_it():
    requests = ValueRequests()
    assert requests.due(1.0) and not requests.due(1.02)
    assert requests.answered(1.03) == 1.0
    assert requests.due(1.04)


def test_a_lost_answer_is_asked_for_again_and_costs_a_short_silence():
    requests = ValueRequests()
    requests.due(1.0)
    assert requests.due(1.0 + ASK_AGAIN_S)
    assert requests.answered(1.06) == 1.0  # older than it is: the safe way round
    assert not requests.due(1.08) and not requests.due(1.12)  # the second answer might still come
    assert requests.due(1.0 + ASK_AGAIN_S + 0.06 + MARGIN_S + 0.001)
    assert requests.answered(1.15) == pytest.approx(1.131)  # and all is as before
    assert requests.due(1.16)


def test_silence_is_given_up_and_what_comes_unasked_belongs_to_nothing():
    requests = ValueRequests()
    assert [requests.due(1.0 + 0.02 * step) for step in range(50)].count(True) == 2
    assert requests.due(1.06 + GIVE_UP_S)
    assert requests.answered(2.2) is not None and requests.answered(2.2) is None


def test_a_slow_line_shows_as_old_data():
    requests, asked, ages = ValueRequests(), [], []
    for step in range(300):  # answers come 0.2 s after their questions
        now_s = 1.0 + 0.01 * step
        if asked and now_s >= asked[0] + 0.2:
            asked.pop(0)
            ages.append(now_s - requests.answered(now_s))
        if requests.due(now_s):
            asked.append(now_s)
    assert len(ages) > 10
    assert ages == pytest.approx([0.2] * len(ages), abs=0.011)


def test_configuration_is_checked():
    with pytest.raises(ConfigError, match="servo_max"):
        RacecarConfig(servo_max=1.2)
    with pytest.raises(ConfigError, match="servo_straight"):
        RacecarConfig(servo_straight=0.9)


def test_the_steering_limit_is_within_the_range_of_the_servo():
    config = RacecarConfig()
    for angle in (RACECAR.base.steering_max, -RACECAR.base.steering_max):
        assert config.servo_min <= config.servo_straight + config.servo_per_rad * angle <= config.servo_max
    base = RACECAR.base
    assert base.yaw_rate_max >= base.curvature_max * base.forward_max  # the steering is what limits
