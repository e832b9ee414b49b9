"""Picking a cube with the SO-101: the script succeeds; the tool, the jaw and their limits are as documented."""

from __future__ import annotations

import dataclasses

import mujoco
import numpy as np
import pytest

from hardware.errors import ConfigError
from hardware.so101 import PICK_CUBE, SO101
from robostack.contract import contract_of
from robostack.data.retargeting import Retargeting
from robostack.env import bounds
from robostack.make import make_env
from robostack.tasks.so101_pick_cube import CUBE, GRIPPER, HALF_EDGE_M, So101PickCube, So101PickCubeConfig


@pytest.fixture(scope="module")
def task() -> So101PickCube:
    return So101PickCube()


@pytest.mark.parametrize("randomize", [False, True], ids=["as modelled", "any servo"])
def test_the_scripted_policy_picks_cubes_anywhere(randomize: bool) -> None:
    env = make_env("so101-pick-cube", count=20, seed=3, randomize=randomize)
    policy = env.task.scripted()
    observation, _ = env.reset()
    done = np.zeros(20, dtype=bool)
    for _ in range(130):
        observation, reward, _, _, info = env.step(policy.act(observation))
        np.testing.assert_array_equal(reward, info["success"])
        done |= info["success"]
        if done.all():
            break
    assert done.sum() >= 18


def test_the_tool_is_between_the_jaws_where_the_cube_is_held(task) -> None:
    """The pose that puts the tool into the cube's middle leaves the cube free of both jaws, which close around it."""
    model = mujoco.MjModel.from_xml_path(str(PICK_CUBE))
    data = mujoco.MjData(model)
    cube = np.array([0.21, 0.03, HALF_EDGE_M])
    joints = task.joints_at(cube[None])[0]
    joints[GRIPPER] = task.config.open_rad
    for name, value in zip(SO101.joint_names, joints, strict=True):
        data.joint(name).qpos[0] = value
    data.joint("cube").qpos[:] = [*cube, 1.0, 0.0, 0.0, 0.0]
    mujoco.mj_forward(model, data)
    assert data.site("gripperframe").xmat.reshape(3, 3)[:, 0] == pytest.approx([0.0, 0.0, -1.0], abs=1e-3)
    pairs = [{model.geom(geom).name for geom in contact.geom} for contact in data.contact]
    assert {"cube", "table"} in pairs
    assert not [pair for pair in pairs if pair & {"fixed_jaw_contact", "moving_jaw_contact", "gripper_contact"}]
    grasp = data.body("gripper").xpos + data.body("gripper").xmat.reshape(3, 3) @ [0.0065, 0.0, -0.0941]
    np.testing.assert_allclose(grasp, cube, atol=1e-3)


def test_starts_are_reachable_and_within_the_joint_limits(task) -> None:
    start = task.start(np.random.default_rng(0), 200)
    margin = np.minimum(start.joint_position - SO101.position_min, SO101.position_max - start.joint_position)
    assert margin.min() > 0.02
    assert (start.joint_position[:, GRIPPER] == task.config.open_rad).all()
    tool = task.chain.forward(start.joint_position)[0] + task._offset
    assert (tool >= np.array(task.config.tool_min) - 1e-4).all()
    assert (tool <= np.array(task.config.tool_max) + 1e-4).all()
    assert np.ptp(start.objects[CUBE][:, :2], axis=0) == pytest.approx([0.07, 0.14], rel=0.1)
    with pytest.raises(ConfigError, match="cannot reach"):
        task.joints_at(np.array([[0.6, 0.0, 0.1]]))


def memory(task, tool=(0.2, 0.0, 0.05), jaw=0.5):
    place = np.array(tool)
    values = {
        "jaw": jaw,
        "jaw_target": jaw,
        "jaw_target_speed": 0.0,
        "jaw_still_s": 0.0,
        "jaw_speed": 0.0,
        "closed": 0.0,
    }
    return {"tool": place, "tool_target": place, **{name: np.array(value) for name, value in values.items()}}


def test_the_target_stays_in_its_box_and_near_the_tool(task) -> None:
    episode = memory(task, tool=(0.2, 0.0, 0.02))
    for _ in range(8):
        episode = task._advance(np.array([1.0, 0.0, -1.0, 0.0]), episode)
    motion = task.config.motion
    np.testing.assert_allclose(episode["tool_target"], [0.2 + motion.leash_m, 0.0, motion.box_min[2]])


def test_the_jaw_keeps_its_goal_between_the_thresholds(task) -> None:
    episode = memory(task)
    for grip, closed in ((0.4, 0.0), (0.6, 1.0), (0.0, 1.0), (-0.4, 1.0), (-0.6, 0.0)):
        episode = task._advance(np.array([0.0, 0.0, 0.0, grip]), episode)
        assert float(episode["closed"]) == closed


def test_a_blocked_jaw_is_asked_to_squeeze_only_a_little(task) -> None:
    episode, asked = memory(task), []
    for _ in range(60):
        episode = task._advance(np.array([0.0, 0.0, 0.0, 1.0]), episode)
        asked.append(float(episode["jaw"] - episode["jaw_target"]))
    assert 0.02 < max(asked) <= task.config.reach_rad + 0.02
    assert asked[-1] == pytest.approx(task.config.squeeze_rad, abs=3e-3)


def test_joint_speeds_keep_their_limits_and_follow_the_target(task) -> None:
    env = make_env(task, seed=1, randomize=False)
    env.reset(seed=1)
    low, high = bounds(task.action)
    for action in (low, high):
        value = task.reference(action[None], env.state, env.episode).value[0]
        assert (np.abs(value[:GRIPPER]) <= 0.9 * SO101.velocity_max[:GRIPPER] + 1e-9).all()
    ahead = task.reference(np.array([[0.5, 0.0, 0.0, 0.0]]), env.state, env.episode).value[0]
    jacobian = task.chain.forward_and_jacobian(env.state.joint_position)[2][0]
    np.testing.assert_allclose((jacobian @ ahead)[:3], [0.04, 0.0, 0.0], atol=2e-3)


def test_settings_are_checked_and_demonstrations_can_be_moved(task) -> None:
    with pytest.raises(ConfigError, match="lower corner"):
        So101PickCubeConfig(cube_min=(0.3, 0.0))
    with pytest.raises(ConfigError, match="turn_rad"):
        So101PickCubeConfig(motion=dataclasses.replace(task.config.motion, turn_rad=0.1))
    assert Retargeting(contract_of(task)).target(np.zeros(18)).shape == (3,)


def test_images_show_the_cube() -> None:
    env = make_env("so101-pick-cube", seed=4, image_size=64)
    observation, _ = env.reset()
    assert set(observation) == {"state", "front", "side"}
    for camera in ("front", "side"):
        image = observation[camera].astype(int)
        assert 0.0005 < np.mean((image[..., 0] > 110) & (image[..., 0] > 2 * image[..., 1])) < 0.05
