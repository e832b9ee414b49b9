"""History: order of the past, one robot and many alike, restarts forget, the inner task is untouched."""

from __future__ import annotations

import numpy as np
import pytest

from hardware.errors import ConfigError
from robostack.env import bounds
from robostack.evaluation import HasDistance
from robostack.make import make_env
from robostack.tasks.hopper import HopperTask
from robostack.tasks.task import Task
from robostack.tasks.ur5e_reach import Ur5eReach
from robostack.tasks.with_history import WithHistory


def test_the_past_is_newest_first_with_the_actions_between():
    task, plain = WithHistory(HopperTask(), 3), HopperTask()
    env, reference = (make_env(made, randomize=False, seed=3) for made in (task, plain))
    observation, _ = env.reset(seed=3)
    first, _ = reference.reset(seed=3)
    seen, done = [first] * 3, [np.zeros(3)] * 2
    rng = np.random.default_rng(0)
    for _ in range(6):
        np.testing.assert_array_equal(observation, np.concatenate([seen[0], seen[1], done[0], seen[2], done[1]]))
        action = rng.uniform(-1.0, 1.0, 3)
        observation, reward, *_ = env.step(action)
        now, expected, *_ = reference.step(action)
        assert reward == expected
        seen, done = [now, *seen[:2]], [action, *done[:1]]
    names = [term.name for term in task.observation]
    assert names[:4] == ["height", "angle", "linear_velocity", "angular_velocity"]
    assert names[4:9] == [*(f"{name}_1_ago" for name in names[:4]), "action_torque_1_ago"] and names[-1].endswith(
        "2_ago"
    )
    assert task.name == "hopper-history3" and len(bounds(task.observation)[0]) == 3 * 11 + 2 * 3


@pytest.mark.parametrize("inner", [HopperTask, Ur5eReach])
def test_many_simulations_remember_each_their_own(inner):
    """Restarts within a step begin with an empty past; the others go on."""
    task = WithHistory(inner(), 2)
    size = len(bounds(inner().observation)[0])
    env = make_env(task, 3, seed=0)
    observation, _ = env.reset(seed=0)
    rng, restarts = np.random.default_rng(0), 0
    for _ in range(150):
        action = rng.uniform(*bounds(task.action), (3, len(bounds(task.action)[0])))
        following, _, terminated, truncated, info = env.step(action)
        final = info["final_obs"]
        np.testing.assert_array_equal(final[:, size : 2 * size], observation[:, :size])
        np.testing.assert_array_equal(final[:, 2 * size :], action)
        over = terminated | truncated
        np.testing.assert_array_equal(following[over, size : 2 * size], following[over, :size])
        np.testing.assert_array_equal(following[over, 2 * size :], np.zeros_like(action[over]))
        observation, restarts = following, restarts + int(over.sum())
    assert restarts >= 3


def test_every_field_of_the_task_is_taken_over():
    """A field that tasks get later must be passed on as well."""
    inner = Ur5eReach()
    task = WithHistory(inner, 2)
    for field in Task.__annotations__:
        if field not in ("name", "observation"):
            assert getattr(task, field) is getattr(inner, field), field
    assert isinstance(task, HasDistance) and not isinstance(WithHistory(HopperTask(), 2), HasDistance)


def test_one_observation_is_no_history():
    with pytest.raises(ConfigError, match="2 or more"):
        WithHistory(HopperTask(), 1)
