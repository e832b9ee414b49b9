"""The camera node on a real graph."""

from __future__ import annotations

import pytest
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from robostack.nodes.camera_messages import color_from_message
from robostack.nodes.qos import qos

pytestmark = pytest.mark.graph


@pytest.fixture
def collect(observer):
    """Subscribes the observer to a topic; returns the list that fills."""

    def begin(kind, topic: str) -> list:
        got: list = []
        observer.create_subscription(kind, topic, got.append, qos("image", "subscription"))
        return got

    return begin


def test_images_and_camera_info_of_one_stamp(observer, start, collect):
    pictures, infos = collect(CompressedImage, "front/image_raw/compressed"), collect(CameraInfo, "front/camera_info")
    raw = collect(Image, "front/image_raw")
    node = start("camera_node", kind="graph_camera:CAMERA", camera_name="front", images="both")
    observer.until(lambda: len(pictures) > 3 and len(infos) > 3 and len(raw) > 3)
    stamps = {(one.header.stamp.sec, one.header.stamp.nanosec): one for one in infos}
    shared = [one for one in pictures if (one.header.stamp.sec, one.header.stamp.nanosec) in stamps]
    assert shared, "the same stamp on image and camera_info"
    assert shared[0].header.frame_id == "front_optical_frame"
    assert color_from_message(raw[-1]).shape == (24, 32, 3)
    assert len({int(color_from_message(one)[0, 0, 0]) for one in raw}) > 1, "new images"
    node.process.terminate()
    assert node.process.wait(20) == 0


def test_a_lost_camera_is_told_and_comes_back(observer, start, collect, tmp_path):
    broken = tmp_path / "broken"
    pictures = collect(CompressedImage, "camera/image_raw/compressed")
    node = start("camera_node", kind="graph_camera:CAMERA", camera__broken=str(broken), diagnostics_rate_hz=20.0)
    observer.until(lambda: bool(pictures))
    broken.touch()
    node.wait_for("Check: the cable")
    observer.until(lambda: bool(observer.status) and "the cable" in observer.status[-1][1])
    broken.unlink()
    node.wait_for("images come again")
    count = len(pictures)
    observer.until(lambda: len(pictures) > count)


def test_no_camera_is_an_error_that_says_what_to_check(start):
    node = start("camera_node", kind="graph_camera:CAMERA", camera__missing=True)
    assert node.process.wait(30) == 1
    node.wait_for("camera is not connected at nowhere. Check: the cable")


@pytest.mark.parametrize(("wrong", "reason"), [({"jpeg_quality": 100}, "1 to 95"), ({"camera_name": "a b"}, "letters")])
def test_wrong_parameters_are_refused(start, wrong, reason):
    node = start("camera_node", kind="graph_camera:CAMERA", **wrong)
    assert node.process.wait(30) == 1
    node.wait_for(reason)
