"""The SO-101's model against its specification, and its kinematics against the published frames."""

from __future__ import annotations

import mujoco
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from hardware import ROBOTS
from hardware.so101 import MODEL, SCENE, SO101

# Position [m] and quaternion (w, x, y, z) of each joint's frame in its parent, from the makers' export.
FRAMES = (
    ((0.0388353, 0, 0.0624), (0, 0, -1, 0)),
    ((-0.0303992, -0.0182778, -0.0542), (0.5, -0.5, -0.5, -0.5)),
    ((-0.11257, -0.028, 0), (0.707107, 0, 0, 0.707107)),
    ((-0.1349, 0.0052, 0), (0.707107, 0, 0, -0.707107)),
    ((0, -0.0611, 0.0181), (0.0172091, -0.0172091, 0.706897, 0.706897)),
)
TOOL = ((-0.0079, -0.000218121, -0.0981274), (0.707107, 0, 0.707107, 0))


def transform(position, quaternion, angle=0.0) -> np.ndarray:
    made = np.eye(4)
    turn = Rotation.from_quat(np.roll(quaternion, -1)) * Rotation.from_rotvec([0, 0, angle])
    made[:3, :3], made[:3, 3] = turn.as_matrix(), position
    return made


@pytest.fixture(scope="module")
def model() -> mujoco.MjModel:
    return mujoco.MjModel.from_xml_path(str(MODEL))


def test_the_tool_is_where_the_published_frames_put_it(model):
    rng = np.random.default_rng(3)
    data = mujoco.MjData(model)
    for q in [np.zeros(6), *rng.uniform(SO101.position_min, SO101.position_max, (20, 6))]:
        data.qpos[:] = q
        mujoco.mj_kinematics(model, data)
        pose = np.eye(4)
        for (position, quaternion), angle in zip(FRAMES, q, strict=False):
            pose = pose @ transform(position, quaternion, angle)
        pose = pose @ transform(*TOOL)
        np.testing.assert_allclose(data.site("gripperframe").xpos, pose[:3, 3], atol=1e-5)
        np.testing.assert_allclose(data.site("gripperframe").xmat.reshape(3, 3), pose[:3, :3], atol=1e-5)


def test_joints_limits_and_gains_equal_the_specification(model):
    assert tuple(model.joint(i).name for i in range(model.njnt)) == SO101.joint_names
    assert tuple(model.actuator(i).name for i in range(model.nu)) == SO101.joint_names
    np.testing.assert_allclose(model.jnt_range, np.stack([SO101.position_min, SO101.position_max], axis=1))
    np.testing.assert_array_equal(model.actuator_forcerange[:, 1], SO101.effort_max)
    np.testing.assert_array_equal(model.actuator_gainprm[:, 0], SO101.stiffness)
    np.testing.assert_array_equal(model.actuator_biasprm[:, 2], -SO101.damping)


def test_the_limits_are_within_what_the_servo_has(model):
    """Gravity, damping and acceleration at the limits together stay below the stall torque, anywhere."""
    data, worst = mujoco.MjData(model), 0.0
    rng = np.random.default_rng(4)
    for q in rng.uniform(SO101.position_min, SO101.position_max, (200, 6)):
        data.qpos[:], data.qvel[:] = q, 0.0
        mujoco.mj_forward(model, data)
        mass = np.zeros((6, 6))
        mujoco.mj_fullM(model, data, mass)
        need = np.abs(data.qfrc_bias) + model.dof_damping * SO101.velocity_max + model.dof_frictionloss
        worst = max(worst, float((need + np.diag(mass) * SO101.acceleration_max).max()))
    assert worst < SO101.effort_max[0]


def test_the_masses_are_the_published_ones(model):
    assert model.body_mass.sum() == pytest.approx(0.147 + 0.100006 + 0.103 + 0.104 + 0.079 + 0.087 + 0.012)


def test_the_default_pose_is_above_the_table_in_front_of_the_base(model):
    data = mujoco.MjData(model)
    mujoco.mj_resetDataKeyframe(model, data, model.key("home").id)
    np.testing.assert_array_equal(data.qpos, SO101.default_position)
    mujoco.mj_forward(model, data)
    assert data.site("gripperframe").xpos == pytest.approx([0.214, 0.0, 0.079], abs=2e-3)


def test_the_scene_has_what_pictures_need():
    scene = mujoco.MjModel.from_xml_path(str(SCENE))
    assert scene.camera("overview").id >= 0
    assert scene.body("target").mocapid[0] >= 0


def test_registered_under_its_name_and_described_before_connecting():
    entry = ROBOTS.load("so101")
    assert entry.spec is SO101 and entry.model == MODEL
    assert entry.open().spec is SO101
