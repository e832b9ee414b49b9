"""The robot's side of the low-level messages: reads LowCmd, writes LowState, computes their checksum its own way.

Written from the field lists of unitree_sdk2_python, apart from the driver, so that each checks the other: here the
formats of both layouts are spelled out, and the checksum is a table of what every byte contributes.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardware.arrays import FloatArray
from sim.devices.quadruped_body import MOTORS, MotorOrder

_SLOTS = 20
_HEADER = b"\x00\x01\x00\x00"
# CDR pads only before a field: the first motor begins right after what precedes it, the others are aligned by chance.
_COMMAND = struct.Struct("<4B4IH" + "B1x5f3I" + (_SLOTS - 1) * "B3x5f3I" + "4B55Bx2I")
_COMMAND_C = struct.Struct("<4B4IH2x" + _SLOTS * "B3x5f3I" + "4B55Bx2I")
_TAIL = "4BiH4b15H" + "8hI41B3xf2b2x2f4H2I"
_STATE = struct.Struct("<4B4IH2x" + "13fb" + "B2x7fb3x3I" + (_SLOTS - 1) * "B3x7fb3x3I" + _TAIL)
_STATE_C = struct.Struct("<4B4IH2x" + "13fb3x" + _SLOTS * "B3x7fb3x3I" + _TAIL)
_PER_MOTOR_COMMAND = 9
_FIRST_COMMAND = 9
_BATTERY_OFF = _FIRST_COMMAND + _SLOTS * _PER_MOTOR_COMMAND
_EMPTY_MOTORS = (0,) * ((_SLOTS - MOTORS) * 12)
_GENERATOR = 0x04C11DB7


@dataclass(frozen=True, slots=True)
class Readings:
    """What a LowState reports, motor arrays (12,) by motor."""

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


@cache
def _contributions(span: int) -> tuple[NDArray[np.uint32], int]:
    """What each value of each byte adds to the checksum of `span` bytes, (span, 256), and what the start value adds."""
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
    return table, int(np.bitwise_xor.reduce(table[:4, 255]))  # the start value is as if the first word were inverted


def checksum(data: bytes) -> int:
    """CRC of whole little-endian words, polynomial 0x04C11DB7, start 0xFFFFFFFF, most significant bit first."""
    table, start = _contributions(len(data))
    found = table[np.arange(len(data)), np.frombuffer(data, dtype=np.uint8)]
    return int(np.bitwise_xor.reduce(found)) ^ start


def read_command(data: bytes) -> tuple[MotorOrder, int] | None:
    """Order and the battery's off byte of a LowCmd at low level; None if it is not one, or its checksum is wrong."""
    if len(data) < 4 + _COMMAND.size or data[:4] != _HEADER:
        return None
    values = _COMMAND.unpack_from(data, 4)
    if values[:3] != (0xFE, 0xEF, 0xFF) or values[-1] != checksum(_COMMAND_C.pack(*values)[:-4]):
        return None
    end = _FIRST_COMMAND + MOTORS * _PER_MOTOR_COMMAND
    columns = np.array(values[_FIRST_COMMAND:end], dtype=np.float64).reshape(MOTORS, _PER_MOTOR_COMMAND).T
    return MotorOrder(columns[0].astype(np.uint8), *columns[1:6]), int(values[_BATTERY_OFF])


def write_state(readings: Readings) -> bytes:
    """A LowState."""
    motors: list[float] = []
    lists = (readings.mode.tolist(), readings.q.tolist(), readings.dq.tolist(), readings.tau.tolist())
    for mode, q, dq, tau in zip(*lists, strict=True):
        motors += (mode, q, dq, 0.0, tau, q, dq, 0.0, 35, 0, 0, 0)
    w, x, y, z = quaternion = readings.quaternion.tolist()
    rpy = (
        math.atan2(2 * (w * x + y * z), 1 - 2 * (x * x + y * y)),
        math.asin(min(max(2 * (w * y - z * x), -1.0), 1.0)),
        math.atan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z)),
    )
    force = np.clip(readings.foot_force, 0, 32767).astype(int).tolist()
    head = (0xFE, 0xEF, 0xFF, 0, 0, 0, 0, 0, 0)
    imu = (*quaternion, *readings.gyroscope.tolist(), *readings.accelerometer.tolist(), *rpy, 60)
    battery = (1, 0, 0, readings.charge, -2000, 12, 30, 30, 32, 32, *[3700] * 8, *[0] * 7)
    rest = (*force, *force, readings.tick_ms, *[0] * 40, 0, 3.0, 30, 30, 29.6, 1.5, 0, 0, 0, 0, 0)
    values = (*head, *imu, *motors, *_EMPTY_MOTORS, *battery, *rest)
    return _HEADER + _STATE.pack(*values, checksum(_STATE_C.pack(*values, 0)[:-4]))


class Bytes:
    """A sample that is its serialised bytes."""

    data = b""

    def serialize(self, buffer: Any = None, endianness: Any = None, use_version_2: bool | None = None) -> bytes:
        """What cyclonedds calls to write."""
        return self.data

    @classmethod
    def deserialize(cls, data: bytes, has_header: bool = True, use_version_2: bool | None = None) -> Bytes:
        """What cyclonedds calls to read."""
        sample = cls()
        sample.data = data
        return sample

    @classmethod
    def deserialize_key(cls, data: bytes, has_header: bool = True, use_version_2: bool | None = None) -> Bytes:
        """What cyclonedds calls when a writer has gone."""
        return cls()
