"""Camera frames as ROS messages, and back."""

from __future__ import annotations

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from sensor_msgs.msg import CompressedImage, Image

from hardware.camera import CameraFrame, CameraIntrinsics
from hardware.errors import ProtocolError
from robostack.nodes.camera_messages import (
    camera_info_message,
    color_from_message,
    compressed_message,
    depth_message,
    image_message,
)

STAMP = Time(sec=7, nanosec=9)
MATRIX = np.array([[60.0, 0.0, 15.5], [0.0, 61.0, 7.5], [0.0, 0.0, 1.0]])


@pytest.fixture
def frame():
    color = np.zeros((16, 32, 3), dtype=np.uint8)
    color[:, :16] = (200, 0, 0)
    color[:, 16:] = (0, 0, 200)
    depth = np.full((16, 32), 1.2344, dtype=np.float32)
    depth[0, 0], depth[0, 1] = 0.0, 100.0
    return CameraFrame(1.0, color, depth, CameraIntrinsics(32, 16, MATRIX, np.arange(5.0)), "1")


def test_a_jpeg_keeps_colours_stamp_and_frame(frame):
    message = compressed_message(frame, STAMP, "front", 90)
    assert message.format == "rgb8; jpeg compressed bgr8"
    assert (message.header.stamp, message.header.frame_id) == (STAMP, "front")
    back = color_from_message(message)
    assert back.shape == (16, 32, 3)
    np.testing.assert_allclose(back[8, 4], (200, 0, 0), atol=12)
    np.testing.assert_allclose(back[8, 28], (0, 0, 200), atol=12)


def test_a_raw_image_is_exact(frame):
    message = image_message(frame, STAMP, "front")
    assert (message.width, message.height, message.step, message.encoding) == (32, 16, 96, "rgb8")
    np.testing.assert_array_equal(color_from_message(message), frame.color)


def test_bgr_and_padded_rows_are_understood():
    rows = np.zeros((2, 8), dtype=np.uint8)
    rows[:, 0] = 10  # blue of the first pixel; two pixels and two bytes of padding per row
    message = Image(width=2, height=2, step=8, encoding="bgr8", data=rows.reshape(-1).tolist())
    np.testing.assert_array_equal(color_from_message(message)[0], [[0, 0, 10], [0, 0, 0]])


def test_depth_is_millimetres_and_zero_where_unknown(frame):
    message = depth_message(frame, STAMP, "front")
    values = np.frombuffer(bytes(message.data), dtype="<u2").reshape(16, 32)
    assert message.encoding == "16UC1"
    assert message.step == 64
    assert (values[8, 8], values[0, 0], values[0, 1]) == (1234, 0, 65535)


def test_camera_info_carries_the_intrinsics(frame):
    message = camera_info_message(frame.intrinsics, STAMP, "front")
    np.testing.assert_array_equal(np.reshape(message.k, (3, 3)), MATRIX)
    np.testing.assert_array_equal(np.reshape(message.p, (3, 4))[:, :3], MATRIX)
    assert list(message.d) == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert (message.width, message.height, message.distortion_model) == (32, 16, "plumb_bob")


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (CompressedImage(format="jpeg", data=[1, 2, 3]), "cannot be read"),
        (Image(encoding="mono16", width=1, height=1, step=2, data=[0, 0]), "mono16"),
        (Image(encoding="rgb8", width=4, height=4, step=12, data=[0] * 40), "40 bytes"),
        (Image(encoding="rgb8", width=4, height=4, step=6, data=[0] * 24), "rows of 6"),
    ],
)
def test_what_cannot_be_read_says_why(message, reason):
    with pytest.raises(ProtocolError, match=reason):
        color_from_message(message)
