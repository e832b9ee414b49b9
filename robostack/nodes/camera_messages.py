"""Between camera frames and standard ROS messages."""

from __future__ import annotations

import array
import io

import numpy as np
from builtin_interfaces.msg import Time
from numpy.typing import NDArray
from PIL import Image as PillowImage
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Header

from hardware.camera import CameraFrame, CameraIntrinsics
from hardware.errors import ProtocolError

DEPTH_UNIT_M = 0.001
"""Unit of 16-bit depth images (REP-118) [m]."""


def compressed_message(frame: CameraFrame, stamp: Time, frame_id: str, quality: int) -> CompressedImage:
    """The colour image as JPEG.

    Args:
        frame: from a camera.
        stamp: its capture time, as ROS time.
        frame_id: optical frame of the camera.
        quality: of the JPEG, 1 to 95.
    """
    data = io.BytesIO()
    PillowImage.fromarray(frame.color).save(data, "jpeg", quality=quality)
    message = CompressedImage(header=Header(stamp=stamp, frame_id=frame_id), format="rgb8; jpeg compressed bgr8")
    message.data = array.array("B", data.getvalue())  # a list or bytes would be copied number by number
    return message


def image_message(frame: CameraFrame, stamp: Time, frame_id: str) -> Image:
    """The colour image as it is."""
    return _image(frame.color, "rgb8", 3, stamp, frame_id)


def depth_message(frame: CameraFrame, stamp: Time, frame_id: str) -> Image | None:
    """The depth image in millimetres, 0 where unknown (REP-118); None where there is none."""
    if frame.depth_m is None:
        return None
    millimetres = np.clip(np.rint(frame.depth_m / DEPTH_UNIT_M), 0, np.iinfo(np.uint16).max).astype("<u2")
    return _image(millimetres, "16UC1", 2, stamp, frame_id)


def camera_info_message(intrinsics: CameraIntrinsics, stamp: Time, frame_id: str) -> CameraInfo:
    """Intrinsics, with the same stamp and frame as the image they belong to."""
    message = CameraInfo(header=Header(stamp=stamp, frame_id=frame_id), distortion_model="plumb_bob")
    message.width, message.height = intrinsics.width, intrinsics.height
    message.d = [float(value) for value in intrinsics.distortion]
    message.k = [float(value) for value in intrinsics.matrix.reshape(-1)]
    message.r = [float(value) for value in np.eye(3).reshape(-1)]
    message.p = [float(value) for value in np.hstack([intrinsics.matrix, np.zeros((3, 1))]).reshape(-1)]
    return message


def color_from_message(message: CompressedImage | Image) -> NDArray[np.uint8]:
    """The colour image of a message, (height, width, 3), RGB.

    Raises:
        ProtocolError: neither a JPEG or PNG, nor rgb8 or bgr8, or its data do not fill it.
    """
    if isinstance(message, CompressedImage):
        try:
            return np.asarray(PillowImage.open(io.BytesIO(bytes(message.data)), formats=("JPEG", "PNG")).convert("RGB"))
        except (OSError, SyntaxError) as error:
            raise ProtocolError(f"an image of format '{message.format}' cannot be read: {error}") from error
    if message.encoding not in ("rgb8", "bgr8"):
        raise ProtocolError(f"an image has encoding '{message.encoding}'; rgb8, bgr8 or a compressed one is read")
    width, height, step = message.width, message.height, message.step
    if step < 3 * width or len(message.data) < step * height:
        raise ProtocolError(f"an image of {width}x{height} has {len(message.data)} bytes in rows of {step}")
    rows = np.frombuffer(bytes(message.data), dtype=np.uint8)[: step * height].reshape(height, step)
    color = rows[:, : 3 * width].reshape(height, width, 3)
    return np.ascontiguousarray(color[..., ::-1] if message.encoding == "bgr8" else color)


def _image(pixels: NDArray, encoding: str, pixel_bytes: int, stamp: Time, frame_id: str) -> Image:
    height, width = pixels.shape[:2]
    message = Image(header=Header(stamp=stamp, frame_id=frame_id), height=height, width=width, encoding=encoding)
    message.step, message.is_bigendian = width * pixel_bytes, 0
    message.data = array.array("B", np.ascontiguousarray(pixels).tobytes())
    return message
