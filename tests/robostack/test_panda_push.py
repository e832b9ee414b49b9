"""Pushing: seventeen parameters by name, accelerations integrated within limits, noises as stated."""

from __future__ import annotations

import mujoco
import numpy as np
import pytest

from hardware.errors import ConfigError
from hardware.panda import PANDA
from hardware.records import RobotState
from robostack.env import RobotVectorEnv
from robostack.make import make_env, simulate
from robostack.policies.scripted_push import plane_velocity, pushed_normal
from robostack.tasks.panda_push import BOX, DYNAMICS, PandaPush, PandaPushConfig
from sim.mujoco_engine import MujocoEngine
from sim.simulated_plant import SimulatedPlant


@pytest.fixture(scope="module")
def task() -> PandaPush:
    return PandaPush()


def state_of(task: PandaPush, rows: int = 1, box: tuple[float, float] = (0.45, 0.0)) -> RobotState:
    start = task.start(np.random.default_rng(0), rows)
    pose = np.zeros((rows, 7))
    pose[:, :3], pose[:, 3] = (*box, 0.03), 1.0
    return RobotState(0.0, start.joint_position, start.joint_velocity, objects={BOX: pose})


def test_the_parameters_are_the_seventeen_with_their_bounds(task):
    assert len(DYNAMICS) == 17 == len({entry.name for entry in DYNAMICS})
    bounds = {entry.name: (entry.low, entry.high) for entry in DYNAMICS}
    assert bounds["link:box/mass"] == (0.2, 0.6)
    assert bounds["contact:box/friction"] == (0.025, 0.5)
    assert bounds["link:box/com_y"] == (-0.05, 0.05)
    assert bounds["joint:panda_joint7/damping"] == (0.025, 2.5)
    assert bounds["joint:panda_joint1/frictionloss"] == (0.025, 3.0)
    # Each is known to the engine, and its nominal value is the model's.
    model = simulate(task).engine.model
    for entry in DYNAMICS:
        kind, _, rest = entry.name.partition(":")
        name, _, quantity = rest.partition("/")
        if kind == "joint":
            found = getattr(model.joint(name), quantity)[0]
        elif quantity == "friction":
            found = model.geom(name).friction[0]
        else:
            found = {"mass": model.body(name).mass[0], "com_y": model.body(name).ipos[1]}[quantity]
        assert found == pytest.approx(entry.nominal), entry.name


def test_friction_of_the_box_alone_is_written_and_alone_counts(task):
    plant = simulate(task, 2)
    plant.set_dynamics({"contact:box/friction": np.array([0.05, 0.5])})
    expanded = plant.engine.batch.expanded("geom_friction")
    box = plant.engine.model.geom("box").id
    np.testing.assert_array_equal(expanded[:, box, 0], [0.05, 0.5])
    others = np.delete(expanded, box, axis=1)
    np.testing.assert_array_equal(others[0], others[1])
    # A box that slides on the table at 0.5 m/s loses mu g per second.
    start = task.start(np.random.default_rng(0), 2)
    pose = np.tile([0.5, 0.3, 0.03, 1.0, 0.0, 0.0, 0.0], (2, 1))
    plant.reset(start.joint_position, start.joint_velocity, objects={BOX: pose})
    column = int(plant.engine.model.body("box").dofadr[0]) + 1
    plant.engine.qvel[:, column] = 0.5
    plant.engine.step(np.repeat(start.joint_position[:, None], 30, axis=1))
    lost = 0.5 - plant.engine.qvel[:, column]
    np.testing.assert_allclose(lost, np.array([0.05, 0.5]) * 9.81 * 0.06, rtol=0.1)


def test_accelerations_are_integrated_exactly_and_within_limits(task):
    state = state_of(task)
    episode = task.begin(np.random.default_rng(0), state)
    action = np.zeros((1, 7))
    action[0, 2] = 1.0
    acceleration = 0.4 * PANDA.acceleration_max[2]
    start = state.joint_position[0, 2]
    reference = task.reference(action, state, episode)
    assert reference.value[0, 2] == pytest.approx(start + 0.5 * acceleration * 0.02**2)
    assert reference.velocity[0, 2] == pytest.approx(acceleration * 0.02)
    assert reference.acceleration[0, 2] == pytest.approx(acceleration)
    assert reference.effort[0, 2] > 0.5 * acceleration  # about 1 kg m^2 and more hang on it
    for _ in range(200):
        _, episode = task.judge(action, state, episode)
        assert episode["target_velocity"][0, 2] <= PANDA.velocity_max[2] + 1e-12
    # The joint did not move: the target waits at the end of the leash, at rest.
    assert episode["target"][0, 2] == pytest.approx(start + task.config.leash_rad)
    assert episode["target_velocity"][0, 2] == 0.0


def test_the_arm_follows_random_accelerations(task):
    scene = mujoco.MjSpec.from_file(str(task.model))
    scene.option.disableflags |= int(mujoco.mjtDisableBit.mjDSBL_CONTACT)  # random motions would hit the table
    env = RobotVectorEnv(task, SimulatedPlant(MujocoEngine(PANDA, scene, 4, timestep_s=task.timestep_s)), seed=0)
    env.reset()
    rng = np.random.default_rng(1)
    worst = 0.0
    for _ in range(50):
        env.step(rng.uniform(-1.0, 1.0, (4, 7)))
        worst = max(worst, np.abs(env.episode["target"] - env.state.joint_position[:, :7]).max())
    assert worst < 0.01


def test_noises_have_the_stated_size(task):
    state = state_of(task, 2000)
    episode = task.begin(np.random.default_rng(0), state)
    velocity, box = slice(7, 14), slice(14, 16)
    seen = task.observe(state, episode)
    assert seen[:, velocity].std() == pytest.approx(0.0011, rel=0.05)
    assert (0.5 * seen[:, box] - [0.45, 0.0]).std() == pytest.approx(0.002, rel=0.05)
    np.testing.assert_array_equal(seen, task.observe(state, episode))
    _, after = task.judge(np.zeros((2000, 7)), state, episode)
    assert np.abs(task.observe(state, after)[:, box] - seen[:, box]).max() > 0.001
    quiet = PandaPush(PandaPushConfig(velocity_noise_rad_s=0.0, box_noise_m=0.0))
    np.testing.assert_allclose(quiet.observe(state, episode)[:, velocity], 0.0)


def test_success_is_the_box_within_three_centimetres(task):
    episode = task.begin(np.random.default_rng(0), state_of(task))
    goal = episode["goal"][0]
    rewards = []
    for offset, expected in ((0.029, True), (0.031, False)):
        state = state_of(task, box=(goal[0] + offset, goal[1]))
        outcome, _ = task.judge(np.zeros((1, 7)), state, episode)
        assert bool(outcome.success[0]) is expected
        rewards.append(float(outcome.reward[0]))
    assert rewards[0] - rewards[1] == pytest.approx(1.0, abs=0.03)


def test_the_scripted_policy_shows_that_it_can_be_done(task):
    env = make_env(task, count=20, randomize=True, seed=1)
    policy = task.scripted()
    observation, _ = env.reset()
    for _ in range(299):
        observation, _, _, truncated, info = env.step(policy.act(observation))
        assert not truncated.any()
    assert info["success"].mean() >= 0.9
    assert env.step(policy.act(observation))[3].all()  # 300 steps


def pushed(tool=(-0.065, 0.0), goal=(0.06, 0.0), heading=0.0):
    """Velocity of the tool beside a box at the origin."""
    return plane_velocity(np.array([tool]), np.zeros((1, 2)), np.array([[heading]]), np.array([goal]))[0]


@pytest.mark.parametrize(("left_m", "pushes"), [(0.01, False), (0.06, True)])
def test_the_scripted_policy_leaves_a_box_that_is_there(left_m, pushes):
    velocity = pushed(goal=(left_m, 0.0))  # behind it, nearly touching
    assert (velocity[0] > 0.05) if pushes else (velocity[0] < -0.05)
    assert velocity[1] == pytest.approx(0.0)
    if not pushes:
        assert pushed(tool=(-0.12, 0.0), goal=(left_m, 0.0)) == pytest.approx(0.0), "far enough"


def test_the_scripted_policy_steers_by_where_it_pushes():
    """Touching at the side away from the goal turns the box towards it, whichever way the box points."""
    beside = (0.1, 0.03)
    assert pushed(tool=(-0.062, 0.0), goal=beside)[1] < -0.05, "to the right of the middle: the box turns left"
    settled = pushed(tool=(-0.062, -0.15 * np.arctan2(0.03, 0.1)), goal=beside)
    assert settled == pytest.approx([0.09, 0.0]), "and there it pushes straight along the normal, at full speed"
    turned = np.array([[np.cos(0.7), -np.sin(0.7)], [np.sin(0.7), np.cos(0.7)]])
    velocity = pushed(tool=turned @ (-0.062, 0.01), goal=turned @ beside, heading=0.7)
    np.testing.assert_allclose(velocity, turned @ pushed(tool=(-0.062, 0.01), goal=beside), atol=1e-12)


def test_the_scripted_policy_takes_another_face_only_when_the_goal_is_not_ahead():
    def normal(goal_deg: float, tool_deg: float, heading: float = 0.0) -> float:
        way, reach = ([[np.cos(np.deg2rad(a)), np.sin(np.deg2rad(a))]] for a in (goal_deg, tool_deg + 180.0))
        found = pushed_normal(np.array(way), -np.array(reach), np.array([[heading]]))[0]
        return float(np.rad2deg(np.arctan2(found[1], found[0])))

    assert normal(50.0, 0.0) == pytest.approx(0.0) and normal(50.0, 90.0) == pytest.approx(90.0), "kept: 50 < 57"
    assert normal(60.0, 0.0) == pytest.approx(90.0), "the goal is too far aside"
    assert normal(170.0, 0.0) == pytest.approx(180.0)
    assert normal(-175.0, 180.0) == pytest.approx(180.0), "across the cut of the angle"
    assert normal(50.0, 0.0, np.deg2rad(10.0)) == pytest.approx(10.0)
    # On its way to the face behind it, a tool beside the box moves back without sliding towards it.
    assert pushed(tool=(0.0, 0.09), goal=(0.1, 0.0)) == pytest.approx([-0.09, 0.0])


def test_settings_are_checked_and_the_scene_compiles(task):
    with pytest.raises(ConfigError, match="goal_min"):
        PandaPushConfig(goal_min=(0.7, 0.0))
    with pytest.raises(ConfigError, match="share"):
        PandaPushConfig(acceleration_scale=2.0)
    assert mujoco.MjModel.from_xml_path(str(task.model)).body("box").simple[0] == 0
