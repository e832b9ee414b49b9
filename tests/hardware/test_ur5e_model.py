"""The MJCF model against the published table, and against the specification."""

from __future__ import annotations

import math

import mujoco
import numpy as np
import pytest
from scipy.optimize import least_squares

from hardware import ROBOTS
from hardware.ur5e import MODEL, SCENE, UR5E
from hardware.ur5e.spec import SERVO_DAMPING_RATIO, SERVO_FREQUENCY_HZ

# (a [m], d [m], alpha [rad]) of Universal Robots' published table.
DH = (
    (0.0, 0.1625, math.pi / 2),
    (-0.425, 0.0, 0.0),
    (-0.3922, 0.0, 0.0),
    (0.0, 0.1333, math.pi / 2),
    (0.0, 0.0997, -math.pi / 2),
    (0.0, 0.0996, 0.0),
)


def dh_pose(q: np.ndarray) -> np.ndarray:
    """The flange in the base frame, (4, 4), by the textbook product of Denavit-Hartenberg matrices."""
    pose = np.eye(4)
    for theta, (a, d, alpha) in zip(q, DH, strict=True):
        ct, st, ca, sa = math.cos(theta), math.sin(theta), math.cos(alpha), math.sin(alpha)
        pose = pose @ [[ct, -st * ca, st * sa, a * ct], [st, ct * ca, -ct * sa, a * st], [0, sa, ca, d], [0, 0, 0, 1]]
    return pose


@pytest.fixture(scope="module")
def model() -> mujoco.MjModel:
    return mujoco.MjModel.from_xml_path(str(MODEL))


def pose_of(model: mujoco.MjModel, q: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    data = mujoco.MjData(model)
    data.qpos[:] = q
    mujoco.mj_kinematics(model, data)
    site = data.site("tool0")
    return site.xpos.copy(), site.xmat.reshape(3, 3).copy()


def test_forward_kinematics_equals_the_published_table(model):
    rng = np.random.default_rng(1)
    for q in [np.zeros(6), *rng.uniform(UR5E.position_min, UR5E.position_max, (50, 6))]:
        position, rotation = pose_of(model, q)
        np.testing.assert_allclose(position, dh_pose(q)[:3, 3], atol=1e-9)
        np.testing.assert_allclose(rotation, dh_pose(q)[:3, :3], atol=1e-9)


def test_masses_are_the_published_ones(model):
    published = {
        "shoulder": 3.761,
        "upper_arm": 8.058,
        "forearm": 2.846,
        "wrist_1": 1.37,
        "wrist_2": 1.3,
        "wrist_3": 0.365,
    }
    assert {name: model.body(name).mass[0] for name in published} == published
    assert model.body_mass.sum() == pytest.approx(20.6)  # weight in the maker's data sheet


def test_centres_of_mass_equal_those_published_in_dh_frames(model):
    # In DH frame i; the upper arm's and forearm's frames sit at the far end of the link.
    published = {
        "shoulder": (0, -0.02561, 0.00193),
        "upper_arm": (0.2125, 0, 0.11336),
        "forearm": (0.15, 0, 0.0265),
        "wrist_1": (0, -0.0018, 0.01634),
        "wrist_2": (0, 0.0018, 0.01634),
        "wrist_3": (0, 0, -0.001159),
    }
    rng = np.random.default_rng(2)
    q = rng.uniform(-math.pi, math.pi, 6)
    data = mujoco.MjData(model)
    data.qpos[:] = q
    mujoco.mj_kinematics(model, data)
    mujoco.mj_comPos(model, data)
    frame = np.eye(4)
    for index, (name, centre) in enumerate(published.items()):
        a, d, alpha = DH[index]
        ct, st, ca, sa = math.cos(q[index]), math.sin(q[index]), math.cos(alpha), math.sin(alpha)
        frame = frame @ [
            [ct, -st * ca, st * sa, a * ct],
            [st, ct * ca, -ct * sa, a * st],
            [0, sa, ca, d],
            [0, 0, 0, 1],
        ]
        np.testing.assert_allclose(data.body(name).xipos, (frame @ [*centre, 1])[:3], atol=1e-9, err_msg=name)


def test_joints_limits_and_gains_equal_the_specification(model):
    assert tuple(model.joint(i).name for i in range(model.njnt)) == UR5E.joint_names
    assert tuple(model.actuator(i).name for i in range(model.nu)) == UR5E.joint_names
    np.testing.assert_allclose(model.jnt_range, np.stack([UR5E.position_min, UR5E.position_max], axis=1), atol=1e-12)
    np.testing.assert_allclose(model.actuator_ctrlrange, model.jnt_range)
    np.testing.assert_array_equal(model.actuator_forcerange[:, 1], UR5E.effort_max)
    np.testing.assert_array_equal(model.actuator_gainprm[:, 0], UR5E.stiffness)
    np.testing.assert_array_equal(model.actuator_biasprm[:, 1], -UR5E.stiffness)
    np.testing.assert_array_equal(model.actuator_biasprm[:, 2], -UR5E.damping)
    assert (model.dof_armature > 0).all() and (model.dof_damping > 0).all() and (model.dof_frictionloss > 0).all()


def test_gains_follow_from_the_inertia_in_the_default_pose(model):
    data = mujoco.MjData(model)
    mujoco.mj_resetDataKeyframe(model, data, model.key("home").id)
    mujoco.mj_forward(model, data)
    mass = np.zeros((6, 6))
    mujoco.mj_fullM(model, data, mass)
    omega = 2 * math.pi * SERVO_FREQUENCY_HZ
    np.testing.assert_allclose(UR5E.stiffness, np.diag(mass) * omega**2, rtol=0.05)
    np.testing.assert_allclose(UR5E.damping, 2 * SERVO_DAMPING_RATIO * np.diag(mass) * omega, rtol=0.05)


def test_servo_follows_a_ramp_about_30_ms_late(model):
    data = mujoco.MjData(model)
    mujoco.mj_resetDataKeyframe(model, data, 0)
    speed = 0.3
    for _ in range(500):
        data.ctrl[:] = UR5E.default_position + speed * (data.time + model.opt.timestep)
        mujoco.mj_step(model, data)
    lag_s = (data.ctrl - data.qpos) / speed
    assert (lag_s > 0.02).all() and (lag_s < 0.04).all(), lag_s


def test_default_pose_points_the_tool_down_in_front_and_is_well_conditioned(model):
    np.testing.assert_allclose(model.key("home").qpos, UR5E.default_position, atol=1e-12)
    np.testing.assert_array_equal(model.key("home").qpos, model.key("home").ctrl)
    position, rotation = pose_of(model, UR5E.default_position)
    np.testing.assert_allclose(position, (0.4919, 0.1333, 0.4879), atol=1e-4)
    np.testing.assert_allclose(rotation[:, 2], (0, 0, -1), atol=1e-9)
    assert (position > UR5E.workspace_min).all() and (position < UR5E.workspace_max).all()
    data = mujoco.MjData(model)
    data.qpos[:] = UR5E.default_position
    mujoco.mj_forward(model, data)
    jacobian = np.zeros((6, 6))
    mujoco.mj_jacSite(model, data, jacobian[:3], jacobian[3:], model.site("tool0").id)
    assert np.linalg.cond(jacobian) < 15


def test_default_pose_holds_still(model):
    data = mujoco.MjData(model)
    mujoco.mj_resetDataKeyframe(model, data, 0)
    mujoco.mj_step(model, data, 500)
    np.testing.assert_allclose(data.qpos, UR5E.default_position, atol=1e-4)


@pytest.mark.parametrize("corner", range(8))
def test_workspace_corners_are_reachable_with_the_tool_down(model, corner):
    low, high = UR5E.workspace_min, UR5E.workspace_max
    target = np.array([high[i] if corner >> i & 1 else low[i] for i in range(3)])

    def error(q: np.ndarray) -> np.ndarray:
        pose = dh_pose(q)
        return np.concatenate([pose[:3, 3] - target, 0.3 * (pose[:3, 2] - (0, 0, -1))])

    found = least_squares(error, UR5E.default_position, bounds=(UR5E.position_min, UR5E.position_max))
    assert np.abs(found.fun).max() < 1e-4, (target, found.fun)


def test_scene_adds_floor_camera_and_a_target_without_collision():
    scene = mujoco.MjModel.from_xml_path(str(SCENE))
    assert scene.camera("overview").id >= 0
    target = scene.geom("target")
    assert scene.body("target").mocapid[0] >= 0
    assert int(target.contype[0]) == 0 and int(target.conaffinity[0]) == 0


def test_links_touch_the_floor_but_not_each_other():
    scene = mujoco.MjModel.from_xml_path(str(SCENE))
    data = mujoco.MjData(scene)
    rng = np.random.default_rng(3)
    touched_floor = False
    for _ in range(300):
        data.qpos[:] = rng.uniform(scene.jnt_range[:, 0], scene.jnt_range[:, 1])
        mujoco.mj_forward(scene, data)
        floor = scene.geom("floor").id
        assert all(floor in pair for pair in data.contact.geom[: data.ncon])
        touched_floor |= data.ncon > 0
    assert touched_floor


def test_engine_options(model):
    assert model.opt.timestep == 0.002
    assert int(model.opt.integrator) == int(mujoco.mjtIntegrator.mjINT_IMPLICITFAST)
    assert int(model.opt.jacobian) == int(mujoco.mjtJacobian.mjJAC_DENSE)


def test_is_registered():
    entry = ROBOTS.load("ur5e")
    assert entry.spec is UR5E
    assert entry.model.is_file()
    robot = entry.open()
    assert robot.spec is UR5E  # readable before connecting
