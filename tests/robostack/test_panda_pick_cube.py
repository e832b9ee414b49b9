"""Picking a cube: the scripted policy succeeds from random starts; rewards, limits and images are as documented."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from controllers.impedance import ImpedanceConfig
from hardware.errors import CheckpointError, ConfigError, ContractMismatchError, UnknownNameError
from hardware.records import RobotState
from robostack.contract import contract_from_json, contract_of, require_match
from robostack.make import make_env
from robostack.tasks.panda_pick_cube import CUBE, PandaPickCube, PandaPickCubeConfig
from robostack.tasks.panda_tool import ToolMotionConfig


def test_the_scripted_policy_picks_every_cube_in_a_batch() -> None:
    env = make_env("panda-pick-cube", count=20, seed=3)
    policy = env.task.scripted()
    observation, _ = env.reset()
    ended, total = np.zeros(20, dtype=bool), np.zeros(20)
    for _ in range(40):
        observation, reward, terminated, truncated, _ = env.step(policy.act(observation))
        total += np.where(ended, 0.0, reward)
        ended |= terminated
        assert not truncated.any()
        if ended.all():
            break
    assert ended.all()
    np.testing.assert_array_equal(total, 1.0)  # sparse: nothing but the success counts


def test_the_seed_fixes_the_cube_and_another_seed_moves_it() -> None:
    env = make_env("panda-pick-cube")
    poses = []
    for seed in (5, 5, 6):
        observation, _ = env.reset(seed=seed)
        assert env.observation_space.contains(observation)
        poses.append(env.state.objects[CUBE][0])
    np.testing.assert_array_equal(poses[0], poses[1])
    assert np.linalg.norm(poses[0][:2] - poses[2][:2]) > 0.01


def test_a_batch_and_a_single_simulation_are_the_same() -> None:
    single, batch = make_env("panda-pick-cube"), make_env("panda-pick-cube", count=1)
    a, b = single.reset(seed=2)[0], batch.reset(seed=2)[0]
    rng = np.random.default_rng(0)
    for _ in range(5):
        action = rng.uniform(-1.0, 1.0, 4)
        np.testing.assert_array_equal(a, b[0])
        a, b = single.step(action)[0], batch.step(action[None])[0]


def test_the_gripper_keeps_its_goal_between_the_thresholds() -> None:
    task = PandaPickCube()
    episode = {"tool": np.zeros(3), "tool_target": np.zeros(3), "turn": np.zeros(()), "closed": np.zeros(())}
    for action, expected in ((0.4, 0.0), (0.6, 1.0), (0.0, 1.0), (-0.4, 1.0), (-0.6, 0.0)):
        episode = task.motion.advance(np.array([0.0, 0.0, 0.0, action]), episode)
        assert float(episode["closed"]) == expected


def test_the_target_stays_in_its_box_and_near_the_tool() -> None:
    task = PandaPickCube()
    config = task.config.motion
    tool = np.array([0.5, 0.0, 0.05])
    episode = {"tool": tool, "tool_target": tool, "turn": np.zeros(()), "closed": np.zeros(())}
    for _ in range(5):
        episode = task.motion.advance(np.array([1.0, 0.0, -1.0, 0.0]), episode)
    np.testing.assert_allclose(episode["tool_target"], [tool[0] + config.leash_m, 0.0, config.box_min[2]])


def test_dense_reward_and_gripper_penalty() -> None:
    task = PandaPickCube(PandaPickCubeConfig(reward="dense", gripper_penalty=0.25))
    tool = task.motion.chain.forward(task.spec.default_position)[0]
    cube = np.array([tool[0], tool[1], tool[2] - 0.1, 1.0, 0.0, 0.0, 0.0])
    state = RobotState(0.0, task.spec.default_position, np.zeros(8), objects={CUBE: cube})
    episode = task.begin(np.random.default_rng(0), state)
    episode["cube_start_m"] = cube[2] - 0.05
    reward = [float(task.judge(np.array([0.0, 0.0, 0.0, grip]), state, episode)[0].reward) for grip in (0.0, 1.0)]
    assert reward[0] == pytest.approx(0.3 * np.exp(-2.0) + 0.7 * 0.5)
    assert reward[1] == pytest.approx(reward[0] - 0.25)


def test_without_perception_the_error_says_what_is_missing() -> None:
    task = PandaPickCube()
    state = RobotState(0.0, task.spec.default_position, np.zeros(8))
    with pytest.raises(ConfigError, match="perception"):
        task.begin(np.random.default_rng(0), state)
    with pytest.raises(UnknownNameError, match="ball"):
        dataclasses.replace(state, objects={"ball": np.zeros(7)}).object_pose(CUBE)


def test_settings_are_checked() -> None:
    with pytest.raises(ConfigError, match="sparse or dense"):
        PandaPickCubeConfig(reward="shaped")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="lower corner"):
        PandaPickCubeConfig(cube_min=(0.6, 0.0))
    with pytest.raises(ConfigError, match="leash"):
        ToolMotionConfig(leash_m=0.01)


def test_the_contract_holds_the_gains_of_the_tool() -> None:
    soft = PandaPickCubeConfig(impedance=ImpedanceConfig(stiffness=(500.0,) * 6))
    trained, offered = contract_of(PandaPickCube()), contract_of(PandaPickCube(soft))
    assert contract_from_json(trained.to_json(), "test") == trained
    with pytest.raises(ContractMismatchError, match="impedance"):
        require_match(trained, offered, "policy")
    with pytest.raises(CheckpointError, match="not a readable contract"):
        contract_from_json(trained.to_json().replace('"posture_damping"', '"posture_dumping"'), "test")


def test_a_turning_tool_has_one_more_action_and_still_picks() -> None:
    task = PandaPickCube(PandaPickCubeConfig(motion=ToolMotionConfig(turn_rad=0.2)))
    env = make_env(task, count=4, seed=1)
    assert contract_of(task).num_actions == 5
    observation, _ = env.reset()
    policy = task.scripted()
    ended = np.zeros(4, dtype=bool)
    for _ in range(40):
        observation, _, terminated, _, _ = env.step(policy.act(observation))
        ended |= terminated
    assert ended.all()


def test_images_are_observed_where_asked_for_and_show_the_cube() -> None:
    env = make_env("panda-pick-cube", seed=4, image_size=48)
    observation, _ = env.reset()
    assert env.observation_space.contains(observation)
    assert set(observation) == {"state", "front", "wrist"}
    red = observation["front"].astype(int)
    share = np.mean((red[..., 0] > 120) & (red[..., 0] > 2 * red[..., 1]))
    assert 0.001 < share < 0.05  # the cube, and nothing else, is red
    assert env.step(env.task.scripted().act(observation["state"]))[0]["wrist"].shape == (48, 48, 3)
    with pytest.raises(ConfigError, match="single environments"):
        make_env("panda-pick-cube", count=2, image_size=48)  # type: ignore[call-overload]
    with pytest.raises(ConfigError, match="no cameras"):
        make_env("ur5e-reach", image_size=48)
