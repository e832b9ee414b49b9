"""Unitree's low-level packets: LowCmd, 614 bytes, and LowState, 807 bytes, little-endian and without padding.

Source: unitree_legged_sdk 3.8.6 (comm.h; the library compresses the structures there to this form on the wire).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from hardware.arrays import FloatArray
from hardware.errors import ProtocolError
from hardware.go1.checksum import crc32_words, encrypted
from hardware.go1.spec import MOTOR_INDEX

HEAD = b"\xfe\xef"
LOW_LEVEL = 0xFF
"""Level flag of low-level commands; 0xEE is the high level's."""
SERVO, DAMPING, OVERHEAT = 0x0A, 0x00, 0x08
"""Motor modes."""
POSITION_OFF = 2.146e9
"""A position that means: no position term (`PosStopF`)."""

_HEADER = [
    ("head", "2u1"),
    ("level_flag", "u1"),
    ("frame_reserve", "u1"),
    ("serial_number", "2<u4"),
    ("version", "2<u4"),
    ("bandwidth", "<u2"),
]
_MOTOR_COMMAND = [
    ("mode", "u1"),
    ("q", "<f4"),
    ("dq", "<f4"),
    ("tau", "<i2"),
    ("kp", "<u2"),
    ("kd", "<u2"),
    ("reserve", "3<u4"),
]
_MOTOR_STATE = [
    ("mode", "u1"),
    ("q", "<f4"),
    ("dq", "<f4"),
    ("ddq", "<i2"),
    ("tau", "<i2"),
    ("q_raw", "<f4"),
    ("dq_raw", "<f4"),
    ("ddq_raw", "<i2"),
    ("temperature", "i1"),
    ("reserve", "2<u4"),
]
_IMU = [
    ("quaternion", "4<f4"),
    ("gyroscope", "3<f4"),
    ("accelerometer", "3<f4"),
    ("rpy", "3<f4"),
    ("temperature", "i1"),
]
_BATTERY = [
    ("version", "2u1"),
    ("status", "u1"),
    ("charge", "u1"),
    ("current_ma", "<i4"),
    ("cycles", "<u2"),
    ("battery_temperature", "2i1"),
    ("board_temperature", "2i1"),
    ("cell_voltage", "10u1"),
]
LOW_COMMAND = np.dtype(
    [
        *_HEADER,
        ("motor", _MOTOR_COMMAND, (20,)),
        ("battery_off", "u1"),  # 0xA5 would switch the battery off: never written
        ("battery_reserve", "3u1"),
        ("remote", "40u1"),
        ("reserve", "<u4"),
        ("crc", "<u4"),
    ]
)
LOW_STATE = np.dtype(
    [
        *_HEADER,
        ("imu", _IMU),
        ("motor", _MOTOR_STATE, (20,)),
        ("battery", _BATTERY),
        ("foot_force", "4<i2"),
        ("foot_force_estimate", "4<i2"),
        ("tick_ms", "<u4"),
        ("remote", "40u1"),
        ("reserve", "<u4"),
        ("crc", "<u4"),
    ]
)
_COMMAND_SPAN, _STATE_SPAN = 608, 800
"""Bytes that the checksums cover: not the last two bytes before them."""
_TAU_SCALE, _KP_SCALE, _KD_SCALE = 256.0, 32.0, 16.0

CrcForm = Literal["plain", "encrypted"]
_MOTORS = np.array(list(MOTOR_INDEX.values()), dtype=np.intp)


@dataclass(frozen=True, slots=True)
class LowState:
    """What a LowState packet says; joint arrays in the order of the specification."""

    level_flag: int
    """`LOW_LEVEL` where low-level commands own the motors."""
    tick_s: float
    """The robot's time [s]."""
    position: FloatArray
    """(12,) [rad]."""
    velocity: FloatArray
    """(12,) [rad/s]."""
    effort: FloatArray
    """Estimated torques, (12,) [Nm]."""
    mode: NDArray[np.uint8]
    """Motor modes, (12,)."""
    temperature: FloatArray
    """Of the motors, (12,) [deg C]."""
    quaternion: FloatArray
    """Orientation of the trunk, (4,), w x y z."""
    angular_velocity: FloatArray
    """Of the trunk in its own frame, (3,) [rad/s]."""
    acceleration: FloatArray
    """Specific force in the trunk's frame, (3,) [m/s^2]."""
    foot_force: FloatArray
    """Raw readings of the feet's sensors, (4,), in the order of the legs."""
    charge: int
    """State of charge of the battery [%]."""


class CommandPacket:
    """A LowCmd packet that is filled again and again; begins as damping by mode, with all gains zero."""

    def __init__(self, crc: CrcForm = "plain") -> None:
        self._crc = crc
        self._packet = np.zeros((), dtype=LOW_COMMAND)
        self._packet["head"] = tuple(HEAD)
        self._packet["level_flag"] = LOW_LEVEL
        self._motor = self._packet["motor"]
        # Motors that the Go1 does not have stay in damping, without a position term.
        self._motor["q"] = POSITION_OFF

    def fill(
        self,
        mode: int,
        position: FloatArray | float = POSITION_OFF,
        velocity: FloatArray | float = 0.0,
        effort: FloatArray | float = 0.0,
        stiffness: FloatArray | float = 0.0,
        damping: FloatArray | float = 0.0,
    ) -> bytes:
        """The packet that commands all twelve motors.

        Args:
            mode: `SERVO` or `DAMPING`.
            position: (12,) [rad]; `POSITION_OFF`: no position term.
            velocity: (12,) [rad/s].
            effort: (12,) [Nm], between -128 and 128; sent in steps of 1/256.
            stiffness: (12,) [Nm/rad], 0 to 2047; sent in steps of 1/32.
            damping: (12,) [Nm s/rad], 0 to 4095; sent in steps of 1/16.
        """
        motor = self._motor
        motor["mode"][_MOTORS] = mode
        motor["q"][_MOTORS] = position
        motor["dq"][_MOTORS] = velocity
        motor["tau"][_MOTORS] = np.trunc(np.multiply(effort, _TAU_SCALE))
        motor["kp"][_MOTORS] = np.trunc(np.multiply(stiffness, _KP_SCALE))
        motor["kd"][_MOTORS] = np.trunc(np.multiply(damping, _KD_SCALE))
        self._packet["crc"] = _checksum(self._packet.tobytes()[:_COMMAND_SPAN], self._crc)
        return self._packet.tobytes()


def unpack_state(data: bytes, crc: CrcForm = "plain") -> LowState:
    """Read a LowState packet.

    Raises:
        ProtocolError: wrong length, head or checksum.
    """
    if len(data) != LOW_STATE.itemsize:
        raise ProtocolError(f"a low-level state of the Go1 has {LOW_STATE.itemsize} bytes, not {len(data)}")
    packet = np.frombuffer(data, dtype=LOW_STATE)[0]
    if data[:2] != HEAD:
        raise ProtocolError(f"a packet of the Go1 begins with fe ef, not {data[:2].hex(' ')}")
    expected, found = _checksum(data[:_STATE_SPAN], crc), int(packet["crc"])
    if found != expected:
        raise ProtocolError(
            f"checksum of the Go1's state is {found:08x}, expected {expected:08x}; if every packet is refused, set crc "
            f"to '{'encrypted' if crc == 'plain' else 'plain'}'"
        )
    motor, imu = packet["motor"][_MOTORS], packet["imu"]
    return LowState(
        level_flag=int(packet["level_flag"]),
        tick_s=1e-3 * int(packet["tick_ms"]),
        position=motor["q"].astype(np.float64),
        velocity=motor["dq"].astype(np.float64),
        effort=motor["tau"] / _TAU_SCALE,
        mode=motor["mode"].copy(),
        temperature=motor["temperature"].astype(np.float64),
        quaternion=imu["quaternion"].astype(np.float64),
        angular_velocity=imu["gyroscope"].astype(np.float64),
        acceleration=imu["accelerometer"].astype(np.float64),
        foot_force=packet["foot_force"].astype(np.float64),
        charge=int(packet["battery"]["charge"]),
    )


def _checksum(data: bytes, form: CrcForm) -> int:
    plain = crc32_words(data)
    return encrypted(plain) if form == "encrypted" else plain
