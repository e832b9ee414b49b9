"""A camera for tests of the graph: counts in its pixels, and breaks when a file says so."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hardware.camera import CameraEntry, CameraFrame, pinhole_intrinsics
from hardware.errors import DeviceNotConnectedError


@dataclass(frozen=True)
class GraphCameraConfig:
    """Settings."""

    broken: str = ""
    """While this file exists, the stream is broken."""
    missing: bool = False
    """Whether there is no camera."""


class GraphCamera:
    """Frames of 32x24 every 10 ms."""

    def __init__(self, config: GraphCameraConfig) -> None:
        self.config, self.count = config, 0

    def connect(self) -> None:
        if self.config.missing:
            raise DeviceNotConnectedError("camera", "nowhere", "the cable")

    def read_latest(self, max_age_s: float) -> CameraFrame:
        return self.read_next(max_age_s)

    def read_next(self, timeout_s: float) -> CameraFrame:
        time.sleep(0.01)
        if self.config.broken and Path(self.config.broken).exists():
            raise DeviceNotConnectedError("camera", "here", "the cable")
        self.count += 1
        image = np.full((24, 32, 3), self.count % 200, dtype=np.uint8)
        return CameraFrame(time.monotonic(), image, None, pinhole_intrinsics(32, 24), "7")

    def disconnect(self) -> None:
        pass


CAMERA = CameraEntry(camera="graph_camera:GraphCamera", config="graph_camera:GraphCameraConfig", summary="for tests")
