"""Packets recorded from runs of Unitree's own library (unitree_legged_sdk, branch go1, 3.8), read by both of our ends.

COMMAND is what the library sent for the values below. STATE is a packet that the library accepted, and from which it
read the values below. A loop through the same library made the virtual robot stand up from the ground: 1500 commands,
1500 answers, no checksum or flag error counted on either side.
"""

from __future__ import annotations

import base64
import struct
import zlib

import numpy as np

from hardware.go1.checksum import crc32_words
from hardware.go1.packets import SERVO, CommandPacket, unpack_state
from sim.devices.go1 import wire

COMMAND = zlib.decompress(
    base64.b64decode(
        "eNr79/4/AybgAuL9YNZPBXSps2fO7GNgaLDz/TWNgRVVatbMmUApBvtZv3kYuVClzpzxAUo52D//08zIjy51Zi/QQHuTfz8ZRTGc"
        "AQQL7Bv+FzBJoUpdOHPGloHhgP0ZhmdM8hh22TEwPLCXZIphVsFwIVCKwSGN+TKzFqrUuTNngFICDptZPFn0MZxhz8Cg4MDAdoDF"
        "BN1ASaCUgYMPuxmrFarUzkv//RgYqtywBO9QliIVtC286QMA6qFTAw=="
    )
)
STATE = zlib.decompress(
    base64.b64decode(
        "eNr79/4/A1ZgD8T7oTQI2zEwNOxjYDhgB+E3AOVkHEEKb/OfBMkzaHABZUE6HID4B4KtDDMRKL8AKHYAqNrhJ4KNLA8ytQFk+i8E"
        "G1neAeqiA78RbGR5sItB4C+CjWL+Poi4wz8EG0U/A9Te/wg2XJ4DyLeD+OsAA4KNoh8UEiBJJgQbxf1AMQWgmAMzgo3iPlDYAMUa"
        "WBBslPADiiUAxQ6wItjKDKMADBgZGHwNfvz/z8MgJ6egUA4H3AxiDIoMOgww2uERI0nmvr1f3wIAYgpNKg=="
    )
)
MOTOR = np.arange(12, dtype=np.float32)
COMMANDED = {
    "q": np.float32(0.1) * MOTOR - np.float32(0.5),
    "dq": np.float32(0.25) * MOTOR,
    "tau": np.float32(1.3) * MOTOR - np.float32(7.0),
    "kp": np.float32(3.7) * MOTOR + np.float32(1.0),
    "kd": np.float32(0.33) * MOTOR,
}


def test_the_driver_packs_the_motors_as_the_library_does():
    ours = CommandPacket().fill(SERVO, *(COMMANDED[name].astype(float) for name in ("q", "dq", "tau", "kp", "kd")))
    assert len(ours) == len(COMMAND) == 614
    assert ours[:3] == COMMAND[:3]
    for motor in range(12):
        part = slice(22 + 27 * motor, 49 + 27 * motor)
        assert ours[part] == COMMAND[part], motor
    assert ours[546:610] == COMMAND[546:610]  # nothing behind the motors, the battery's byte included


def test_the_librarys_checksum_is_ours_on_both_sides():
    (sent,) = struct.unpack_from("<I", COMMAND, 610)
    assert sent == crc32_words(COMMAND[:608]) == wire.checksum(COMMAND[:608])


def test_the_virtual_robot_reads_the_librarys_command():
    level, order, battery_off = wire.read_command(COMMAND)
    assert (level, battery_off) == (0xFF, 0)
    assert set(order.mode) == {0x0A}
    np.testing.assert_array_equal(order.q, COMMANDED["q"])
    np.testing.assert_array_equal(order.dq, COMMANDED["dq"])
    for found, name, step in ((order.tau, "tau", 256), (order.kp, "kp", 32), (order.kd, "kd", 16)):
        np.testing.assert_array_equal(found, np.trunc(COMMANDED[name].astype(float) * step) / step, err_msg=name)


def test_the_driver_reads_a_state_as_the_library_did():
    state = unpack_state(STATE)
    assert (state.level_flag, state.charge) == (255, 77)
    assert round(1e3 * state.tick_s) == 123456
    np.testing.assert_array_equal(state.quaternion, (0.5, -0.5, 0.5, 0.5))
    np.testing.assert_array_equal(state.angular_velocity, (0.125, -0.25, 0.375))
    np.testing.assert_array_equal(state.acceleration, (0.5, -1.0, 9.75))
    np.testing.assert_array_equal(state.mode, [10, 10, 10, 10, 10, 10, 10, 8, 10, 10, 10, 10])
    np.testing.assert_array_equal(state.position, [-1.5, -1.25, -1, -0.75, -0.5, -0.25, 0, 0.25, 0.5, 0.75, 1, 1.25])
    np.testing.assert_array_equal(state.velocity, [2, 1.5, 1, 0.5, 0, -0.5, -1, -1.5, -2, -2.5, -3, -3.5])
    np.testing.assert_array_equal(state.effort, [-8, -6.75, -5.5, -4.25, -3, -1.75, -0.5, 0.75, 2, 3.25, 4.5, 5.75])
    np.testing.assert_array_equal(state.temperature, np.full(12, 35))
    np.testing.assert_array_equal(state.foot_force, (11, 22, 33, 44))
