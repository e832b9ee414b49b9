"""The Panda's model against Franka's published figures and its description; it says that it has no driver."""

from __future__ import annotations

import mujoco
import numpy as np
import pytest

from controllers.kinematics import SerialChain
from hardware.errors import ConfigError
from hardware.panda import FOLDER, MODEL, PANDA
from hardware.robot import ROBOTS, require_driver

# Craig's convention: a [m], d [m], alpha [rad] (Franka Control Interface, "Denavit-Hartenberg parameters").
QUARTER = np.pi / 2
TABLE = (
    (0.0, 0.333, 0.0),
    (0.0, 0.0, -QUARTER),
    (0.0, 0.316, QUARTER),
    (0.0825, 0.0, QUARTER),
    (-0.0825, 0.384, -QUARTER),
    (0.0, 0.0, QUARTER),
    (0.088, 0.0, QUARTER),
)
MASSES = (4.970684, 0.646926, 3.228604, 3.587895, 1.225946, 1.666555, 0.735522)


@pytest.fixture(scope="module")
def model() -> mujoco.MjModel:
    return mujoco.MjModel.from_xml_path(str(MODEL))


def published_tool(q: np.ndarray) -> np.ndarray:
    """Pose of the hand's tool point from the table, (4, 4)."""
    pose = np.eye(4)
    for (a, d, alpha), angle in zip(TABLE, q, strict=True):
        ca, sa, ct, st = np.cos(alpha), np.sin(alpha), np.cos(angle), np.sin(angle)
        pose = pose @ np.array(
            [[ct, -st, 0, a], [st * ca, ct * ca, -sa, -d * sa], [st * sa, ct * sa, ca, d * ca], [0, 0, 0, 1]]
        )
    c = np.cos(np.pi / 4)
    flange = np.array([[c, c, 0, 0], [-c, c, 0, 0], [0, 0, 1, 0.107 + 0.1034], [0, 0, 0, 1]])
    return pose @ flange


def test_the_tool_is_where_the_published_table_puts_it():
    chain = SerialChain.from_mjcf(MODEL, PANDA.joint_names, PANDA.tool_frame, PANDA.base_frame)
    rng = np.random.default_rng(0)
    for q in [PANDA.default_position, *rng.uniform(PANDA.position_min, PANDA.position_max, (20, 8))]:
        position, rotation = chain.forward(q)
        expected = published_tool(q[:7])
        np.testing.assert_allclose(position, expected[:3, 3], atol=1e-12)
        np.testing.assert_allclose(rotation, expected[:3, :3], atol=1e-12)


def test_limits_gains_and_masses_equal_the_description(model):
    for index, joint in enumerate(PANDA.joints):
        found = model.joint(joint.name)
        np.testing.assert_array_equal(found.range, (joint.position_min, joint.position_max))
        actuator = model.actuator(joint.name)
        assert actuator.gainprm[0] == joint.stiffness and actuator.biasprm[2] == -joint.damping
        np.testing.assert_array_equal(actuator.forcerange, (-joint.effort_max, joint.effort_max))
        if index < 7:
            np.testing.assert_array_equal(model.jnt_actfrcrange[found.id], (-joint.effort_max, joint.effort_max))
            assert model.body(f"panda_link{index + 1}").mass[0] == MASSES[index]


def test_gains_follow_from_the_inertia_in_the_default_pose(model):
    data = mujoco.MjData(model)
    data.qpos[:7] = PANDA.default_position[:7]
    mujoco.mj_forward(model, data)
    mass = np.zeros((model.nv, model.nv))
    mujoco.mj_fullM(model, data, mass)
    np.testing.assert_allclose(PANDA.stiffness[:7] / (20 * np.pi) ** 2, np.diag(mass)[:7], rtol=0.03)
    grip = 0.08 / 4 + 0.05  # the rack moves the left finger by half: armatures and masses as the opening feels them
    assert PANDA.damping[7] >= 2.0 * np.sqrt(PANDA.stiffness[7] * grip)


def test_gravity_is_compensated_and_the_pose_is_held(model):
    data = mujoco.MjData(model)
    data.qpos[:7], data.qpos[7:] = PANDA.default_position[:7], (0.04, 0.08)
    data.ctrl[:] = PANDA.default_position
    for _ in range(500):
        mujoco.mj_step(model, data)
    np.testing.assert_allclose(data.qpos[:7], PANDA.default_position[:7], atol=1e-6)
    np.testing.assert_allclose(data.qfrc_actuator[:7], 0.0, atol=1e-2)


def test_the_hand_grasps_with_the_force_of_its_servo():
    scene = mujoco.MjModel.from_xml_path(str(FOLDER / "pick_cube.xml"))
    scene.opt.gravity[:] = 0.0
    data = mujoco.MjData(scene)
    data.qpos[:7], data.qpos[7:9] = PANDA.default_position[:7], (0.022, 0.044)
    data.ctrl[:7] = PANDA.default_position[:7]
    mujoco.mj_forward(scene, data)
    cube = scene.joint("cube").qposadr[0]
    data.qpos[cube : cube + 3] = data.site("panda_hand_tcp").xpos
    data.ctrl[7] = 0.0
    for _ in range(500):
        mujoco.mj_step(scene, data)
    assert data.joint("gripper").qpos[0] == pytest.approx(0.04, abs=5e-4)
    force = np.zeros(6)
    tip, total = scene.geom("left_tip").id, 0.0
    for index in range(data.ncon):
        if tip in data.contact.geom[index]:
            mujoco.mj_contactForce(scene, data, index, force)
            total += force[0]
    assert total == pytest.approx(PANDA.stiffness[7] * 0.04, rel=0.1)


def test_the_workspace_can_be_reached_with_the_tool_pointing_down():
    chain = SerialChain.from_mjcf(MODEL, PANDA.joint_names, PANDA.tool_frame, PANDA.base_frame)
    low, high = np.array(PANDA.workspace_min), np.array(PANDA.workspace_max)
    corners = np.array([[(low, high)[i >> axis & 1][axis] for axis in range(3)] for i in range(8)])
    down = np.broadcast_to(chain.forward(PANDA.default_position)[1], (8, 3, 3))
    start = np.broadcast_to(PANDA.default_position, (8, 8))
    assert chain.inverse(corners, down, start)[1].all()


def test_it_says_that_it_exists_in_simulation_only():
    entry = ROBOTS.load("panda")
    assert entry.spec is PANDA and entry.model == MODEL
    for call in (entry.open, lambda: entry.open(object()), entry.config_type, lambda: require_driver("panda")):
        with pytest.raises(ConfigError, match="simulation only.*robostack evaluate"):
            call()
    require_driver("ur5e")
    require_driver("no such robot")
