"""The MJCF model against Unitree's published figures and against the specification; it stands."""

from __future__ import annotations

import mujoco
import numpy as np
import pytest

from hardware import ROBOTS
from hardware.go1 import GO1, MODEL, SCENE
from hardware.go1.posture import FOLDED
from hardware.go1.spec import LEGS, MECHANICAL_RANGE, kind_of

SDK_RANGE = {"hip": (-1.047, 1.047), "thigh": (-0.663, 2.966), "calf": (-2.721, -0.837)}  # go1_const.h


@pytest.fixture(scope="module")
def scene() -> mujoco.MjModel:
    return mujoco.MjModel.from_xml_path(str(SCENE))


def standing(model: mujoco.MjModel) -> mujoco.MjData:
    data = mujoco.MjData(model)
    mujoco.mj_resetDataKeyframe(model, data, model.key("stand").id)
    mujoco.mj_forward(model, data)
    return data


def test_it_is_registered():
    entry = ROBOTS.load("go1")
    assert entry.spec is GO1 and entry.model == MODEL
    assert entry.config_type()().host == "192.168.123.10"


def test_joints_limits_and_gains_equal_the_specification(scene):
    names = [scene.joint(index).name for index in range(scene.njnt)]
    assert names == ["floating_base", *GO1.joint_names]
    assert tuple(scene.actuator(index).name for index in range(scene.nu)) == GO1.joint_names
    np.testing.assert_array_equal(scene.actuator_ctrlrange, np.stack([GO1.position_min, GO1.position_max], axis=1))
    np.testing.assert_array_equal(scene.actuator_forcerange[:, 1], GO1.effort_max)
    np.testing.assert_array_equal(scene.actuator_gainprm[:, 0], GO1.stiffness)
    np.testing.assert_array_equal(scene.actuator_biasprm[:, 2], -GO1.damping)
    stops = [MECHANICAL_RANGE[kind_of(name)] for name in GO1.joint_names]
    np.testing.assert_array_equal(scene.jnt_range[1:], stops)


def test_commanded_ranges_are_where_both_published_ranges_agree():
    for joint in GO1.joints:
        sdk, stops = SDK_RANGE[kind_of(joint.name)], MECHANICAL_RANGE[kind_of(joint.name)]
        assert joint.position_min == max(sdk[0], stops[0])
        assert joint.position_max == min(sdk[1], stops[1])


def test_masses_and_inertias_are_the_published_ones(scene):
    # const.xacro: links, 0.089 kg per rotor with the link that carries it, feet with the calves.
    published = {"hip": 0.591 + 0.089, "thigh": 0.92 + 0.089, "calf": 0.135862 + 0.06}
    for leg in LEGS:
        for link, mass in published.items():
            assert scene.body(f"{leg}_{link}").mass[0] == pytest.approx(mass)
    assert scene.body("trunk").mass[0] == pytest.approx(5.204 + 4 * 0.089)
    # The trunk's largest moment: izz 0.0716547 and four rotors 0.12 m from the axis.
    rotors = 4 * (0.089 * (0.11215**2 + 0.04675**2) + 0.000059647)
    assert scene.body("trunk").inertia.max() == pytest.approx(0.0716547 + rotors, rel=0.01)
    gear = 6.33
    assert scene.joint("FR_hip_joint").armature[0] == pytest.approx(1.11842e-4 * gear**2, rel=1e-3)
    assert scene.joint("FR_calf_joint").armature[0] == pytest.approx(1.11842e-4 * (1.5 * gear) ** 2, rel=1e-3)


def test_legs_are_mirror_images(scene):
    mirror = np.array([1.0, -1.0, 1.0])
    for link in ("hip", "thigh"):
        left, right = scene.body(f"FL_{link}"), scene.body(f"FR_{link}")
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
        side = 0.08 * left
        expected = (
            0.1881 * front + forward,
            0.04675 * left + side * np.cos(hip) + down * np.sin(hip),
            side * np.sin(hip) - down * np.cos(hip),
        )
        np.testing.assert_allclose(data.site(f"{leg}_foot").xpos - data.body("trunk").xpos, expected, atol=1e-9)


def test_accelerations_follow_from_torque_and_inertia(scene):
    data = standing(scene)
    mass = np.zeros((scene.nv, scene.nv))
    mujoco.mj_fullM(scene, data, mass)
    possible = GO1.effort_max / np.diag(mass)[6:]
    assert (GO1.acceleration_max < 0.55 * possible).all()
    assert (GO1.acceleration_max > 0.3 * possible).all()


def test_it_stands_with_the_published_gains(scene):
    data = standing(scene)
    for _ in range(1500):
        mujoco.mj_step(scene, data)
    assert data.qpos[2] == pytest.approx(0.345, abs=0.01)
    assert data.qpos[3] > 0.9995  # upright
    assert np.abs(data.qvel).max() < 0.02
    np.testing.assert_allclose(data.qpos[7:], GO1.default_position, atol=0.1)
    feet = {scene.geom(f"{leg}_foot").id for leg in LEGS}
    assert {int(geom) for geom in data.contact.geom.ravel()} - {scene.geom("floor").id} == feet
    weight = 9.81 * scene.body_mass.sum()
    assert data.sensor("imu_accelerometer").data[2] == pytest.approx(9.81, rel=0.01)
    assert data.qfrc_constraint[2] == pytest.approx(weight, rel=0.02)


def test_it_folds_and_rises_again(scene):
    data = standing(scene)
    for pose, height in ((FOLDED, 0.09), (GO1.default_position, 0.345)):
        start = data.ctrl.copy()
        for step in range(1500):
            data.ctrl[:] = start + min(step / 1000, 1.0) * (pose - start)
            mujoco.mj_step(scene, data)
        assert data.qpos[2] == pytest.approx(height, abs=0.02)
        assert data.qpos[3] > 0.999


def test_the_overview_camera_sees_the_robot(scene):
    data = standing(scene)
    camera = data.camera("overview")
    way = data.body("trunk").xpos - camera.xpos
    assert way @ -camera.xmat.reshape(3, 3)[:, 2] / np.linalg.norm(way) > 0.97
