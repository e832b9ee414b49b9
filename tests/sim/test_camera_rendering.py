"""Rendered images: an object appears where the pinhole model puts it; errors say what is wrong."""

from __future__ import annotations

import mujoco
import numpy as np
import pytest

from hardware.errors import ConfigError, UnknownNameError
from hardware.panda import FOLDER
from hardware.ur5e import SCENE, UR5E
from robostack.visualization.scene import SceneRenderer
from sim.camera_rendering import CameraRenderer


@pytest.fixture(scope="module")
def renderer():
    model = mujoco.MjModel.from_xml_path(str(FOLDER / "pick_cube.xml"))
    with CameraRenderer(model, 160, 120) as made:
        yield made


def red_pixels(image: np.ndarray) -> np.ndarray:
    """Columns and rows of red pixels, (k, 2)."""
    values = image.astype(int)
    rows, columns = np.nonzero((values[..., 0] > 110) & (values[..., 0] > 2 * values[..., 1]))
    return np.stack([columns, rows], axis=-1)


@pytest.mark.parametrize("where", [(0.45, -0.1, 0.02), (0.55, 0.12, 0.15)])
def test_the_cube_is_where_the_pinhole_model_puts_it(renderer, where):
    model, data = renderer.model, renderer.data
    address = model.joint("cube").qposadr[0]
    data.qpos[:7] = (0.0, -1.5, 0.0, -2.8, 0.0, 1.5, 0.0)  # out of sight
    data.qpos[address : address + 7] = (*where, 1.0, 0.0, 0.0, 0.0)
    mujoco.mj_forward(model, data)
    image = renderer.image("front")
    assert image.shape == (120, 160, 3) and image.dtype == np.uint8
    camera = model.camera("front").id
    seen = data.cam_xmat[camera].reshape(3, 3).T @ (np.array(where) - data.cam_xpos[camera])
    optical = np.array([seen[0], -seen[1], -seen[2]])  # MuJoCo's cameras look along -z, y up
    pixel = renderer.intrinsics("front").matrix @ (optical / optical[2])
    found = red_pixels(image)
    assert len(found) > 20
    np.testing.assert_allclose(found.mean(axis=0), pixel[:2], atol=2.5)


def test_the_focal_length_follows_from_the_field_of_view(renderer):
    intrinsics = renderer.intrinsics("front")
    fovy = np.radians(renderer.model.cam_fovy[renderer.model.camera("front").id])
    assert intrinsics.matrix[1, 1] == pytest.approx(60.0 / np.tan(fovy / 2))
    assert (intrinsics.width, intrinsics.height) == (160, 120)
    np.testing.assert_array_equal(intrinsics.matrix[:2, 2], (79.5, 59.5))
    assert not intrinsics.distortion.any()


def test_wrong_names_and_sizes_are_refused(renderer):
    with pytest.raises(UnknownNameError, match="Did you mean 'front'"):
        renderer.image("fornt")
    with pytest.raises(ConfigError, match="positive size"):
        CameraRenderer(renderer.model, 0, 10)


def test_the_model_given_is_left_alone():
    model = mujoco.MjModel.from_xml_path(str(SCENE))
    before = int(model.vis.quality.offsamples)
    CameraRenderer(model, 32, 32).close()
    assert int(model.vis.quality.offsamples) == before > 0


def test_a_scene_shows_its_target_and_the_trail():
    with SceneRenderer(SCENE, UR5E.joint_names, "overview", 160, 120) as scene:
        plain = scene.frame(UR5E.default_position, {"target": [0.5, 0.1, 0.3]}).astype(int)
        trail = np.linspace([0.3, -0.2, 0.1], [0.6, 0.2, 0.4], 10)
        drawn = scene.frame(UR5E.default_position, {"target": [0.5, 0.1, 0.3]}, trail).astype(int)
        again = scene.frame(UR5E.default_position, {"target": [0.5, 0.1, 0.3]}).astype(int)
    green = (plain[..., 1] > plain[..., 0] + 25) & (plain[..., 1] > plain[..., 2] + 25)
    assert green.any()
    changed = np.abs(drawn - plain).sum(axis=-1) > 60
    assert 20 < changed.sum() < 2000
    assert drawn[changed][:, 0].mean() > drawn[changed][:, 2].mean()  # orange
    np.testing.assert_array_equal(again, plain)
