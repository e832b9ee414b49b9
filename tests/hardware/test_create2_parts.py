"""Open Interface of the Create 2 against bytes written by hand, and what its readings mean."""

from __future__ import annotations

import math
import os
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardware.create2 import CREATE2, guard_program
from hardware.create2 import open_interface as oi
from hardware.create2.base_state import METRES_PER_COUNT, BaseState, contacts, proximity, trouble
from hardware.create2.config import Create2Config
from hardware.create2.guard import Guard
from hardware.create2.open_interface import OiMode, Reading, StreamParser
from hardware.errors import ConfigError, LimitViolationError
from hardware.records import RobotMode

# header, 49 bytes; 7: wheel drop left and bump right; 9-12: only front left; 21: full; 22: 15.8 V; 25: 2100 and
# 26: 2696 mAh; 34: home base; 35: safe; 43: 65535, 44: 258; 46-51: light from the left; the sum is 0 modulo 256.
PACKET = bytes.fromhex("1331 0709 0900 0a01 0b00 0c00 1502 163db8 190834 1a0a88 2202 2302 2bffff 2c0102")
PACKET += bytes.fromhex("2e0fff 2f0400 300000 310000 320000 330001")
PACKET += bytes([-sum(PACKET) % 256])


def reading(left=0, right=0, mode=OiMode.SAFE, bits=0, cliffs=(0, 0, 0, 0), sources=0):
    return Reading(bits, cliffs, 0, 15800, 2100, 2696, sources, int(mode), left % 65536, right % 65536)


def test_commands_by_hand():
    assert oi.drive_direct(left=0.2, right=-0.1) == bytes([145, 0xFF, 0x9C, 0x00, 0xC8])  # right first
    assert oi.drive_direct(0.5, 0.5) == bytes([145, 0x01, 0xF4, 0x01, 0xF4])
    assert oi.stream_request() == bytes([148, 19, 7, 9, 10, 11, 12, 21, 22, 25, 26, 34, 35, 43, 44, *range(46, 52)])
    assert (oi.START, oi.SAFE, oi.FULL, oi.STOP) == (b"\x80", b"\x83", b"\x84", b"\xad")
    with pytest.raises(LimitViolationError, match="left wheel"):
        oi.drive_direct(0.501, 0.0)
    with pytest.raises(LimitViolationError):
        oi.drive_direct(0.0, math.nan)


def test_a_packet_by_hand():
    assert len(PACKET) == oi.PACKET_BYTES
    (found,) = StreamParser().feed(PACKET)
    assert found == Reading(0x09, (0, 1, 0, 0), 2, 15800, 2100, 2696, 2, 2, 65535, 258, (4095, 1024, 0, 0, 0, 1))
    assert proximity(found)["light_bump_left"] == 1.0 and proximity(found)["light_bump_right"] == 1 / 4095
    assert {name for name, on in contacts(found).items() if on} == {
        "bumper_right", "wheel_drop_left", "cliff_front_left"
    }  # fmt: skip
    assert trouble(found) == "wheel drop left, cliff front left, on the home base"


@given(st.lists(st.integers(1, 40), max_size=20), st.binary(max_size=30))
def test_packets_survive_any_cut_and_any_noise_before_them(cuts, noise):
    parser, data, found = StreamParser(), noise + 4 * PACKET, []
    for cut in cuts:
        found += parser.feed(data[:cut])
        data = data[cut:]
    found += parser.feed(data)
    assert sum(item is not None for item in found) >= 3  # noise may look like a header, and takes one with it


def test_damage_costs_one_packet():
    for spoilt in (PACKET[:10] + b"\xaa" + PACKET[11:], PACKET[:-1] + bytes([PACKET[-1] ^ 1]), PACKET[:20]):
        parser = StreamParser()
        found = [item for item in parser.feed(PACKET + spoilt + PACKET + PACKET) if item is not None]
        assert len(found) >= 2 and found[0] == found[-1]
        assert parser.bad_packets >= 1


def test_encoders_wrap():
    assert oi.counts_between(65530, 4) == 10
    assert oi.counts_between(4, 65530) == -10


def test_way_and_turn_from_counts():
    base = BaseState()
    for counts in range(0, 160, 16):  # 16 counts in 15 ms are 0.474 m/s
        assert base.take(reading(counts, counts))
    state = base.state(1.0, OiMode.SAFE)
    assert pytest.approx(0.226195 / 508.8, rel=1e-5) == METRES_PER_COUNT
    assert state.base_position[0] == pytest.approx(144 * METRES_PER_COUNT)
    assert state.base_linear_velocity[0] == pytest.approx(16 * METRES_PER_COUNT / 0.015)
    for step in range(1, 7):
        base.take(reading(144 - 8 * step, 144 + 8 * step))
    state = base.state(1.0, OiMode.SAFE)
    assert state.base_linear_velocity[0] == pytest.approx(0.0)
    assert state.base_angular_velocity[2] == pytest.approx(16 * METRES_PER_COUNT / 0.235 / 0.015)
    assert 2 * math.atan2(state.base_quaternion[3], state.base_quaternion[0]) == pytest.approx(
        96 * METRES_PER_COUNT / 0.235
    )


def test_a_jump_is_left_out_and_a_damaged_packet_is_not():
    base = BaseState()
    base.take(reading(0, 0))
    assert not base.take(reading(5000, 0)) and base.implausible_readings == 1
    assert base.take(reading(5010, 10))
    assert base.odometry.x == pytest.approx(10 * METRES_PER_COUNT)
    base.skip()
    assert base.take(reading(5040, 40))  # 30 counts are too many for one period, not for two
    assert base.odometry.x == pytest.approx(40 * METRES_PER_COUNT)
    assert base.state(0.0, OiMode.SAFE).base_linear_velocity[0] == pytest.approx(40 * METRES_PER_COUNT / 0.045)


def test_the_cause_of_a_fall_back_stays_known_after_it_is_over():
    base = BaseState()
    base.take(reading())
    assert base.state(0.0, OiMode.SAFE).mode is RobotMode.RUNNING
    base.take(reading(cliffs=(0, 0, 1, 0)))
    base.take(reading(mode=OiMode.PASSIVE))
    for _ in range(50):
        state = base.state(0.0, OiMode.SAFE)
        base.take(reading(mode=OiMode.PASSIVE))
    assert state.mode is RobotMode.PROTECTIVE_STOP and state.detail == "it stopped itself: cliff front right"
    base.take(reading())
    assert base.state(0.0, OiMode.SAFE).mode is RobotMode.RUNNING
    base.take(reading(mode=OiMode.PASSIVE))
    state = base.state(0.0, OiMode.SAFE)
    assert state.mode is RobotMode.FAULT and "passive" in state.detail


def test_every_curve_within_the_description_is_one_that_the_wheels_can_drive():
    base = CREATE2.base
    assert base.forward_max + base.yaw_rate_max * 0.235 / 2 <= 0.5


def test_configuration_is_checked():
    with pytest.raises(ConfigError, match="guard_silence_s"):
        Create2Config(guard_silence_s=0.0)


@pytest.fixture
def port():
    """A socket pair in place of the serial line: what the guard writes, and the descriptor it writes to."""
    read, write = os.pipe()
    yield read, write
    os.close(read)
    os.close(write)


def arrived(descriptor, timeout_s):
    ready, _, _ = select.select([descriptor], [], [], timeout_s)
    return os.read(descriptor, 100) if ready else b""


def test_the_guard_stops_a_moving_robot_whose_driver_is_silent(port):
    guard = Guard(port[1], 0.05)
    guard.tell(moving=True)
    assert arrived(port[0], 10.0) == guard_program.STOP_BYTES == oi.drive_direct(0.0, 0.0) + oi.START
    assert guard.alive
    guard.tell(moving=False)
    assert arrived(port[0], 0.3) == b""  # at rest silence is allowed
    guard.close()
    guard.close()
    assert not guard.alive and arrived(port[0], 0.0) == b""  # an end in order does nothing


def test_the_guard_outlives_its_driver_and_stops_the_robot(port):
    code = f"""
import sys, time
from hardware.create2.guard import Guard
guard = Guard({port[1]}, 60.0)
guard.tell(moving=True)
print(guard._process.pid, flush=True)
time.sleep(60)
"""
    driver = subprocess.Popen([sys.executable, "-c", code], pass_fds=(port[1],), stdout=subprocess.PIPE, text=True)
    guard_id = int(driver.stdout.readline())
    driver.kill()
    driver.wait()
    assert arrived(port[0], 10.0) == guard_program.STOP_BYTES
    deadline_s = time.monotonic() + 10.0
    while time.monotonic() < deadline_s:
        try:
            os.kill(guard_id, 0)
        except ProcessLookupError:
            return
        if "State:\tZ" in Path(f"/proc/{guard_id}/status").read_text():
            return
        time.sleep(0.01)
    raise AssertionError("the guard did not end with its driver")
