"""Single pictures in memory: PNG without loss, JPEG for messages."""

from __future__ import annotations

import io
from fractions import Fraction
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from hardware.errors import DatasetError


def encode_png(image: NDArray[np.uint8]) -> bytes:
    """A picture, (height, width, 3) uint8 RGB, as PNG."""
    return encode_picture(image, "png", "rgb24")


def encode_picture(image: NDArray[np.uint8], codec: str, pixel_format: str) -> bytes:
    """A picture, (height, width, 3) uint8 RGB, in a codec of FFmpeg for single pictures ("png", "mjpeg")."""
    context: Any = av.CodecContext.create(codec, "w")
    context.height, context.width = image.shape[:2]
    context.pix_fmt, context.time_base = pixel_format, Fraction(1)
    if codec == "mjpeg":
        context.options = {"qmin": "2", "qmax": "4"}
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24").reformat(format=pixel_format)
    return b"".join(bytes(packet) for packet in [*context.encode(frame), *context.encode(None)])


def decode_picture(data: bytes) -> NDArray[np.uint8]:
    """A PNG or JPEG file as (height, width, 3) uint8 RGB.

    Raises:
        DatasetError: neither.
    """
    try:
        container: Any = av.open(io.BytesIO(data))
        with container:
            for frame in container.decode(video=0):
                image: NDArray[np.uint8] = frame.to_ndarray(format="rgb24")
                return image
    except (av.error.FFmpegError, OSError, ValueError, IndexError) as error:
        raise DatasetError(f"a picture cannot be decoded: {error}") from error
    raise DatasetError("a picture is empty")
