"""The virtual Create 2 without real time: its Open Interface by the maker's specification, its safety, its room."""

from __future__ import annotations

import math

import pytest

from hardware.create2 import ROBOT
from sim.devices.create2.brain import GROUPS, Brain
from sim.devices.create2.config import HIDDEN_RANGES, NOMINAL, random_dynamics
from sim.devices.create2.world import TICK_S, World


def brain_at(x=0.0, heading=0.0, dynamics=NOMINAL, docked=False, dock_sleep_s=60.0):
    return Brain(World(dynamics, x, 0.0, heading), docked=docked, dock_sleep_s=dock_sleep_s)


def run(brain, duration_s):
    return [packet for _ in range(round(duration_s / TICK_S)) if (packet := brain.tick())]


def signed(data):
    return int.from_bytes(data, "big", signed=True)


@pytest.mark.parametrize(
    ("group", "size"),
    [(0, 26), (1, 10), (2, 6), (3, 10), (4, 14), (5, 12), (6, 52), (100, 80), (101, 28), (106, 12), (107, 9)],
)
def test_groups_have_the_sizes_of_the_specification(group, size):
    assert len(brain_at().sensor(group)) == size and group in GROUPS


def test_it_hears_nothing_but_start_until_started_and_moves_only_in_safe_or_full():
    brain = brain_at()
    forwards = bytes([145, 0, 100, 0, 100])
    brain.receive(bytes([131]) + forwards)
    assert (brain.mode, brain.targets_mm_s) == (0, (0, 0))
    brain.receive(bytes([128]) + forwards)
    assert (brain.mode, brain.targets_mm_s) == (1, (0, 0))
    brain.receive(bytes([131]) + forwards)
    assert (brain.mode, brain.targets_mm_s) == (2, (100, 100))
    assert brain.receive(bytes([142, 35])) == b"\x02"
    brain.receive(bytes([173]))
    assert brain.mode == 0 and brain.receive(bytes([142, 35])) == b""


def test_commands_may_come_byte_by_byte_and_right_comes_first():
    brain = brain_at()
    for byte in bytes([128, 132, 145, 0xFF, 0x9C, 0x00, 0xC8]):
        brain.receive(bytes([byte]))
    assert brain.targets_mm_s == (200, -100)  # left, right
    brain.receive(bytes([137, 0, 100, 0, 1]))  # 100 mm/s, radius 1: turn left on the spot
    assert brain.targets_mm_s == (-100, 100)
    brain.receive(bytes([137, 0, 200, 0x80, 0x00]))
    assert brain.targets_mm_s == (200, 200)
    brain.receive(bytes([145, 0x7F, 0xFF, 0x80, 0x00]))
    assert brain.targets_mm_s == (-500, 500)


def test_the_stream_comes_every_15_ms_and_sums_to_zero():
    brain = brain_at()
    brain.receive(bytes([128, 148, 3, 7, 43, 44]))
    packets = run(brain, 0.15)
    assert len(packets) == 10
    assert packets[0][:3] == bytes([19, 8, 7]) and all(sum(packet) % 256 == 0 for packet in packets)
    brain.receive(bytes([150, 0]))
    assert run(brain, 0.15) == []


def test_way_and_encoders_agree_with_the_room():
    brain = brain_at()
    brain.receive(bytes([128, 131, 145, 0, 200, 0, 200]))
    run(brain, 2.0)
    x, _, _ = brain.world.pose
    assert 0.36 < x < 0.41
    assert signed(brain.sensor(19)) == pytest.approx(1e3 * x, abs=8)
    counts = int.from_bytes(brain.sensor(43), "big")
    assert counts * math.pi * 0.072 / 508.8 == pytest.approx(x, abs=0.008)
    brain.receive(bytes([145, 0, 0, 0, 0]))
    run(brain, 0.5)
    assert brain.world.speed < 1e-3


def test_safe_mode_stops_at_the_edge_and_full_mode_does_not():
    for opcode, stops in ((131, True), (132, False)):
        brain = brain_at(x=1.2)
        brain.receive(bytes([128, opcode, 145, 0, 200, 0, 200]))
        run(brain, 3.0)
        assert (brain.world.pose[0] < 1.5) is stops
        assert (brain.mode, brain.last_fall_back) == ((1, "cliff") if stops else (3, ""))


def test_a_wall_presses_the_side_that_meets_it():
    for heading, left, right in ((math.pi, 1, 1), (math.pi - 0.7, 1, 0), (math.pi + 0.7, 0, 1)):
        brain = brain_at(x=-1.1, heading=heading)
        brain.receive(bytes([128, 131, 145, 0, 150, 0, 150]))
        seen = 0
        for _ in range(800):
            brain.tick()
            seen |= brain.sensor(7)[0]
        assert (seen >> 1 & 1, seen & 1) == (left, right), heading
        assert brain.mode == 2  # bumpers do not change the mode


def test_on_the_dock_safe_mode_falls_back_and_passive_mode_falls_asleep():
    brain = brain_at(docked=True, dock_sleep_s=0.1)
    brain.receive(bytes([128, 148, 1, 35, 131]))
    run(brain, 0.02)
    assert brain.mode == 1 and brain.last_fall_back == "charger"
    assert brain.sensor(34) == b"\x02"
    packets = run(brain, 0.2)
    brain.receive(bytes([132]))
    assert brain.asleep and brain.mode == 1 and packets  # it streams, and is deaf
    brain.wake()
    brain.receive(bytes([132]))
    assert brain.mode == 3


def test_unequal_wheels_bend_a_straight_way_that_the_encoders_call_straight():
    dynamics = random_dynamics(4)
    for name, (low, high) in HIDDEN_RANGES.items():
        assert low <= getattr(dynamics, name) <= high
    brain = brain_at(x=-1.0, dynamics=dynamics)
    brain.receive(bytes([128, 131, 145, 0, 250, 0, 250]))
    run(brain, 6.0)
    left, right = (int.from_bytes(brain.sensor(packet), "big") for packet in (43, 44))
    assert abs(left - right) <= 40
    wider = dynamics.right_wheel_factor - dynamics.left_wheel_factor
    assert math.copysign(1.0, brain.world.pose[2]) == math.copysign(1.0, wider) and abs(brain.world.pose[2]) > 1e-3


def test_the_model_weighs_what_a_create_2_weighs():
    assert World(NOMINAL, 0.0, 0.0, 0.0).model.body_mass.sum() == pytest.approx(3.6, abs=0.4)
    assert ROBOT.spec.base.kind == "differential"


def test_light_bumpers_feel_a_wall_and_which_side_it_is_on():
    world = World(NOMINAL, 0.0, 1.5 - 0.02 - 0.17 - 0.1, 0.0)  # the wall on the left, 10 cm from the shell
    left, front_left, centre_left, *rest = world.light_bumps()
    # At 65 degrees the shell is 0.17 sin(65) from the middle: (0.27 - 0.154) / sin(65) = 0.128 m of way.
    assert left == pytest.approx(4095 * (0.05 / 0.178) ** 2, rel=0.02)
    assert left > front_left > centre_left >= 0 and max(rest) < 60
    ahead = World(NOMINAL, 1.5 - 0.02 - 0.17 - 0.3, 0.0, 0.0, "walled").light_bumps()
    assert ahead[2] == pytest.approx(ahead[3], rel=0.02) and ahead[2] > 2 * ahead[0]
    assert max(World(NOMINAL, 1.0, 0.0, 0.0).light_bumps()) < 60  # towards the edge there is nothing
    assert not any(World(NOMINAL, 1.3, 0.0, 0.0, "walled").cliffs())
