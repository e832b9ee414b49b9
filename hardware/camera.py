"""What every camera offers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from hardware.arrays import FloatArray


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
