"""Inserting a peg: the scripted policy does it; beside the hole the peg does not get in; what is seen has an error."""

from __future__ import annotations

import numpy as np
import pytest

from hardware.errors import ConfigError
from hardware.records import RobotState
from robostack.make import make_env
from robostack.tasks.panda_peg_insert import (
    HOLE,
    PEG,
    PEG_LENGTH_M,
    PandaPegInsert,
    PandaPegInsertConfig,
)


def run(config: PandaPegInsertConfig, count: int, steps: int, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Whether each succeeded, and how deep its peg came [m]."""
    env = make_env(PandaPegInsert(config), count=count, seed=seed)
    policy = env.task.scripted()
    observation, _ = env.reset()
    ended, deepest = np.zeros(count, dtype=bool), np.full(count, -np.inf)
    for _ in range(steps):
        observation, reward, terminated, _, _ = env.step(policy.act(observation))
        ended |= terminated
        np.testing.assert_array_equal(reward, terminated.astype(float))
        tip = env.task.motion.kinematics(env.state.joint_position)[0][:, 2] - PEG_LENGTH_M
        deepest = np.maximum(deepest, np.where(ended, deepest, env.state.objects[HOLE][:, 2] - tip))
    return ended, deepest


def test_the_scripted_policy_inserts_every_peg():
    ended, _ = run(PandaPegInsertConfig(), 20, 30)
    assert ended.all()


def test_a_peg_beside_the_hole_stays_on_top_of_the_block():
    """Springs, not luck, keep it out: it is pushed down for two seconds and does not sink into the block."""
    ended, deepest = run(PandaPegInsertConfig(hole_error_m=0.006), 16, 30)
    assert 1 <= ended.sum() <= 8  # some errors are small
    assert deepest[~ended].max() < 0.001
    assert deepest[~ended].max() > -0.002  # it did touch


def test_the_peg_is_firmly_in_the_hand():
    env = make_env("panda-peg-insert")
    env.reset(seed=0)
    rng = np.random.default_rng(0)
    for _ in range(10):
        env.step(rng.uniform(-1.0, 1.0, 3))
        tool = env.task.motion.kinematics(env.state.joint_position)[0]
        np.testing.assert_allclose(env.state.objects[PEG][:, :3], tool, atol=5e-4)


def test_the_hole_is_seen_with_one_error_per_episode():
    task = PandaPegInsert(PandaPegInsertConfig(hole_error_m=0.001))
    q = task.motion.joints_at(np.array([[0.5, 0.0, 0.12]]))
    hole = np.array([[0.5, 0.0, 0.03, 1.0, 0.0, 0.0, 0.0]])
    state = RobotState(0.0, q, np.zeros((1, 8)), objects={HOLE: hole})
    rng = np.random.default_rng(0)
    episodes = [task.begin(rng, state) for _ in range(200)]
    near = np.array([task.observe(state, episode)[0, -3:] * 0.005 for episode in episodes])
    assert np.abs(near[:, :2]).max() < 0.001 and np.abs(near[:, :2]).max() > 0.0009
    assert near[:, :2].std() == pytest.approx(0.001 / np.sqrt(3), rel=0.1)
    np.testing.assert_allclose(near[:, 2], -0.005)  # clipped: the tip is 50 mm above
    np.testing.assert_array_equal(task.observe(state, episodes[0]), task.observe(state, episodes[0]))


def test_success_needs_depth_in_the_hole():
    task = PandaPegInsert()
    hole = np.array([[0.5, 0.0, 0.03, 1.0, 0.0, 0.0, 0.0]])
    results = []
    for x, depth in ((0.5, 0.021), (0.5, 0.019), (0.504, 0.021)):
        q = task.motion.joints_at(np.array([[x, 0.0, 0.03 + PEG_LENGTH_M - depth]]))
        state = RobotState(0.0, q, np.zeros((1, 8)), objects={HOLE: hole})
        episode = task.begin(np.random.default_rng(0), state)
        results.append(bool(task.judge(np.zeros((1, 3)), state, episode)[0].success[0]))
        assert task.distance(state, episode)[0] == pytest.approx(np.hypot(x - 0.5, max(0.02 - depth, 0.0)), abs=1e-5)
    assert results == [True, False, False]


def test_settings_are_checked():
    for wrong in ({"depth_m": 0.03}, {"start_above_m": (0.1, 0.05)}, {"reward": "none"}):
        with pytest.raises(ConfigError):
            PandaPegInsertConfig(**wrong)
