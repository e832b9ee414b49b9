"""What every camera offers, and how a kind of camera is registered."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, cast, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from hardware.arrays import FloatArray
from hardware.records import RobotState
from hardware.registry import Registry, load_object


@dataclass(frozen=True, slots=True)
class CameraIntrinsics:
    """Pinhole model with the lens distortion of OpenCV's plumb-bob order (k1, k2, p1, p2, k3)."""

    width: int
    """Image width [px]."""
    height: int
    """Image height [px]."""
    matrix: FloatArray
    """Camera matrix, (3, 3) [px]."""
    distortion: FloatArray
    """Distortion coefficients, (5,)."""


def pinhole_intrinsics(width: int, height: int, vertical_field_deg: float = 45.0) -> CameraIntrinsics:
    """Square pixels, the axis through the middle, no distortion: a simulated camera, or a guess for a real one.

    Args:
        width: image width [px].
        height: image height [px].
        vertical_field_deg: vertical field of view [deg].
    """
    focal = 0.5 * height / math.tan(math.radians(vertical_field_deg) / 2.0)
    # The principal point of pixel centres counted from 0.
    matrix = np.array([[focal, 0.0, 0.5 * (width - 1)], [0.0, focal, 0.5 * (height - 1)], [0.0, 0.0, 1.0]])
    return CameraIntrinsics(width, height, matrix, np.zeros(5))


@dataclass(frozen=True, slots=True)
class CameraFrame:
    """One image."""

    capture_time_s: float
    """Monotonic time of the exposure [s]."""
    color: NDArray[np.uint8]
    """Image, (height, width, 3), RGB."""
    depth_m: NDArray[np.float32] | None
    """Depth along the optical axis, (height, width) [m], 0 where unknown; None for a camera without depth."""
    intrinsics: CameraIntrinsics
    """Of the colour image."""
    serial_number: str
    """Of the individual camera."""


class Camera(Protocol):
    """A connection to one camera, found by serial number, path or address."""

    def connect(self) -> None:
        """Open the stream.

        Raises:
            DeviceNotConnectedError: no such camera.
        """
        ...

    def read_latest(self, max_age_s: float) -> CameraFrame:
        """The newest frame, possibly one already read.

        Raises:
            StaleDataError: the newest frame is older than `max_age_s` [s].
            DeviceNotConnectedError: the stream broke.
        """
        ...

    def read_next(self, timeout_s: float) -> CameraFrame:
        """The next frame that was not read yet, waiting up to `timeout_s` [s].

        Raises:
            StaleDataError: none came in time.
            DeviceNotConnectedError: the stream broke.
        """
        ...

    def disconnect(self) -> None:
        """Close the stream. Idempotent, never raises."""
        ...


@runtime_checkable
class StateFollower(Protocol):
    """A camera that has to be told where the robot is, because it draws what it sees instead of seeing it."""

    robot: str
    """Registry name of the robot that it shows."""

    def follow(self, state: RobotState) -> None:
        """Take the newest measurement of the robot. Never blocks."""
        ...


@dataclass(frozen=True)
class CameraEntry:
    """How a kind of camera registers: `CAMERA = CameraEntry(...)` at the top level of its module."""

    camera: str
    """"module:Class" of the camera; imported only when opened. The class takes one argument, its configuration."""
    config: str
    """"module:Class" of its configuration, a frozen dataclass."""
    summary: str
    """One line for `robostack list cameras`."""

    def config_type(self) -> type[Any]:
        """The configuration dataclass."""
        return cast(type[Any], load_object(self.config))

    def open(self, config: object) -> Camera:
        """A camera, not yet connected."""
        return cast(Callable[[object], Camera], load_object(self.camera))(config)


CAMERAS: Registry[CameraEntry] = Registry("camera", "hardware.cameras", "CAMERA")
"""Every kind of camera: modules of that package, and entry points of the group `robostack.cameras`."""
