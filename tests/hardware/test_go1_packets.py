"""The packets and their checksum against bytes laid out by hand from the published table."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardware.errors import ProtocolError
from hardware.go1.checksum import crc32_words, encrypted
from hardware.go1.packets import DAMPING, LOW_LEVEL, SERVO, CommandPacket, unpack_state
from hardware.go1.spec import GO1, MOTOR_INDEX


def crc_mpeg2(data: bytes) -> int:
    """CRC-32/MPEG-2 bit by bit, as textbooks have it."""
    register = 0xFFFFFFFF
    for byte in data:
        register ^= byte << 24
        for _ in range(8):
            register = ((register << 1) ^ (0x04C11DB7 if register & 0x80000000 else 0)) & 0xFFFFFFFF
    return register


def by_words(data: bytes) -> int:
    return crc_mpeg2(b"".join(data[at : at + 4][::-1] for at in range(0, len(data), 4)))


def state_bytes(crc=by_words, **fields: object) -> bytes:
    """A LowState written into a blank of 807 bytes, at the offsets of the table."""
    data = bytearray(807)
    data[0:3] = b"\xfe\xef\xff"
    struct.pack_into("<4f", data, 22, 1.0, 0.0, 0.0, 0.0)
    for offset, (form, values) in fields.items():
        struct.pack_into(form, data, int(offset.removeprefix("at_")), *values)
    struct.pack_into("<I", data, 803, crc(bytes(data[:800])))
    return bytes(data)


def test_the_textbook_checksum_gives_its_published_check_value():
    assert crc_mpeg2(b"123456789") == 0x0376E6E7


@given(st.binary(min_size=0, max_size=80).map(lambda data: data[: len(data) // 4 * 4]))
def test_checksum_equals_the_bitwise_one_over_words(data):
    assert crc32_words(data) == by_words(data)


def test_checksum_refuses_parts_of_words():
    with pytest.raises(ValueError, match="whole words"):
        crc32_words(b"12345")


def test_encrypted_form_by_hand():
    # 0x11223344 ^ 0xEDCAB9DE = 0xFCE88A9A: bytes 9a 8a e8 fc; in the order 1, 2, 3, 0: 8a e8 fc 9a.
    assert encrypted(0x11223344) == 0x9AFCE88A


def test_command_bytes_by_hand():
    ramp = np.arange(12.0)
    data = CommandPacket().fill(SERVO, 0.1 * ramp, -0.5 * ramp, 1.001 * ramp, 10.03 * ramp, 0.77 * ramp)
    assert len(data) == 614
    assert data[:4] == b"\xfe\xef\xff\x00"
    assert data[4:22] == bytes(18)
    for motor in range(12):
        mode, q, dq, tau, kp, kd = struct.unpack_from("<B2fh2H", data, 22 + 27 * motor)
        assert mode == 0x0A
        assert q == pytest.approx(0.1 * motor) and dq == pytest.approx(-0.5 * motor)
        assert tau == int(1.001 * motor * 256)
        assert kp == int(10.03 * motor * 32)
        assert kd == int(0.77 * motor * 16)
    for motor in range(12, 20):
        mode, q, dq, tau, kp, kd = struct.unpack_from("<B2fh2H", data, 22 + 27 * motor)
        assert (mode, dq, tau, kp, kd) == (0, 0.0, 0, 0, 0) and q == pytest.approx(2.146e9)
    assert data[562:610] == bytes(48)  # the battery's off byte is the first
    assert struct.unpack_from("<I", data, 610) == (by_words(data[:608]),)


def test_torques_are_truncated_towards_zero():
    data = CommandPacket().fill(SERVO, effort=np.full(12, -1.0 / 256.0 - 0.003))
    assert struct.unpack_from("<h", data, 22 + 9) == (-1,)


def test_damping_by_mode_carries_no_gain():
    data = CommandPacket().fill(DAMPING)
    assert {data[22 + 27 * motor] for motor in range(20)} == {0}
    assert struct.unpack_from("<h2H", data, 22 + 9) == (0, 0, 0)


def test_a_packet_is_filled_anew_each_time():
    packet = CommandPacket()
    first = packet.fill(SERVO, np.ones(12), stiffness=np.ones(12))
    packet.fill(SERVO, np.zeros(12))
    assert packet.fill(SERVO, np.ones(12), stiffness=np.ones(12)) == first


@given(st.floats(-20, 20), st.floats(0, 100), st.floats(0, 20))
def test_the_battery_byte_is_never_set(effort, stiffness, damping):
    ones = np.ones(12)
    for form in ("plain", "encrypted"):
        assert CommandPacket(form).fill(SERVO, ones, ones, effort * ones, stiffness * ones, damping * ones)[562] == 0


def test_state_fields_are_read_at_their_offsets():
    motors = {
        f"at_{75 + 32 * i}": ("<B2f2h2fhb", (10, 0.1 * i, -0.2 * i, 7, 256 * i, 9.0, 9.0, 9, 30 + i)) for i in range(20)
    }
    state = unpack_state(
        state_bytes(
            at_22=("<13fb", (0.5, 0.5, -0.5, 0.5, 1.0, 2.0, 3.0, 4.0, 5.0, 9.75, 7.0, 8.0, 9.0, 41)),
            **motors,
            at_718=("<B", (77,)),
            at_739=("<4h", (11, 12, 13, 14)),
            at_755=("<I", (123456,)),
        )
    )
    assert state.level_flag == LOW_LEVEL
    assert state.tick_s == pytest.approx(123.456)
    np.testing.assert_allclose(state.position, 0.1 * np.arange(12), atol=1e-6)
    np.testing.assert_allclose(state.velocity, -0.2 * np.arange(12), atol=1e-6)
    np.testing.assert_array_equal(state.effort, np.arange(12))
    np.testing.assert_array_equal(state.mode, np.full(12, 10))
    np.testing.assert_array_equal(state.temperature, 30 + np.arange(12))
    np.testing.assert_array_equal(state.quaternion, (0.5, 0.5, -0.5, 0.5))
    np.testing.assert_array_equal(state.angular_velocity, (1, 2, 3))
    np.testing.assert_array_equal(state.acceleration, (4, 5, 9.75))
    np.testing.assert_array_equal(state.foot_force, (11, 12, 13, 14))
    assert state.charge == 77


def test_what_is_no_state_is_refused_and_said():
    good = state_bytes()
    unpack_state(good)
    with pytest.raises(ProtocolError, match="807 bytes, not 806"):
        unpack_state(good[:-1])
    with pytest.raises(ProtocolError, match="not 00 ef"):
        unpack_state(b"\x00" + good[1:])
    with pytest.raises(ProtocolError, match="set crc to 'plain'"):
        unpack_state(good, "encrypted")


@pytest.mark.parametrize("place", [5, 100, 799, 803, 806])
def test_a_flipped_bit_under_the_checksum_is_refused(place):
    data = bytearray(state_bytes())
    data[place] ^= 0x10
    with pytest.raises(ProtocolError, match="checksum"):
        unpack_state(bytes(data))


@pytest.mark.parametrize("place", [800, 802])
def test_the_last_bytes_before_the_checksum_are_not_under_it(place):
    data = bytearray(state_bytes())
    data[place] ^= 0x10
    unpack_state(bytes(data))


def test_the_encrypted_form_is_accepted_where_it_is_set():
    assert unpack_state(state_bytes(lambda data: encrypted(by_words(data))), "encrypted").level_flag == LOW_LEVEL


def test_motors_are_found_by_name():
    assert [MOTOR_INDEX[name] for name in GO1.joint_names] == list(range(12))
    assert (MOTOR_INDEX["FR_hip_joint"], MOTOR_INDEX["FL_thigh_joint"], MOTOR_INDEX["RL_calf_joint"]) == (0, 4, 11)
