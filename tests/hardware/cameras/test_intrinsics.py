"""Intrinsics as files."""

from __future__ import annotations

import math

import numpy as np
import pytest

from hardware.camera import CameraIntrinsics, pinhole_intrinsics
from hardware.cameras.intrinsics import intrinsics_for, load_intrinsics, save_intrinsics
from hardware.errors import ConfigError

MATRIX = np.array([[601.5, 0.0, 318.2], [0.0, 602.1, 241.7], [0.0, 0.0, 1.0]])
LENS = CameraIntrinsics(640, 480, MATRIX, np.array([0.1, -0.2, 1e-3, 2e-3, 0.05]))


def test_a_file_gives_back_what_was_written(tmp_path):
    path = tmp_path / "front.yaml"
    save_intrinsics(path, "front", LENS)
    name, found = load_intrinsics(path)
    assert name == "front"
    assert (found.width, found.height) == (640, 480)
    np.testing.assert_array_equal(found.matrix, LENS.matrix)
    np.testing.assert_array_equal(found.distortion, LENS.distortion)


def test_a_file_of_ros_is_read(tmp_path):
    path = tmp_path / "ost.yaml"
    path.write_text(
        "image_width: 4\nimage_height: 2\ncamera_name: narrow\n"
        "camera_matrix:\n  rows: 3\n  cols: 3\n  data: [5., 0., 2., 0., 6., 1., 0., 0., 1.]\n"
        "distortion_model: plumb_bob\ndistortion_coefficients:\n  rows: 1\n  cols: 5\n  data: [0, 0, 0, 0, 1]\n"
    )
    name, found = load_intrinsics(path)
    assert name == "narrow"
    assert found.matrix[1, 1] == 6.0
    assert found.distortion[4] == 1.0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("plumb_bob", "equidistant"), "only plumb_bob"),
        (("601.5", ".nan"), "not finite"),
        (("image_width", "width"), "no camera_info file"),
        (("- 0.0\n", "- zero\n"), "no camera_info file"),
    ],
)
def test_a_file_that_cannot_be_right_is_refused(tmp_path, change, message):
    path = tmp_path / "bad.yaml"
    save_intrinsics(path, "front", LENS)
    path.write_text(path.read_text().replace(*change))
    with pytest.raises(ConfigError, match=message):
        load_intrinsics(path)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"nothing\.yaml"):
        load_intrinsics(tmp_path / "nothing.yaml")


def test_another_image_size_is_refused(tmp_path):
    path = tmp_path / "front.yaml"
    save_intrinsics(path, "front", LENS)
    assert intrinsics_for(path, 640, 480).matrix[0, 0] == 601.5
    with pytest.raises(ConfigError, match="made for 640x480 images, the camera gives 320x240"):
        intrinsics_for(path, 320, 240)


def test_pinhole_intrinsics_put_the_field_of_view_on_the_border():
    lens = pinhole_intrinsics(64, 48, vertical_field_deg=90.0)
    assert lens.matrix[1, 1] == pytest.approx(24.0), "tan 45 deg = half height over focal length"
    edge = (47.5 - lens.matrix[1, 2]) / lens.matrix[1, 1]
    assert math.degrees(math.atan(edge)) == pytest.approx(45.0)
    assert not np.any(intrinsics_for(None, 64, 48).distortion)
