"""The MJCF model against Unitree's published figures and against the specification; it stands and folds."""

from __future__ import annotations

import mujoco
import numpy as np
import pytest

from hardware import ROBOTS
from hardware.go2 import GO2, MODEL, SCENE
from hardware.go2.spec import FOLDED_POSE, LEGS, kind_of

FOLDED = np.array([FOLDED_POSE[kind_of(name)] for name in GO2.joint_names])


@pytest.fixture(scope="module")
def scene() -> mujoco.MjModel:
    return mujoco.MjModel.from_xml_path(str(SCENE))


def standing(model: mujoco.MjModel) -> mujoco.MjData:
    data = mujoco.MjData(model)
    mujoco.mj_resetDataKeyframe(model, data, model.key("stand").id)
    mujoco.mj_forward(model, data)
    return data


def test_it_is_registered():
    entry = ROBOTS.load("go2")
    assert entry.spec is GO2 and entry.model == MODEL
    assert entry.config_type()().domain == 0


def test_joints_limits_and_gains_equal_the_specification(scene):
    assert [scene.joint(index).name for index in range(scene.njnt)] == ["floating_base", *GO2.joint_names]
    assert tuple(scene.actuator(index).name for index in range(scene.nu)) == GO2.joint_names
    ranges = np.stack([GO2.position_min, GO2.position_max], axis=1)
    np.testing.assert_array_equal(scene.actuator_ctrlrange, ranges)
    np.testing.assert_array_equal(scene.jnt_range[1:], ranges)
    np.testing.assert_array_equal(scene.actuator_forcerange[:, 1], GO2.effort_max)
    np.testing.assert_array_equal(scene.actuator_gainprm[:, 0], GO2.stiffness)
    np.testing.assert_array_equal(scene.actuator_biasprm[:, 2], -GO2.damping)


def test_masses_and_inertias_are_the_published_ones(scene):
    published = {"hip": 0.678, "thigh": 1.152, "calf": 0.154 + 0.04}  # feet with the calves
    for leg in LEGS:
        for link, mass in published.items():
            assert scene.body(f"{leg}_{link}").mass[0] == pytest.approx(mass)
    assert scene.body_mass.sum() == pytest.approx(15.017)
    assert scene.body("trunk").inertia.sum() == pytest.approx(0.02448 + 0.098077 + 0.107, rel=1e-4)
    # Calf and foot about their common centre: the calf's own, and the reduced mass times the distance squared.
    reduced, way = 0.154 * 0.04 / 0.194, np.array([0.00548, 0.000975, 0.098])
    moment = 0.00108 + 0.0011 + 3.29e-5 + 3 * 9.6e-6 + 2 * reduced * way @ way
    assert scene.body("FL_calf").inertia.sum() == pytest.approx(moment, rel=1e-4)


def test_legs_are_mirror_images(scene):
    mirror = np.array([1.0, -1.0, 1.0])
    for end in "FR":
        for link in ("hip", "thigh", "calf"):
            left, right = scene.body(f"{end}L_{link}"), scene.body(f"{end}R_{link}")
            np.testing.assert_allclose(left.pos, mirror * right.pos)
            np.testing.assert_allclose(left.ipos, mirror * right.ipos)
            np.testing.assert_allclose(left.inertia, right.inertia, rtol=1e-6)


@pytest.mark.parametrize(("hip", "thigh", "calf"), [(0.0, 0.67, -1.3), (0.3, 0.2, -1.0), (-0.4, 1.2, -2.4)])
def test_feet_are_where_plane_geometry_puts_them(scene, hip, thigh, calf):
    data = mujoco.MjData(scene)
    data.qpos[7:] = np.tile([hip, thigh, calf], 4)
    mujoco.mj_kinematics(scene, data)
    down = 0.213 * (np.cos(thigh) + np.cos(thigh + calf))
    forward = -0.213 * (np.sin(thigh) + np.sin(thigh + calf))
    for leg, (front, left) in zip(LEGS, ((1, -1), (1, 1), (-1, -1), (-1, 1)), strict=True):
        side = 0.0955 * left
        expected = (
            0.1934 * front + forward,
            0.0465 * left + side * np.cos(hip) + down * np.sin(hip),
            side * np.sin(hip) - down * np.cos(hip),
        )
        np.testing.assert_allclose(data.site(f"{leg}_foot").xpos - data.body("trunk").xpos, expected, atol=1e-9)


def test_accelerations_follow_from_torque_and_inertia(scene):
    data, mass = standing(scene), np.zeros((scene.nv, scene.nv))
    mujoco.mj_fullM(scene, data, mass)
    possible = GO2.effort_max / np.diag(mass)[6:]
    assert (GO2.acceleration_max < 0.5 * possible).all() and (GO2.acceleration_max > 0.3 * possible).all()


def test_it_stands_folds_and_rises_again(scene):
    data = standing(scene)
    for pose, height in ((GO2.default_position, 0.346), (FOLDED, 0.107), (GO2.default_position, 0.346)):
        start = data.ctrl.copy()
        for step in range(1500):
            data.ctrl[:] = start + min(step / 1000, 1.0) * (pose - start)
            mujoco.mj_step(scene, data)
        assert data.qpos[2] == pytest.approx(height, abs=0.015)
        assert data.qpos[3] > 0.999  # upright
        assert np.abs(data.qvel).max() < 0.05
    feet = {scene.geom(f"{leg}_foot").id for leg in LEGS}
    assert {int(geom) for geom in data.contact.geom.ravel()} - {scene.geom("floor").id} == feet
    assert data.sensor("imu_accelerometer").data[2] == pytest.approx(9.81, rel=0.01)


def test_the_overview_camera_sees_the_robot(scene):
    data = standing(scene)
    camera = data.camera("overview")
    way = data.body("trunk").xpos - camera.xpos
    assert way @ -camera.xmat.reshape(3, 3)[:, 2] / np.linalg.norm(way) > 0.97
