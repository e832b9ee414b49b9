"""The virtual Go1 without a network: bytes in, bytes out, and physics cycle by cycle."""

from __future__ import annotations

import binascii
import math
import struct

import numpy as np
import pytest

from hardware.errors import AddressInUseError, UnknownNameError
from hardware.go1 import GO1, SCENE
from sim.devices.device import DEVICES
from sim.devices.go1 import wire
from sim.devices.go1.config import VirtualGo1Config
from sim.devices.go1.controller import MotorController
from sim.devices.go1.device import VirtualGo1
from sim.devices.quadruped_config import CYCLE_S, HIDDEN_RANGES, BodyDynamics, random_dynamics
from sim.mujoco_engine import MujocoEngine

STAND = [0.0, 0.67, -1.3] * 4


def crc_by_bits(data: bytes) -> int:
    register = 0xFFFFFFFF
    for (word,) in struct.iter_unpack("<I", data):
        for bit in range(31, -1, -1):
            top = (register >> 31) ^ (word >> bit & 1)
            register = (register << 1 & 0xFFFFFFFF) ^ (0x04C11DB7 if top else 0)
    return register


def command(
    mode: int = 0x0A,
    q: list[float] | None = None,
    dq: float = 0.0,
    tau: float = 0.0,
    kp: float = 60.0,
    kd: float = 5.0,
    level: int = 0xFF,
) -> bytes:
    """A LowCmd laid out by hand."""
    data = bytearray(614)
    data[0:3] = bytes([0xFE, 0xEF, level])
    for motor, position in enumerate(q or STAND):
        values = (mode, position, dq, int(tau * 256), int(kp * 32), int(kd * 16))
        struct.pack_into("<B2fh2H", data, 22 + 27 * motor, *values)
    struct.pack_into("<I", data, 610, crc_by_bits(bytes(data[:608])))
    return bytes(data)


def controller(**options: object) -> MotorController:
    return MotorController(VirtualGo1Config(**({"preset": "nominal", "posture": "hung"} | options)))


def run(made: MotorController, data: bytes, duration_s: float) -> bytes:
    """Send `data` in every cycle; the last answer."""
    answer = b""
    for _ in range(round(duration_s / CYCLE_S)):
        answer = made.command(data) or b""
        made.cycle()
    return answer


def motor(answer: bytes, index: int) -> tuple[int, float, float, float]:
    mode, q, dq, _, tau = struct.unpack_from("<B2f2h", answer, 75 + 32 * index)
    return mode, q, dq, tau / 256.0


@pytest.mark.parametrize("span", [608, 800])
def test_checksum_by_table_equals_the_one_by_bits(span):
    rng = np.random.default_rng(span)
    for data in (bytes(span), b"\xff" * span, rng.bytes(span)):
        assert wire.checksum(data) == crc_by_bits(data)


def test_checksum_is_sensitive_to_every_byte_of_its_span():
    whole = wire.checksum(bytes(608))
    for place in range(608):
        assert wire.checksum(bytes(place) + b"\x01" + bytes(607 - place)) != whole


def test_answers_have_the_published_layout():
    answer = run(controller(), command(), 0.3)
    assert len(answer) == 807 and answer[:3] == b"\xfe\xef\xff"
    assert struct.unpack_from("<I", answer, 803) == (crc_by_bits(answer[:800]),)
    quaternion = struct.unpack_from("<4f", answer, 22)
    assert quaternion == pytest.approx((1, 0, 0, 0), abs=1e-6)
    assert struct.unpack_from("<f", answer, 22 + 16 + 12 + 8)[0] == pytest.approx(9.81, abs=0.05)
    assert struct.unpack_from("<I", answer, 755)[0] == 298
    assert answer[718] == 80


def test_servo_mode_follows_and_damping_mode_lets_go():
    made = controller()
    answer = run(made, command(), 1.0)
    assert {motor(answer, index)[0] for index in range(12)} == {0x0A}
    np.testing.assert_allclose([motor(answer, index)[1] for index in range(12)], STAND, atol=0.04)
    run(made, command(mode=0, q=[0.5] * 12, tau=5.0), 0.1)
    before = made.body.velocity
    answer = run(made, command(mode=0, q=[0.5] * 12, tau=5.0), 0.002)
    assert {motor(answer, index)[0] for index in range(12)} == {0x00}
    np.testing.assert_allclose(made.body.torque, -3.0 * before, atol=0.05)
    assert np.abs(before).max() > 0.02  # the legs sink slowly


def test_the_motor_law_is_that_of_the_packet():
    made = controller()
    run(made, command(), 1.0)
    position, velocity = made.body.position, made.body.velocity
    made.command(command(q=[p + 0.1 for p in STAND], dq=0.5, tau=1.0, kp=20.0, kd=0.5))
    made.cycle()
    expected = 1.0 + 20.0 * (np.array(STAND) + 0.1 - position) + 0.5 * (0.5 - velocity)
    np.testing.assert_allclose(made.body.torque, expected, rtol=1e-3, atol=1e-3)


def test_a_position_or_velocity_can_be_left_out():
    made = controller()
    run(made, command(q=[2.146e9] * 12, dq=16000.0, tau=0.5), 0.1)
    np.testing.assert_allclose(made.body.torque, 0.5, atol=1e-6)


def test_torque_saturates():
    made = controller()
    run(made, command(), 0.2)
    made.command(command(tau=100.0, kp=0.0, kd=0.0))
    made.cycle()
    np.testing.assert_allclose(made.body.torque, [23.7, 23.7, 35.55] * 4)


def test_silence_ends_in_damping_and_speech_in_servo_mode():
    made = controller(watchdog_s=0.05)
    run(made, command(), 0.5)
    for _ in range(23):
        made.cycle()
    assert made.servoing
    for _ in range(3):
        made.cycle()
    assert not made.servoing and made.damped()
    assert made.counters["watchdog_trips"] == 1
    run(made, command(), 0.01)
    assert made.servoing and not made.damped()


def test_before_the_first_command_it_is_damped_and_nothing_trips():
    made = controller()
    for _ in range(100):
        made.cycle()
    assert made.damped() and made.counters["watchdog_trips"] == 0


def test_high_level_owns_the_motors():
    made = controller(high_level=True)
    before = made.body.position
    answer = run(made, command(), 0.5)
    assert answer[2] == 0xEE
    assert {motor(answer, index)[0] for index in range(12)} == {0x0A}
    np.testing.assert_allclose(made.body.position, before, atol=0.2)
    assert not made.damped()


def test_commands_at_high_level_are_not_obeyed():
    made = controller()
    run(made, command(level=0xEE), 0.1)
    assert not made.servoing and made.last_order is None


@pytest.mark.parametrize("place", [0, 5, 100, 607, 610])
def test_damaged_commands_get_no_answer(place):
    made = controller()
    data = bytearray(command())
    data[place] ^= 0x01
    assert made.command(bytes(data)) is None
    assert made.command(b"hello") is None
    assert made.counters == made.counters | {"bad_commands": 2, "commands": 0}


def test_the_battery_byte_is_noticed():
    data = bytearray(command())
    data[562] = 0xA5
    struct.pack_into("<I", data, 610, crc_by_bits(bytes(data[:608])))
    made = controller()
    made.command(bytes(data))
    assert made.counters["battery_off"] == 1


def test_the_encrypted_checksum_is_the_plain_one_in_disguise():
    data = np.random.default_rng(3).bytes(800)
    plain = crc_by_bits(data) ^ 0xEDCAB9DE
    expected = struct.pack("<I", plain)
    assert struct.pack("<I", wire.checksum(data, "encrypted")) == expected[1:] + expected[:1]
    assert binascii.hexlify(expected) != binascii.hexlify(expected[1:] + expected[:1])


def test_commands_take_their_hidden_time():
    delayed = controller(preset="custom", dynamics=BodyDynamics(command_delay_s=0.006))
    for _ in range(3):
        delayed.command(command())
        delayed.cycle()
        assert not delayed.servoing
    delayed.command(command())
    delayed.cycle()
    assert delayed.servoing


def test_hidden_dynamics_are_drawn_from_the_seed():
    first, again, other = random_dynamics(1), random_dynamics(1), random_dynamics(2)
    assert first == again != other
    for name, (low, high) in HIDDEN_RANGES.items():
        assert low <= getattr(first, name) <= high
    nominal = MotorController(VirtualGo1Config(preset="nominal"))
    heavy = MotorController(VirtualGo1Config(preset="custom", dynamics=BodyDynamics(mass_factor=1.1, payload_kg=1.0)))
    expected = 1.1 * float(nominal.body.model.body_mass.sum()) + 1.1
    assert heavy.body.model.body_mass.sum() == pytest.approx(expected)


def test_it_lies_on_the_ground_and_can_be_led_to_stand():
    made = controller(posture="lying", preset="hidden", seed=5)
    assert made.body.height < 0.12
    assert made.body.foot_force().sum() > 0.0
    start = made.body.position
    for share in np.linspace(0.0, 1.0, 1000):
        made.command(command(q=(start + share * (np.array(STAND) - start)).tolist(), kp=80.0))
        made.cycle()
    assert made.body.height == pytest.approx(0.34, abs=0.02)
    weight = 9.81 * made.body.model.body_mass.sum()
    assert made.body.foot_force().sum() == pytest.approx(weight, rel=0.1)


def test_faults_are_known_by_name():
    device = VirtualGo1(VirtualGo1Config(preset="nominal"))
    with pytest.raises(UnknownNameError, match="Did you mean 'overheat'"):
        device.inject("overheats")
    device.inject("out_of_range", 3.0)
    assert device.controller.readings().q[2] == 3.0
    device.inject("out_of_range", math.nan)
    assert device.controller.readings().q[2] < 0.0


def test_a_taken_address_is_said(loopback_host):
    first, second = (VirtualGo1(VirtualGo1Config(host=loopback_host, preset="nominal")) for _ in range(2))
    first.start()
    try:
        with pytest.raises(AddressInUseError, match=loopback_host):
            second.start()
    finally:
        first.stop()
        second.stop()


def test_the_entry_leads_a_driver_to_the_device():
    entry = DEVICES.load("go1")
    config = entry.config_type()(host="127.0.0.9", port=9000, crc="encrypted")
    assert entry.driver_config(config) == {"host": "127.0.0.9", "port": 9000, "crc": "encrypted"}


def test_the_engine_takes_the_scene_as_a_floating_robot():
    engine = MujocoEngine(GO1, SCENE, count=2)
    engine.reset(np.tile(GO1.default_position, (2, 1)), np.zeros((2, 12)))
    for _ in range(10):
        engine.step(np.broadcast_to(GO1.default_position, (2, 50, 12)))
    state = engine.state()
    assert state.base_position.shape == (2, 3)
    np.testing.assert_allclose(state.base_position[:, 2], 0.345, atol=0.02)
    np.testing.assert_allclose(np.abs(state.base_quaternion[:, 0]), 1.0, atol=1e-3)
    assert np.abs(state.base_angular_velocity).max() < 0.1
