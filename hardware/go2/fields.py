"""The messages of the Go2 as tables, and what follows from them: C layout, CDR layout, and the way between the two.

Field order and types: unitree_sdk2_python, unitree_sdk2py/idl/unitree_go. The checksum is over the naturally aligned C
structure, the network carries CDR, whose structures are not padded at their ends. All sizes are fixed, so the bytes of
one are the bytes of the other at other places: the way is an index array, computed once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Fields: TypeAlias = "tuple[tuple[str, str | Message, int], ...]"

SIZES = {"b": 1, "h": 2, "H": 2, "i": 4, "I": 4, "f": 4}
"""Code -> bytes. b octet, h and H 16 bit, i and I 32 bit signed and unsigned, f float."""
_NUMPY = {"b": "u1", "h": "<i2", "H": "<u2", "i": "<i4", "I": "<u4", "f": "<f4"}
CDR_HEADER = b"\x00\x01\x00\x00"
"""Little-endian CDR, no options."""


@dataclass(frozen=True)
class Message:
    """A structure of fixed size."""

    name: str
    """Its name in `unitree_go::msg::dds_`."""
    fields: Fields
    """(name, code or structure, how many)."""

    def dtype(self) -> np.dtype[np.void]:
        """Its naturally aligned C layout."""
        parts = [
            (name, _NUMPY[kind] if isinstance(kind, str) else kind.dtype(), (count,) if count > 1 else ())
            for name, kind, count in self.fields
        ]
        return np.dtype(parts, align=True)

    def codes(self) -> str:
        """The codes of all its elements, in order."""
        return "".join((kind if isinstance(kind, str) else kind.codes()) * count for _, kind, count in self.fields)


@dataclass(frozen=True)
class Layout:
    """Both layouts of one message, and the way between them. Index arrays name a byte past the end for padding."""

    dtype: np.dtype[np.void]
    """The C structure."""
    cdr_size: int
    """Bytes of the CDR form, without its header."""
    to_cdr: NDArray[np.intp]
    """For every byte of the CDR form, its place in the C structure; `dtype.itemsize` for padding."""
    to_c: NDArray[np.intp]
    """For every byte of the C structure, its place in the CDR form; `cdr_size` for padding."""


def layout_of(message: Message) -> Layout:
    """The two layouts of `message`."""
    dtype = message.dtype()
    places = _leaf_places(message, dtype)
    cdr_places: list[int] = []
    end = 0
    for code in message.codes():
        end += -end % SIZES[code]
        cdr_places.append(end)
        end += SIZES[code]
    to_cdr = np.full(end, dtype.itemsize, dtype=np.intp)
    to_c = np.full(dtype.itemsize, end, dtype=np.intp)
    for code, c_place, cdr_place in zip(message.codes(), places, cdr_places, strict=True):
        span = np.arange(SIZES[code])
        to_cdr[cdr_place + span] = c_place + span
        to_c[c_place + span] = cdr_place + span
    return Layout(dtype, end, to_cdr, to_c)


def _leaf_places(message: Message, dtype: np.dtype[np.void]) -> list[int]:
    """Byte offsets of all elements in the C structure."""
    places: list[int] = []
    at: Any = dtype.fields
    for name, kind, count in message.fields:
        offset = int(at[name][1])
        if isinstance(kind, str):
            places += [offset + SIZES[kind] * index for index in range(count)]
        else:
            inner = kind.dtype()
            within = _leaf_places(kind, inner)
            places += [offset + inner.itemsize * index + place for index in range(count) for place in within]
    return places


_MOTOR_CMD = Message(
    "MotorCmd_",
    (("mode", "b", 1), *((name, "f", 1) for name in ("q", "dq", "tau", "kp", "kd")), ("reserve", "I", 3)),
)
_BMS_CMD = Message("BmsCmd_", (("off", "b", 1), ("reserve", "b", 3)))
_HEADER: Fields = (
    ("head", "b", 2),
    ("level_flag", "b", 1),
    ("frame_reserve", "b", 1),
    ("sn", "I", 2),
    ("version", "I", 2),
    ("bandwidth", "H", 1),
)
LOW_CMD = Message(
    "LowCmd_",
    (
        *_HEADER,
        ("motor_cmd", _MOTOR_CMD, 20),
        ("bms_cmd", _BMS_CMD, 1),
        ("wireless_remote", "b", 40),
        ("led", "b", 12),
        ("fan", "b", 2),
        ("gpio", "b", 1),
        ("reserve", "I", 1),
        ("crc", "I", 1),
    ),
)
"""Topic rt/lowcmd: CDR 808, C 812 bytes."""
_IMU_STATE = Message(
    "IMUState_",
    (
        ("quaternion", "f", 4),
        *((name, "f", 3) for name in ("gyroscope", "accelerometer", "rpy")),
        ("temperature", "b", 1),
    ),
)
_MOTOR_STATE = Message(
    "MotorState_",
    (
        ("mode", "b", 1),
        *((name, "f", 1) for name in ("q", "dq", "ddq", "tau_est", "q_raw", "dq_raw", "ddq_raw")),
        ("temperature", "b", 1),
        ("lost", "I", 1),
        ("reserve", "I", 2),
    ),
)
_BMS_STATE = Message(
    "BmsState_",
    (
        *((name, "b", 1) for name in ("version_high", "version_low", "status", "soc")),
        ("current", "i", 1),
        ("cycle", "H", 1),
        ("bq_ntc", "b", 2),
        ("mcu_ntc", "b", 2),
        ("cell_vol", "H", 15),
    ),
)
LOW_STATE = Message(
    "LowState_",
    (
        *_HEADER,
        ("imu_state", _IMU_STATE, 1),
        ("motor_state", _MOTOR_STATE, 20),
        ("bms_state", _BMS_STATE, 1),
        ("foot_force", "h", 4),
        ("foot_force_est", "h", 4),
        ("tick", "I", 1),
        ("wireless_remote", "b", 40),
        ("bit_flag", "b", 1),
        ("adc_reel", "f", 1),
        ("temperature_ntc1", "b", 1),
        ("temperature_ntc2", "b", 1),
        ("power_v", "f", 1),
        ("power_a", "f", 1),
        ("fan_frequency", "H", 4),
        ("reserve", "I", 1),
        ("crc", "I", 1),
    ),
)
"""Topic rt/lowstate: CDR 1176, C 1180 bytes."""
