"""A camera that draws the robot where its measurements say it is."""

from __future__ import annotations

import math
import os

import numpy as np
import pytest

if os.environ.get("MUJOCO_GL") == "disable":
    pytest.skip("needs OpenGL (libegl1, libopengl0, libgl1-mesa-dri)", allow_module_level=True)

from hardware.camera import CAMERAS, StateFollower
from hardware.errors import ConfigError, UnknownNameError
from hardware.records import RobotState
from hardware.ur5e import UR5E
from sim.simulated_camera import SimulatedCamera, SimulatedCameraConfig

LONG_S = 60.0


def settled(camera: SimulatedCamera) -> np.ndarray:
    """An image that was begun after now."""
    camera.read_next(LONG_S)
    return camera.read_next(LONG_S).color.astype(int)


@pytest.fixture(scope="module")
def camera():
    made = SimulatedCamera(SimulatedCameraConfig(width=96, height=64, rate_hz=60.0))
    made.connect()
    yield made
    made.disconnect()


def test_it_shows_the_robot_where_it_is(camera):
    assert isinstance(camera, StateFollower)
    assert camera.robot == "ur5e"
    pose = np.array(UR5E.default_position)
    pictures = []
    for turn in (0.0, 1.0, 0.0):
        pose[0] = UR5E.default_position[0] + turn
        camera.follow(RobotState(0.0, pose.copy(), np.zeros(6)))
        pictures.append(settled(camera))
    assert pictures[0].shape == (64, 96, 3)
    assert pictures[0].std() > 5.0, "not one colour"
    assert np.abs(pictures[0] - pictures[1]).mean() > 1.0, "the arm has turned"
    assert np.abs(pictures[0] - pictures[2]).mean() < 0.1, "and back"


def test_the_intrinsics_are_those_of_the_view(camera):
    frame = camera.read_next(LONG_S)
    focal = 32.0 / math.tan(math.radians(22.5))
    np.testing.assert_allclose(np.diag(frame.intrinsics.matrix), [focal, focal, 1.0])
    assert frame.serial_number == "simulated simulated_camera"


def test_what_stands_right_is_seen_right():
    """The target is in the middle; a camera moved to its left sees the robot to its right."""
    columns = []
    for aside in (-0.6, 0.6):
        config = SimulatedCameraConfig(
            position=(2.0, aside, 0.5), target=(0.0, aside, 0.5), width=96, height=64, rate_hz=60.0
        )
        camera = SimulatedCamera(config)
        camera.connect()
        first = settled(camera)
        pose = np.array(UR5E.default_position)
        pose[1] += 0.6
        camera.follow(RobotState(0.0, pose, np.zeros(6)))
        changed = np.abs(settled(camera) - first).sum(axis=2) > 30
        columns.append(np.nonzero(changed)[1].mean())
        camera.disconnect()
    assert columns[0] > 48 > columns[1], "seen from +x, the side of -y is on the left"


def test_it_is_listed_and_wrong_settings_are_refused():
    assert "simulated" in CAMERAS.names()
    with pytest.raises(UnknownNameError, match="ur5e"):
        SimulatedCamera(SimulatedCameraConfig(robot="ur6"))
    with pytest.raises(ConfigError, match="straight above"):
        SimulatedCamera(SimulatedCameraConfig(position=(0, 0, 2), target=(0, 0, 0)))
    with pytest.raises(ConfigError, match="positive"):
        SimulatedCameraConfig(rate_hz=0.0)
