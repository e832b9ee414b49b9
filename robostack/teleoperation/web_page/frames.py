"""The newest picture of every camera, on its way to browsers that may be slow.

A picture travels as one binary message: a header of 16 bytes, little-endian, then the JPEG.

    offset 0  uint32   camera, index into the list of cameras last sent
    offset 4  uint32   number of this picture; counts up per camera
    offset 8  float64  monotonic time of the exposure [s]
"""

from __future__ import annotations

import struct
import threading
from dataclasses import dataclass

HEADER = struct.Struct("<IId")
"""Of every binary message."""
FRAME_BYTES_MAX = 2_000_000
"""Larger pictures are not sent: a JPEG of a camera for teleoperation has a tenth of it."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture."""

    camera: int
    """Index into `FrameBoard.cameras`."""
    number: int
    """Counts up per camera."""
    message: bytes
    """Header and JPEG."""


class FrameBoard:
    """Holds one picture per camera; a newer one replaces it. Every method may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._frames: dict[str, Frame] = {}
        self.too_large = 0
        """Pictures left out because of their size."""

    @property
    def cameras(self) -> tuple[str, ...]:
        """Names of the cameras, in the order in which they appeared."""
        with self._lock:
            return tuple(self._frames)

    def put(self, camera: str, jpeg: bytes, capture_time_s: float) -> None:
        """Replace the picture of `camera` by `jpeg`, exposed at the monotonic time `capture_time_s` [s]."""
        if len(jpeg) > FRAME_BYTES_MAX:
            self.too_large += 1
            return
        with self._lock:
            last = self._frames.get(camera)
            index = last.camera if last is not None else len(self._frames)
            number = last.number + 1 if last is not None else 0
            message = HEADER.pack(index, number % 2**32, capture_time_s) + bytes(jpeg)
            self._frames[camera] = Frame(index, number, message)

    def newer_than(self, sent: dict[int, int]) -> list[Frame]:
        """Pictures that are newer than `sent`, camera -> number of the last one sent."""
        with self._lock:
            return [frame for frame in self._frames.values() if frame.number != sent.get(frame.camera)]
