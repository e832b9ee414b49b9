"""The planar bodies give Gymnasium's observations, rewards and ends, number for number."""

from __future__ import annotations

import array_api_strict
import gymnasium
import numpy as np
import pytest

from hardware.errors import UnknownNameError
from hardware.records import RobotState
from robostack.make import make_env
from robostack.tasks.hopper import TASK
from robostack.tasks.task import TASKS
from sim.bodies.gymnasium_assets import gymnasium_model

BODIES = {
    "hopper": "Hopper-v5",
    "halfcheetah": "HalfCheetah-v5",
    "walker2d": "Walker2d-v5",
    "swimmer": "Swimmer-v5",
}


@pytest.mark.parametrize(("name", "identifier"), BODIES.items())
def test_episodes_are_equal_to_gymnasium(name: str, identifier: str) -> None:
    env, reference = make_env(name, randomize=False), gymnasium.make(identifier)
    rng = np.random.default_rng(0)
    ends = 0
    for seed in range(8):
        assert np.array_equal(env.reset(seed=seed)[0], reference.reset(seed=seed)[0])
        for _ in range(60):
            action = rng.uniform(-1.0, 1.0, env.action_space.shape)
            ours, theirs = env.step(action), reference.step(action)
            assert np.array_equal(ours[0], theirs[0])
            assert ours[1:4] == theirs[1:4]
            if ours[2]:
                ends += 1
                break
    assert ends >= 4 or name not in ("hopper", "walker2d")
    assert env.observation_space.shape == reference.observation_space.shape
    assert np.array_equal(env.action_space.high, reference.action_space.high)
    reference.close()


@pytest.mark.parametrize(("name", "identifier"), BODIES.items())
def test_the_time_limit_is_gymnasium_s(name: str, identifier: str) -> None:
    task = TASKS.load(name)()
    assert round(task.episode_s / task.control_period_s) == gymnasium.spec(identifier).max_episode_steps


@pytest.mark.parametrize(("name", "count"), [("hopper", 8), ("halfcheetah", 8), ("walker2d", 13), ("swimmer", 7)])
def test_the_dynamics_named_can_be_randomised(name: str, count: int) -> None:
    task = TASKS.load(name)()
    assert len(task.dynamics) == count
    for entry in task.dynamics:
        assert 0.0 < entry.low < entry.nominal < entry.high
        assert entry.nominal - entry.low == pytest.approx(entry.high - entry.nominal)
    first, second = (make_env(name, 2, randomize=randomize, seed=1) for randomize in (True, False))
    for env in (first, second):
        env.reset(seed=1)
    action = np.full(first.action_space.shape, 0.5)
    for _ in range(5):
        changed, plain = first.step(action)[0], second.step(action)[0]
    assert not np.allclose(changed, plain)
    assert not np.allclose(changed[0] - plain[0], changed[1] - plain[1])


def test_success_is_what_the_first_half_of_the_episode_earns() -> None:
    task = TASK()
    state = RobotState(0.0, task.spec.default_position.copy(), np.zeros(6))
    episode = {"x": np.array(0.0), "earned": np.array(1598.5), "steps": np.array(498.0)}
    outcome, episode = task.judge(np.zeros(3), state, episode)
    assert (bool(outcome.success), float(episode["earned"])) == (False, 1599.5)
    outcome, episode = task.judge(np.zeros(3), state, episode)
    assert (bool(outcome.success), float(episode["earned"])) == (True, 1600.5)
    episode["earned"] = np.array(1599.5)
    outcome, episode = task.judge(np.zeros(3), state, episode)
    assert (bool(outcome.success), float(episode["earned"])) == (False, 1599.5), "step 501 does not count"


def test_a_batch_judges_every_hopper_by_itself() -> None:
    """Rows of a batch equal single calls, also on an array library that is stricter than numpy."""
    task, rng = TASK(), np.random.default_rng(1)
    position = rng.normal(size=(5, 6)) * 0.2 + task.spec.default_position
    velocity = rng.normal(size=(5, 6)) * 20.0
    action = rng.uniform(-1.0, 1.0, (5, 3))
    episode = {"x": rng.normal(size=5), "earned": np.zeros(5), "steps": np.zeros(5)}
    state = RobotState(0.0, position, velocity)
    outcome, after = task.judge(action, state, episode)
    observation = task.observe(state, episode)
    for row in range(5):
        one = RobotState(0.0, position[row], velocity[row])
        single, _ = task.judge(action[row], one, {name: values[row] for name, values in episode.items()})
        assert (single.reward, single.terminated) == (outcome.reward[row], outcome.terminated[row])
        assert np.array_equal(task.observe(one, episode), observation[row])
    strict = RobotState(0.0, array_api_strict.asarray(position), array_api_strict.asarray(velocity))
    judged, _ = task.judge(
        array_api_strict.asarray(action),
        strict,
        {name: array_api_strict.asarray(values) for name, values in episode.items()},
    )
    assert np.allclose(np.asarray(judged.reward), outcome.reward)
    assert np.array_equal(np.asarray(task.observe(strict, episode)), observation)
    assert np.array_equal(after["x"], position[:, 0])


def test_an_unknown_body_lists_those_that_exist() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'hopper'") as error:
        gymnasium_model("hoper")
    assert {"hopper", "ant"} <= set(error.value.available)
