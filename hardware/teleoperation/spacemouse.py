"""A SpaceMouse through its raw HID reports; see `hardware.teleoperator.Teleoperator`.

Reports (little endian): 1 = translation x y z as int16, on newer models followed by the rotation; 2 = rotation about
x y z as int16; 3 = buttons, one bit each. Full deflection is about 350. The device's axes point right, towards the
person, and down. Source: spacenavd, src/dev_usb_linux.c and doc (FreeSpacenav), and the makers' own figures.

The puck is its own dead-man switch: let go, it springs back to zero. While it is deflected it reports without pause.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hardware.arrays import FloatArray
from hardware.clock import Clock, SystemClock
from hardware.errors import ConfigError, DeviceNotConnectedError
from hardware.teleoperation.device_file import DeviceFile
from hardware.teleoperation.twist_config import TwistConfig, past_dead_zone
from hardware.teleoperator import OperatorCommand

VENDOR = 0x256F
"""3Dconnexion; everything it makes that reports motion is a 3D mouse."""
LOGITECH = 0x046D
LOGITECH_PRODUCTS = (0xC603, 0xC605, 0xC606, 0xC621, 0xC623, 0xC625, 0xC626, 0xC627, 0xC628, 0xC629, 0xC62B)
"""Older 3D mice, sold under Logitech's vendor number, which ordinary mice have too (spacenavd's list of devices)."""
FULL_DEFLECTION = 350.0
"""Report at full deflection."""
_TO_BASE = np.array([[0.0, -1.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, -1.0]])
"""Device axes (right, towards the person, down) to the robot's base (forward, left, up), for a person behind it."""


@dataclass(frozen=True)
class SpaceMouseConfig(TwistConfig):
    """Which device, and how it is read.

    Raises:
        ConfigError: a setting out of range.
    """

    device: str = ""
    """Device file; empty: the first /dev/hidraw* of a known maker."""
    dead_zone: float = 0.08
    """Deflection that counts as none, as a share of the full one."""
    silence_s: float = 0.2
    """A deflected puck that does not report for this long counts as let go [s]."""

    def __post_init__(self) -> None:
        TwistConfig.__post_init__(self)
        if not 0.0 <= self.dead_zone <= 0.9:
            raise ConfigError(f"SpaceMouse: dead_zone = {self.dead_zone} is outside [0, 0.9]")
        if not 0.02 <= self.silence_s <= 2.0:
            raise ConfigError(f"SpaceMouse: silence_s = {self.silence_s} is outside [0.02, 2]")


class SpaceMouse:
    """A connection to one SpaceMouse. Left button closes the gripper, right button opens it, while held.

    Args:
        config: device file and speeds.
        clock: the monotonic clock of capture times; default the system's.
    """

    def __init__(self, config: SpaceMouseConfig, clock: Clock | None = None) -> None:
        self.config = config
        self._clock: Clock = clock if clock is not None else SystemClock()
        self._file: DeviceFile | None = None
        self._deflection: FloatArray = np.zeros(6)
        self._buttons = 0
        self._heard_s = float("-inf")
        self._sequence = 0

    def connect(self) -> None:
        """Open the device.

        Raises:
            DeviceNotConnectedError: no SpaceMouse.
        """
        self.disconnect()
        check = 'the cable, and that you may read /dev/hidraw* (a udev rule for vendor 256f with TAG+="uaccess")'
        path = self.config.device or find_space_mouse() or "/dev/hidraw*"
        self._file = DeviceFile("SpaceMouse", path, check)
        self._deflection, self._buttons = np.zeros(6), 0

    def read(self) -> OperatorCommand:
        """The puck and the buttons now.

        Raises:
            DeviceNotConnectedError: the device is gone.
        """
        if self._file is None:
            raise DeviceNotConnectedError(
                "SpaceMouse", self.config.device or "/dev/hidraw*", "that connect() was called"
            )
        now_s = self._clock.now()
        for report in self._file.read():
            self._heard_s = now_s
            self._take(report)
        if now_s - self._heard_s > self.config.silence_s:
            self._deflection = np.zeros(6)
        velocity = past_dead_zone(np.clip(self._deflection, -1.0, 1.0), self.config.dead_zone)
        gripper = 0.0 if self._buttons & 1 else 1.0 if self._buttons & 2 else None
        self._sequence += 1
        return OperatorCommand(
            capture_time_s=now_s,
            sequence=self._sequence,
            enabled=bool(velocity.any()) or gripper is not None,
            tool_linear_velocity=_TO_BASE @ velocity[:3] * self.config.linear_speed,
            tool_angular_velocity=_TO_BASE @ velocity[3:] * self.config.angular_speed,
            gripper=gripper,
        )

    def disconnect(self) -> None:
        """Close the device. Idempotent, never raises."""
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def _take(self, report: bytes) -> None:
        """Keep one report; what is none of the three kinds (battery and the like) is left out."""
        kind, body = report[:1], report[1:]
        if kind == b"\x01" and len(body) >= 12:
            self._deflection = _shares(body[:12])
        elif kind == b"\x01" and len(body) >= 6:
            self._deflection = np.concatenate([_shares(body[:6]), self._deflection[3:]])
        elif kind == b"\x02" and len(body) >= 6:
            self._deflection = np.concatenate([self._deflection[:3], _shares(body[:6])])
        elif kind == b"\x03" and body:
            self._buttons = int.from_bytes(body[:4], "little")


def _shares(body: bytes) -> FloatArray:
    return np.array(struct.unpack(f"<{len(body) // 2}h", body), dtype=np.float64) / FULL_DEFLECTION


def find_space_mouse(root: Path = Path("/sys/class/hidraw"), devices: Path = Path("/dev")) -> str:
    """Device file of the first SpaceMouse; "" where there is none.

    Args:
        root: where the kernel lists raw HID devices.
        devices: where their device files are.
    """
    for entry in sorted(root.glob("hidraw*")):
        try:
            lines = (entry / "device" / "uevent").read_text(encoding="utf-8").splitlines()
        except OSError:  # unplugged since it was listed
            continue
        for line in lines:
            if line.startswith("HID_ID="):
                _bus, vendor, product = (int(part, 16) for part in line.removeprefix("HID_ID=").split(":"))
                if vendor == VENDOR or (vendor == LOGITECH and product in LOGITECH_PRODUCTS):
                    return str(devices / entry.name)
    return ""
