"""The robot's side of the low-level packets: reads LowCmd, writes LowState, computes their checksum its own way.

Written from the table of unitree_legged_sdk 3.8.6, apart from the driver, so that each checks the other.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hardware.arrays import FloatArray
from sim.devices.quadruped_body import MOTORS, MotorOrder

COMMAND_BYTES, STATE_BYTES = 614, 807
COMMAND_SPAN, STATE_SPAN = 608, 800
_SLOTS = 20
_ONE_MOTOR = struct.Struct("<B2fh2H12x")
_COMMAND_MOTORS = 22
_MOTOR_STATE = "Bffhhffhb8x"
_STATE = struct.Struct("<2s2B16xH" + "13fb" + _SLOTS * _MOTOR_STATE + "4Bi H4b10B" + "8hI40x4x")
_EMPTY_MOTORS = (0, 0.0, 0.0, 0, 0, 0.0, 0.0, 0, 0) * (_SLOTS - MOTORS)
_GENERATOR = 0x04C11DB7


@dataclass(frozen=True, slots=True)
class Readings:
    """What a LowState reports, motor arrays (12,) by motor."""

    level_flag: int
    """0xFF low level, 0xEE high level."""
    mode: NDArray[np.uint8]
    """Motor modes."""
    q: FloatArray
    """[rad]."""
    dq: FloatArray
    """[rad/s]."""
    tau: FloatArray
    """[Nm]."""
    quaternion: FloatArray
    """w x y z."""
    gyroscope: FloatArray
    """[rad/s]."""
    accelerometer: FloatArray
    """[m/s^2]."""
    foot_force: FloatArray
    """(4,) raw units of the sensors; here N."""
    tick_ms: int
    """Time since power-up [ms]."""
    charge: int
    """[%]."""


def _contributions(span: int) -> NDArray[np.uint32]:
    """What each value of each byte adds to the checksum of `span` bytes, (span, 256): the sum is linear over bits."""
    bits = np.zeros((span, 8), dtype=np.uint32)
    register = _GENERATOR  # what the last bit to enter adds: the least significant one of the last word
    for word in reversed(range(span // 4)):
        for bit in range(32):
            bits[4 * word + bit // 8, bit % 8] = register
            register = ((register << 1) & 0xFFFFFFFF) ^ (_GENERATOR if register & 0x80000000 else 0)
    values = np.arange(256)
    table = np.zeros((span, 256), dtype=np.uint32)
    for bit in range(8):
        table ^= np.where((values >> bit) & 1, bits[:, bit, None], np.uint32(0)).astype(np.uint32)
    return table


def _start(table: NDArray[np.uint32]) -> int:
    """What the start value 0xFFFFFFFF leaves: it is as if the first word were inverted."""
    return int(np.bitwise_xor.reduce(table[:4, 255]))


_TABLES = {span: _contributions(span) for span in (COMMAND_SPAN, STATE_SPAN)}
_STARTS = {span: _start(table) for span, table in _TABLES.items()}
_ROWS = np.arange(STATE_SPAN)


def checksum(data: bytes, form: str = "plain") -> int:
    """The checksum of the first 608 or 800 bytes of a packet.

    Args:
        data: exactly that many bytes.
        form: "plain", or "encrypted" as firmware of the SDK 3.5 does.
    """
    span = len(data)
    found = _TABLES[span][_ROWS[:span], np.frombuffer(data, dtype=np.uint8)]
    value = int(np.bitwise_xor.reduce(found)) ^ _STARTS[span]
    if form == "encrypted":
        value ^= 0xEDCAB9DE
        value = (value >> 8) | ((value & 0xFF) << 24)
    return value


def read_command(data: bytes, form: str = "plain") -> tuple[int, MotorOrder, int] | None:
    """Level flag, order and the battery's off byte of a LowCmd; None if it is not one."""
    if len(data) != COMMAND_BYTES or data[0] != 0xFE or data[1] != 0xEF:
        return None
    (found,) = struct.unpack_from("<I", data, 610)
    if found != checksum(data[:COMMAND_SPAN], form):
        return None
    end = _COMMAND_MOTORS + MOTORS * _ONE_MOTOR.size
    columns = np.array(list(_ONE_MOTOR.iter_unpack(data[_COMMAND_MOTORS:end])), dtype=np.float64).T
    order = MotorOrder(
        mode=columns[0].astype(np.uint8),
        q=columns[1],
        dq=columns[2],
        tau=columns[3] / 256.0,
        kp=columns[4] / 32.0,
        kd=columns[5] / 16.0,
    )
    return data[2], order, data[562]


def write_state(readings: Readings, form: str = "plain") -> bytes:
    """A LowState."""
    motors: list[float] = []
    tau = np.clip(np.nan_to_num(readings.tau) * 256.0, -32768, 32767).astype(int).tolist()
    modes, positions, velocities = readings.mode.tolist(), readings.q.tolist(), readings.dq.tolist()
    for mode, q, dq, torque in zip(modes, positions, velocities, tau, strict=True):
        motors += (mode, q, dq, 0, torque, q, dq, 0, 35)
    w, x, y, z = quaternion = readings.quaternion.tolist()
    rpy = (
        np.arctan2(2 * (w * x + y * z), 1 - 2 * (x * x + y * y)),
        np.arcsin(np.clip(2 * (w * y - z * x), -1.0, 1.0)),
        np.arctan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z)),
    )
    force = np.clip(readings.foot_force, 0, 32767).astype(int).tolist()
    imu = (*quaternion, *readings.gyroscope.tolist(), *readings.accelerometer.tolist(), *rpy, 40)
    battery = (1, 0, 0, readings.charge, -2000, 12, 30, 30, 32, 32, *[119] * 10)
    body = _STATE.pack(
        b"\xfe\xef",
        readings.level_flag,
        0,
        0,
        *imu,
        *motors,
        *_EMPTY_MOTORS,
        *battery,
        *force,
        *force,
        readings.tick_ms,
    )
    return body + struct.pack("<I", checksum(body[:STATE_SPAN], form))
