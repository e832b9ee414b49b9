"""Writing of videos."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from robostack.files import temporary_sibling


class VideoWriter:
    """Encodes RGB frames to an MP4 file that appears under its name only when complete.

    Args:
        path: the file to write.
        fps: frames per second.
    """

    def __init__(self, path: Path, fps: int) -> None:
        self._path = path
        self._temporary = temporary_sibling(path)
        self._container: Any = av.open(str(self._temporary), "w", format="mp4")
        self._stream: Any = self._container.add_stream("libx264", rate=fps)
        self._stream.pix_fmt = "yuv420p"
        self._stream.options = {"crf": "23", "preset": "veryfast"}

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(keep=kind is None)

    def write(self, image: NDArray[np.uint8]) -> None:
        """Add one frame, (height, width, 3) RGB; height and width even and the same for every frame."""
        if self._stream.width == 0 or self._stream.codec_context.is_open is False:
            self._stream.height, self._stream.width = image.shape[:2]
        for packet in self._stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")):
            self._container.mux(packet)

    def close(self, keep: bool = True) -> None:
        """Finish the file; with `keep` false throw it away."""
        for packet in self._stream.encode() if keep else ():
            self._container.mux(packet)
        self._container.close()
        if keep:
            self._temporary.replace(self._path)
        else:
            self._temporary.unlink(missing_ok=True)
