"""The virtual Go2 without a network: bytes in, bytes out, physics and the motion switcher cycle by cycle."""

from __future__ import annotations

import json
import struct

import numpy as np
import pytest

from hardware.errors import UnknownNameError
from sim.devices.device import DEVICES
from sim.devices.go2 import wire
from sim.devices.go2.config import VirtualGo2Config
from sim.devices.go2.controller import MotorController
from sim.devices.go2.device import VirtualGo2
from sim.devices.quadruped_config import CYCLE_S, HIDDEN_RANGES, random_dynamics

STAND = [0.0, 0.67, -1.3] * 4


def crc_by_bits(data: bytes) -> int:
    register = 0xFFFFFFFF
    for (word,) in struct.iter_unpack("<I", data):
        for bit in range(31, -1, -1):
            top = (register >> 31) ^ (word >> bit & 1)
            register = (register << 1 & 0xFFFFFFFF) ^ (0x04C11DB7 if top else 0)
    return register


def command(mode: int = 1, q: list[float] | None = None, dq=0.0, tau=0.0, kp=60.0, kd=5.0, level=0xFF) -> bytes:
    """A LowCmd laid out by hand at its CDR offsets."""
    cdr = bytearray(808)
    cdr[0:3] = bytes([0xFE, 0xEF, level])
    for motor, position in enumerate(q or STAND):
        cdr[22 if motor == 0 else 20 + 36 * motor] = mode
        struct.pack_into("<5f", cdr, 24 + 36 * motor, position, dq, tau, kp, kd)
    image = bytes(cdr[:22]) + bytes(2) + bytes(cdr[22:23]) + bytes(3) + bytes(cdr[24:])
    struct.pack_into("<I", cdr, 804, crc_by_bits(image[:-4]))
    return b"\x00\x01\x00\x00" + bytes(cdr)


def controller(**options: object) -> MotorController:
    return MotorController(VirtualGo2Config(**({"preset": "nominal", "posture": "hung", "service": ""} | options)))


def run(made: MotorController, data: bytes, duration_s: float) -> None:
    for _ in range(round(duration_s / CYCLE_S)):
        made.command(data)
        made.cycle()


@pytest.mark.parametrize("span", [808, 1176])
def test_checksum_by_table_equals_the_one_by_bits(span):
    for data in (bytes(span), b"\xff" * span, np.random.default_rng(span).bytes(span)):
        assert wire.checksum(data) == crc_by_bits(data)


def test_states_have_the_published_layout():
    made = controller()
    run(made, command(), 0.3)
    cdr = wire.write_state(made.readings())[4:]
    assert len(cdr) == 1176 and cdr[:3] == b"\xfe\xef\xff"
    assert struct.unpack_from("<4f", cdr, 24) == pytest.approx((1, 0, 0, 0), abs=1e-6)
    assert struct.unpack_from("<f", cdr, 24 + 16 + 12 + 8)[0] == pytest.approx(9.81, abs=0.05)
    q = [struct.unpack_from("<f", cdr, 80 + 48 * motor)[0] for motor in range(12)]
    np.testing.assert_allclose(q, made.body.position, atol=1e-6)
    assert struct.unpack_from("<I", cdr, 1096)[0] == 300
    assert cdr[1039] == 80
    image = cdr[:22] + bytes(2) + cdr[24:77] + bytes(3) + cdr[77:78] + bytes(3) + cdr[80:]
    assert struct.unpack_from("<I", cdr, 1172) == (crc_by_bits(image[:-4]),)


def test_the_motor_law_is_that_of_the_message():
    made = controller()
    run(made, command(), 1.0)
    position, velocity = made.body.position, made.body.velocity
    made.command(command(q=[p + 0.1 for p in STAND], dq=0.5, tau=1.0, kp=20.0, kd=0.5))
    made.cycle()
    expected = 1.0 + 20.0 * (np.array(STAND) + 0.1 - position) + 0.5 * (0.5 - velocity)
    np.testing.assert_allclose(made.body.torque, expected, rtol=1e-3, atol=1e-3)


def test_a_position_or_velocity_can_be_left_out_and_torque_saturates():
    made = controller()
    run(made, command(q=[2.146e9] * 12, dq=16000.0, tau=0.5), 0.1)
    np.testing.assert_allclose(made.body.torque, 0.5, atol=1e-6)
    run(made, command(tau=100.0, kp=0.0, kd=0.0), 0.002)
    np.testing.assert_allclose(made.body.torque, [23.7, 23.7, 35.55] * 4)


def test_silence_ends_in_damping_once():
    made = controller(watchdog_s=0.05)
    for _ in range(100):
        made.cycle()
    assert made.damped() and made.counters["watchdog_trips"] == 0
    run(made, command(), 0.5)
    for _ in range(24):
        made.cycle()
    assert not made.damped()
    for _ in range(100):
        made.cycle()
    assert made.damped() and made.counters["watchdog_trips"] == 1 and set(made.body.mode) == {0}


def test_what_is_no_command_is_counted_and_not_obeyed():
    made = controller()
    good = command()
    spoiled = good[:200] + bytes([good[200] ^ 4]) + good[201:]
    for data in (spoiled, good[:-1], command(level=0xEE), b""):
        made.command(data)
    made.cycle()
    assert made.counters["bad_commands"] == 4 and made.counters["commands"] == 0 and made.last_order is None


def test_the_battery_byte_is_seen():
    made = controller()
    data = bytearray(command())
    data[4 + 740] = 0xA5
    image = bytes(data[4:26]) + bytes(2) + bytes(data[26:27]) + bytes(3) + bytes(data[28:])
    struct.pack_into("<I", data, 4 + 804, crc_by_bits(image[:-4]))
    made.command(bytes(data))
    assert made.counters["battery_off"] == 1


def test_the_motion_service_owns_the_motors_until_released():
    made = controller(service="normal")
    run(made, command(), 0.1)
    assert made.counters["disobeyed"] == 50 and not made.damped()
    assert made.answer(1001, "{}") == (0, '{"form": "0", "name": "normal"}')
    assert made.answer(1003, "{}")[0] == 0
    assert json.loads(made.answer(1001, "{}")[1])["name"] == ""
    made.cycle()
    assert made.damped()
    assert made.answer(1002, '{"name": "ai"}')[0] == 0 and made.service == "ai"
    made.clings = True
    made.answer(1003, "{}")
    assert made.service == "ai" and made.answer(7, "{}")[0] != 0


def test_hidden_dynamics_are_drawn_from_the_seed():
    assert random_dynamics(3) == random_dynamics(3) != random_dynamics(4)
    for name, (low, high) in HIDDEN_RANGES.items():
        assert low <= getattr(random_dynamics(5), name) <= high
    nominal, hidden = controller(), controller(preset="hidden", seed=1)
    assert hidden.body.model.body_mass.sum() > nominal.body.model.body_mass.sum()
    assert np.std([hidden.readings().q[0] for _ in range(50)]) > 1e-4


def test_it_is_registered_and_says_how_to_reach_it():
    entry = DEVICES.load("go2")
    assert entry.driver_config(VirtualGo2Config(domain=9)) == {"interface": "lo", "domain": 9}
    with pytest.raises(UnknownNameError, match="unplugged"):
        VirtualGo2(VirtualGo2Config(preset="nominal")).inject("unpluged")
