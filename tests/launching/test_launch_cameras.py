"""Cameras of a launch from one line of text."""

from __future__ import annotations

import pytest

from hardware.errors import ConfigError, UnknownNameError
from robostack.launching.cameras import camera_nodes


def test_every_camera_is_a_node_that_the_robot_can_do_without():
    text = "{front: {kind: opencv, source: 0, width: 640, jpeg_quality: 80}, wrist: {kind: realsense, depth: false}}"
    front, wrist = camera_nodes(text, "ur5e", "left")
    assert (front.name, front.module, front.namespace) == ("front_camera", "robostack.nodes.camera_node", "left")
    assert not front.required
    assert front.parameters == {
        "kind": "opencv",
        "camera_name": "front",
        "camera.source": "0",
        "camera.width": 640,
        "jpeg_quality": 80,
    }
    assert wrist.parameters == {"kind": "realsense", "camera_name": "wrist", "camera.depth": False}


def test_a_camera_that_draws_the_robot_is_told_which():
    (front,) = camera_nodes("{front: {kind: simulated, position: [1, 0, 1]}}", "so101-feetech", "")
    assert front.parameters["camera.robot"] == "so101-feetech"
    assert front.parameters["camera.position"] == [1.0, 0.0, 1.0]
    (other,) = camera_nodes("{front: {kind: simulated, robot: ur5e}}", "so101-feetech", "")
    assert other.parameters["camera.robot"] == "ur5e"


@pytest.mark.parametrize("text", ["", "{}", "null"])
def test_no_cameras(text):
    assert camera_nodes(text, "ur5e", "") == []


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("front", ConfigError, "write for example"),
        ("{front: ", ConfigError, "cameras"),
        ("{front: opencv}", ConfigError, "has no kind; .*opencv"),
        ("{front: {kind: opencw}}", UnknownNameError, "Did you mean 'opencv'"),
        ("{front: {kind: opencv, widht: 3}}", UnknownNameError, "Did you mean 'width'"),
        ("{front: {kind: opencv, source: {a: 0}}}", ConfigError, "a value or a list"),
    ],
)
def test_what_cannot_be_understood_says_what_to_write(text, error, message):
    with pytest.raises(error, match=message):
        camera_nodes(text, "ur5e", "")
