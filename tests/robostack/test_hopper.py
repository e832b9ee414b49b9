"""The hopper task gives Gymnasium's Hopper-v5 observations, rewards and ends, number for number."""

from __future__ import annotations

import array_api_strict
import gymnasium
import numpy as np
import pytest

from hardware.errors import UnknownNameError
from hardware.records import RobotState
from robostack.make import make_env
from robostack.tasks.hopper import TASK
from sim.bodies.gymnasium_assets import gymnasium_model


def test_episodes_are_equal_to_gymnasium() -> None:
    env, reference = make_env("hopper"), gymnasium.make("Hopper-v5")
    rng = np.random.default_rng(0)
    ends = 0
    for seed in range(8):
        assert np.array_equal(env.reset(seed=seed)[0], reference.reset(seed=seed)[0])
        for _ in range(60):
            action = rng.uniform(-1.0, 1.0, 3)
            ours, theirs = env.step(action), reference.step(action)
            assert np.array_equal(ours[0], theirs[0])
            assert ours[1:4] == theirs[1:4]
            if ours[2]:
                ends += 1
                break
    assert ends >= 4
    assert env.observation_space.shape == reference.observation_space.shape
    assert np.array_equal(env.action_space.high, reference.action_space.high)
    reference.close()


def test_the_time_limit_is_gymnasium_s() -> None:
    task = TASK()
    assert round(task.episode_s / task.control_period_s) == gymnasium.spec("Hopper-v5").max_episode_steps


def test_a_batch_judges_every_hopper_by_itself() -> None:
    """Rows of a batch equal single calls, also on an array library that is stricter than numpy."""
    task, rng = TASK(), np.random.default_rng(1)
    position = rng.normal(size=(5, 6)) * 0.2 + task.spec.default_position
    velocity = rng.normal(size=(5, 6)) * 20.0
    action = rng.uniform(-1.0, 1.0, (5, 3))
    episode = {"x": rng.normal(size=5)}
    state = RobotState(0.0, position, velocity)
    outcome, after = task.judge(action, state, episode)
    observation = task.observe(state, episode)
    for row in range(5):
        one = RobotState(0.0, position[row], velocity[row])
        single, _ = task.judge(action[row], one, {"x": episode["x"][row]})
        assert (single.reward, single.terminated) == (outcome.reward[row], outcome.terminated[row])
        assert np.array_equal(task.observe(one, episode), observation[row])
    strict = RobotState(0.0, array_api_strict.asarray(position), array_api_strict.asarray(velocity))
    judged, _ = task.judge(array_api_strict.asarray(action), strict, {"x": array_api_strict.asarray(episode["x"])})
    assert np.allclose(np.asarray(judged.reward), outcome.reward)
    assert np.array_equal(np.asarray(task.observe(strict, episode)), observation)
    assert np.array_equal(after["x"], position[:, 0])


def test_an_unknown_body_lists_those_that_exist() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'hopper'") as error:
        gymnasium_model("hoper")
    assert {"hopper", "ant"} <= set(error.value.available)
