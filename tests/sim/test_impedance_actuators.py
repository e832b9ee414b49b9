"""Impedance control as MuJoCo's actuators: the controller's very torques; contact pushes no harder than the clip."""

from __future__ import annotations

import mujoco
import numpy as np
import pytest

from controllers.impedance import CartesianImpedanceController, ImpedanceConfig, ToolPoseReference, impedance_spec
from controllers.kinematics import SerialChain
from controllers.rotations import quaternion_from_matrix, quaternion_from_rotation_vector
from hardware.errors import ConfigError
from hardware.panda import FOLDER, MODEL, PANDA
from sim.impedance_actuators import TOOL_TARGET, with_impedance
from sim.mujoco_engine import MujocoEngine
from sim.simulated_plant import SimulatedPlant

CONFIG = ImpedanceConfig()
SPEC = impedance_spec(PANDA, CONFIG)
DOWN = np.array([[0.0, 1.0, 0.0, 0.0]])
READY = PANDA.default_position[None]


def plant_for(config: ImpedanceConfig, scene: str = "pick_cube.xml", timestep_s: float = 0.001) -> SimulatedPlant:
    spec = impedance_spec(PANDA, config)
    engine = MujocoEngine(spec, with_impedance(FOLDER / scene, spec, config), 1, timestep_s=timestep_s)
    return SimulatedPlant(engine, impedance=True)


def pose(position: np.ndarray, horizon_s: float = 0.1, width: float = 0.0) -> ToolPoseReference:
    value = np.append(np.full(7, np.nan), width)[None]
    return ToolPoseReference("position", value, horizon_s, position=position, quaternion=DOWN)


def test_the_actuators_give_the_torques_of_the_controller():
    model = with_impedance(MODEL, SPEC, CONFIG).compile()
    data = mujoco.MjData(model)
    chain = SerialChain.from_mjcf(MODEL, PANDA.joint_names, PANDA.tool_frame, PANDA.base_frame)
    controller = CartesianImpedanceController(CONFIG, PANDA.effort_max)
    arm = [model.joint(name).qposadr[0] for name in PANDA.joint_names[:7]]
    rng = np.random.default_rng(0)
    clipped = 0
    for _ in range(30):
        q, velocity = PANDA.default_position.copy(), np.zeros(8)
        q[:7] += 0.3 * rng.normal(size=7)
        velocity[:7] = 0.3 * rng.normal(size=7)
        posture = np.clip(q + 0.5 * rng.normal(size=8), PANDA.position_min, PANDA.position_max)
        tool = chain.forward_and_jacobian(q)
        target = tool[0] + 0.03 * rng.normal(size=3)
        turn = quaternion_from_rotation_vector(0.1 * rng.normal(size=3))
        quaternion = np.zeros(4)
        mujoco.mju_mulQuat(quaternion, turn, quaternion_from_matrix(tool[1]))
        data.qpos[arm], data.qvel[arm] = q[:7], velocity[:7]
        data.ctrl[:7] = posture[:7]
        data.mocap_pos[0], data.mocap_quat[0] = target, quaternion
        mujoco.mj_forward(model, data)
        controller.reset(posture)
        expected = controller.effort(q, velocity, tool, (target, quaternion))
        np.testing.assert_allclose(data.qfrc_actuator[arm], expected[:7], atol=1e-6)
        clipped += int((np.abs(target - tool[0]) > 0.03).any())
    assert clipped > 5  # both regimes were met


def joints_at(position: np.ndarray) -> np.ndarray:
    """Joint positions with the tool at a point (1, 3), pointing down, hand shut."""
    chain = SerialChain.from_mjcf(MODEL, PANDA.joint_names, PANDA.tool_frame, PANDA.base_frame)
    found, converged = chain.inverse(position, chain.forward(READY)[1], READY)
    assert converged.all()
    found[:, 7] = 0.0
    return found


def contact_force(plant: SimulatedPlant) -> float:
    """Sum of the normal forces between the fingers and the table [N]; the cube lies elsewhere."""
    model, data = plant.engine.snapshot(0)
    total, force = 0.0, np.zeros(6)
    tips = {model.geom("left_tip").id, model.geom("right_tip").id}
    for index in range(data.ncon):
        if not tips & set(data.contact.geom[index].tolist()):
            continue
        mujoco.mj_contactForce(model, data, index, force)
        total += force[0]
    return total


@pytest.mark.parametrize("clip", [0.01, 0.03])
def test_contact_pushes_no_harder_than_stiffness_times_clip(clip):
    config = ImpedanceConfig(clip=(clip, clip, clip, 0.1, 0.1, 0.1))
    plant, above = plant_for(config), np.array([[0.5, 0.1, 0.0096]])  # the finger tips touch the table
    plant.reset(joints_at(above), 0 * READY)
    forces = []
    for _ in range(100):
        plant.follow(pose(above - [[0.0, 0.0, 0.5]], 0.01))
        forces.append(contact_force(plant))
    bound = config.stiffness[2] * clip
    assert max(forces) < 1.5 * bound  # the moving arm meets the table
    assert max(forces[10:]) < bound + 1.0
    # The target is half a metre below the table: the springs rest at their bound, the posture adds next to nothing.
    np.testing.assert_allclose(forces[60:], bound, atol=1.0)


def test_without_the_clip_the_table_feels_far_more():
    """What the clip is for: the same push with springs that see the whole error."""
    config = ImpedanceConfig(clip=(1.0, 1.0, 1.0, 1.0, 1.0, 1.0))
    plant, above = plant_for(config), np.array([[0.5, 0.1, 0.0096]])
    plant.reset(joints_at(above), 0 * READY)
    for _ in range(100):
        plant.follow(pose(above - [[0.0, 0.0, 0.2]], 0.01))
    assert contact_force(plant) > 2.0 * CONFIG.force_max[2]


def test_the_tool_follows_and_the_posture_hardly_moves_it():
    plant = plant_for(CONFIG)
    start = plant.reset(READY, 0 * READY).tool_position
    goal = start + np.array([[0.2, 0.15, -0.3]])
    for step in range(30):
        state = plant.follow(pose(start + min(1.0, (step + 1) / 15) * (goal - start)))
    assert np.abs(state.joint_position - READY)[0, :7].max() > 0.5  # far from the posture
    np.testing.assert_allclose(state.tool_position, goal, atol=0.0015)
    assert state.joint_position[0, 7] == pytest.approx(0.0, abs=1e-3)
    np.testing.assert_allclose(np.abs(state.tool_quaternion), DOWN, atol=0.01)


def test_the_gripper_closes_at_its_own_speed():
    plant = plant_for(CONFIG)
    tool = plant.reset(READY, 0 * READY).tool_position
    width = plant.follow(pose(tool, 0.2)).joint_position[0, 7]
    assert width == pytest.approx(0.08 - 0.1 * 0.2, abs=0.003)
    assert plant.follow(pose(tool, 0.2, np.nan)).joint_position[0, 7] == pytest.approx(width, abs=0.003)  # kept


def test_resetting_one_of_many_leaves_the_others_alone():
    engine = MujocoEngine(SPEC, with_impedance(FOLDER / "pick_cube.xml", SPEC, CONFIG), 3)
    plant = SimulatedPlant(engine, impedance=True)
    start = np.repeat(READY, 3, axis=0)
    tool = plant.reset(start, 0 * start).tool_position
    value = np.full((3, 8), np.nan)
    down = np.repeat(DOWN, 3, axis=0)
    goal = tool + np.array([0.0, 0.05, -0.05])
    moved = plant.follow(ToolPoseReference("position", value, 0.2, position=goal, quaternion=down))
    cube = np.array([[0.45, 0.1, 0.02, 1.0, 0.0, 0.0, 0.0]])
    state = plant.reset(READY, 0 * READY, np.array([1]), {"cube": cube})
    np.testing.assert_allclose(state.tool_position[1], tool[1], atol=1e-9)
    np.testing.assert_array_equal(state.objects["cube"][1], cube[0])
    np.testing.assert_array_equal(state.tool_position[[0, 2]], moved.tool_position[[0, 2]])
    np.testing.assert_array_equal(state.objects["cube"][[0, 2]], moved.objects["cube"][[0, 2]])
    # The target of the one that was reset is at its tool again: it stays.
    goal[1] = tool[1]
    after = plant.follow(ToolPoseReference("position", value, 0.2, position=goal, quaternion=down))
    np.testing.assert_allclose(after.tool_position[1], tool[1], atol=1e-4)


def test_what_cannot_be_is_refused():
    with pytest.raises(ConfigError, match="not under impedance control"):
        SimulatedPlant(MujocoEngine(PANDA, MODEL, 1)).follow(pose(np.zeros((1, 3))))
    with pytest.raises(ConfigError, match="whole number"):
        plant_for(CONFIG).follow(pose(np.zeros((1, 3)), 0.1005))
    bare = mujoco.MjSpec.from_file(str(MODEL))
    bare.delete(bare.actuator("panda_joint3"))
    with pytest.raises(ConfigError, match="panda_joint3"):
        with_impedance(bare, SPEC, CONFIG)


def test_the_model_given_is_left_alone():
    spec = mujoco.MjSpec.from_file(str(MODEL))
    made = with_impedance(spec, SPEC, CONFIG)
    assert made.body(TOOL_TARGET) is not None and spec.body(TOOL_TARGET) is None
