"""The low-level messages of the Go2 as bytes: what a command becomes, and what a state says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardware.arrays import FloatArray
from hardware.errors import ProtocolError
from hardware.go2.checksum import crc32_words
from hardware.go2.fields import CDR_HEADER, LOW_CMD, LOW_STATE, layout_of
from hardware.go2.spec import GO2, MOTOR_INDEX

SERVO = 0x01
"""Motor mode of a commanded motor; it obeys tau + kp (q* - q) + kd (dq* - dq)."""
LOW_LEVEL = 0xFF
POSITION_OFF = 2.146e9
"""Position that means: no position term (PosStopF)."""
VELOCITY_OFF = 16000.0
"""Velocity that means: no velocity term (VelStopF)."""
_COMMAND, _STATE = layout_of(LOW_CMD), layout_of(LOW_STATE)
_MOTORS = np.array([MOTOR_INDEX[name] for name in GO2.joint_names])
_PADDING = b"\x00"


class CommandPacket:
    """One command, filled again every cycle: only what changes is written.

    Every one of the twenty motors is in servo mode, as Unitree's examples send it, the eight that do not exist without
    any term. The byte that switches the battery off stays 0.
    """

    def __init__(self) -> None:
        self._bytes = np.zeros(_COMMAND.dtype.itemsize + 1, dtype=np.uint8)
        record: Any = self._bytes[:-1].view(_COMMAND.dtype)[0]
        record["head"], record["level_flag"] = (0xFE, 0xEF), LOW_LEVEL
        motors: Any = record["motor_cmd"]
        motors["mode"], motors["q"], motors["dq"] = SERVO, POSITION_OFF, VELOCITY_OFF
        self._motors = {name: motors[name] for name in ("q", "dq", "tau", "kp", "kd")}
        self._checksum = self._bytes[-5:-1].view("<u4")

    def fill(
        self,
        position: FloatArray | float,
        velocity: FloatArray | float,
        effort: FloatArray | float,
        stiffness: FloatArray | float,
        damping: FloatArray | float,
    ) -> bytes:
        """The CDR form, header included.

        Args:
            position: (12,) [rad] in the order of the specification, or `POSITION_OFF`.
            velocity: (12,) [rad/s].
            effort: (12,) [Nm].
            stiffness: (12,) [Nm/rad].
            damping: (12,) [Nm s/rad].
        """
        fields = self._motors
        fields["q"][_MOTORS], fields["dq"][_MOTORS], fields["tau"][_MOTORS] = position, velocity, effort
        fields["kp"][_MOTORS], fields["kd"][_MOTORS] = stiffness, damping
        self._checksum[0] = crc32_words(self._bytes[:-5].tobytes())
        return CDR_HEADER + self._bytes[_COMMAND.to_cdr].tobytes()


@dataclass(frozen=True, slots=True)
class LowState:
    """One state; arrays (12,) in the order of the specification."""

    tick_s: float
    """The robot's clock [s]."""
    mode: NDArray[np.uint8]
    """Motor modes."""
    position: FloatArray
    """[rad]."""
    velocity: FloatArray
    """[rad/s]."""
    effort: FloatArray
    """Estimated torques [Nm]."""
    temperature: NDArray[np.uint8]
    """Of the motors [deg C]."""
    quaternion: FloatArray
    """Orientation of the trunk, (4,), w x y z."""
    angular_velocity: FloatArray
    """Of the trunk, in its frame, (3,) [rad/s]."""
    acceleration: FloatArray
    """Accelerometer, (3,) [m/s^2]."""
    foot_force: NDArray[np.int16]
    """Foot sensors FR FL RR RL, (4,), raw."""
    charge: int
    """State of charge of the battery [%]."""


def unpack_state(data: bytes) -> LowState:
    """Read a LowState.

    Args:
        data: its CDR form, header included.

    Raises:
        ProtocolError: wrong size, encoding, head or checksum.
    """
    if not _STATE.cdr_size <= len(data) - 4 <= _STATE.cdr_size + 4 or data[:2] != CDR_HEADER[:2]:
        raise ProtocolError(
            f"a LowState of the Go2 has {_STATE.cdr_size + 4} bytes of little-endian CDR; "
            f"got {len(data)} that begin with {data[:4].hex()}"
        )
    padded = np.frombuffer(data[4 : 4 + _STATE.cdr_size] + _PADDING, dtype=np.uint8)
    image = padded[_STATE.to_c]
    record: Any = image.view(_STATE.dtype)[0]
    if tuple(record["head"]) != (0xFE, 0xEF):
        raise ProtocolError(f"a LowState begins with fe ef, not {record['head'].tobytes().hex(' ')}")
    expected = crc32_words(image[:-4].tobytes())
    if expected != int(record["crc"]):
        raise ProtocolError(f"checksum of a LowState is {int(record['crc']):08x}, computed {expected:08x}")
    motors, imu = record["motor_state"][_MOTORS], record["imu_state"]
    return LowState(
        tick_s=1e-3 * float(record["tick"]),
        mode=motors["mode"],
        position=motors["q"].astype(np.float64),
        velocity=motors["dq"].astype(np.float64),
        effort=motors["tau_est"].astype(np.float64),
        temperature=motors["temperature"],
        quaternion=imu["quaternion"].astype(np.float64),
        angular_velocity=imu["gyroscope"].astype(np.float64),
        acceleration=imu["accelerometer"].astype(np.float64),
        foot_force=record["foot_force"],
        charge=int(record["bms_state"]["soc"]),
    )
