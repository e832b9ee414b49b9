"""UR-Reacher-2: observation, reward and mapping by hand; it works in simulation."""

from __future__ import annotations

import array_api_strict as strict
import numpy as np
import pytest

from hardware.errors import ConfigError
from hardware.records import RobotState
from hardware.ur5e import UR5E
from robostack.contract import contract_of
from robostack.evaluation import evaluate
from robostack.tasks.task import TASKS
from robostack.tasks.ur5e_reach import WALL_MARGIN_M
from robostack.tasks.ur5e_reacher_2 import Ur5eReacher2, Ur5eReacher2Config

LIFT, ELBOW = (UR5E.joint_names.index(name) for name in ("shoulder_lift_joint", "elbow_joint"))


@pytest.fixture(scope="module")
def task():
    return Ur5eReacher2()


def tool_of(task, position):
    return task.chain.forward(position)[0][..., [0, 2]]


def at(task, position=None, velocity=None):
    position = np.array(task.start_position if position is None else position)
    return RobotState(0.0, position, np.zeros_like(position) if velocity is None else np.array(velocity))


def test_registered_with_the_published_sizes(task):
    assert TASKS.load("ur5e-reacher-2") is Ur5eReacher2
    contract = contract_of(task)
    assert (contract.num_observations, contract.num_actions, contract.control_period_s) == (8, 2, 0.04)
    assert task.episode_s / task.control_period_s == 100 and not task.ends_on_success
    assert task.action[0].scale == 0.3 <= 0.1 * UR5E.velocity_max.min()


def test_observation_by_hand(task):
    state = at(task, velocity=[0.0, 0.15, -0.3, 0.0, 0.0, 0.0])
    episode = {"target": tool_of(task, task.start_position) - [0.1, -0.05], "previous": np.array([0.5, -1.0])}
    expected = [task.start_position[LIFT], task.start_position[ELBOW], 0.5, -1.0, 0.1, -0.05, 0.5, -1.0]
    np.testing.assert_allclose(task.observe(state, episode), expected, atol=1e-12)


@pytest.mark.parametrize("distance", [0.0, 0.02, 0.1, 0.3])
def test_reward_by_hand(task, distance):
    state = at(task)
    episode = {"target": tool_of(task, task.start_position) + np.array([0.0, distance]), "previous": np.zeros(2)}
    outcome, after = task.judge(np.array([0.2, 0.3]), state, episode)
    assert float(outcome.reward) == pytest.approx(5.0 * (np.exp(-(distance**2) / 0.01) - distance))
    assert bool(outcome.success) == (distance <= 0.025) and not outcome.terminated
    np.testing.assert_array_equal(after["previous"], [0.2, 0.3])


def test_two_joints_move_and_the_others_stay(task):
    episode = {"target": np.zeros(2), "previous": np.zeros(2)}
    reference = task.reference(np.array([1.0, -0.5]), at(task), episode)
    assert (reference.mode, reference.horizon_s) == ("velocity", 0.04)
    np.testing.assert_allclose(reference.value, [0.0, 0.3, -0.15, 0.0, 0.0, 0.0])


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("side", ["low", "high"])
def test_the_tool_slows_down_towards_each_wall_and_leaves_it_freely(task, axis, side):
    corners = {"low": np.array([0.29, 0.06]), "high": np.array([0.61, 0.51])}
    place = tool_of(task, task.start_position).copy()
    place[axis] = corners[side][axis]
    bounds = (UR5E.workspace_min, UR5E.workspace_max)[side == "high"]
    wall = bounds[(0, 2)[axis]] + (WALL_MARGIN_M if side == "low" else -WALL_MARGIN_M)
    assert abs(place[axis] - wall) == pytest.approx(0.01)
    state = at(task, task.inverse(place))
    jacobian = task._plane(state.joint_position)[1]
    outward = np.linalg.solve(jacobian, np.eye(2)[axis] * (1.0 if side == "high" else -1.0))
    action = outward / np.abs(outward).max()
    episode = {"target": place, "previous": np.zeros(2)}
    out, back = (task.reference(sign * action, state, episode).value[[LIFT, ELBOW]] for sign in (1.0, -1.0))
    assert abs((jacobian @ out)[axis]) == pytest.approx(4.0 * 0.01, rel=1e-6)  # gain times the way that is left
    np.testing.assert_allclose(back, -0.3 * action)


def test_every_target_can_be_reached_and_episodes_start_in_the_middle(task):
    rng = np.random.default_rng(0)
    start = task.start(rng, 3)
    np.testing.assert_allclose(tool_of(task, start.joint_position), np.tile([0.45, 0.31], (3, 1)), atol=1e-8)
    others = [index for index in range(6) if index not in (LIFT, ELBOW)]
    np.testing.assert_array_equal(start.joint_position[:, others], np.tile(UR5E.default_position[others], (3, 1)))
    targets = task.begin(rng, at(task, np.tile(task.start_position, (500, 1))))["target"]
    low, high = np.array(task.config.target_min), np.array(task.config.target_max)
    assert np.all((targets >= low) & (targets <= high)) and np.ptp(targets, axis=0) == pytest.approx(
        high - low, rel=0.1
    )
    for corner in ((low[0], low[1]), (low[0], high[1]), (high[0], low[1]), (high[0], high[1])):
        np.testing.assert_allclose(tool_of(task, task.inverse(np.array(corner))), corner, atol=1e-8)
    with pytest.raises(ConfigError, match="cannot bring the tool"):
        task.inverse(np.array([2.0, 0.0]))


def test_the_scripted_policy_is_precise_in_simulation_and_resting_is_not(task):
    class Rest:
        def reset(self):
            pass

        def act(self, observation):
            return np.zeros(2)

    reached = evaluate(task, task.scripted(), episodes=3, seed=1).figures()
    rested = evaluate(task, Rest(), episodes=3, seed=1).figures()
    assert reached["success"] == 1.0 and reached["final_error_mm"] < 2.0
    assert reached["total_reward_mean"] > max(400.0, rested["total_reward_mean"] + 50.0)
    assert rested["success"] < 1.0


def test_batches_and_other_array_libraries_give_the_same(task):
    rng = np.random.default_rng(3)
    position = task.start_position + rng.uniform(-0.1, 0.1, (4, 6))
    velocity, action = rng.uniform(-0.3, 0.3, (4, 6)), rng.uniform(-1.0, 1.0, (4, 2))
    episode = {"target": rng.uniform([0.34, 0.17], [0.56, 0.45], (4, 2)), "previous": rng.uniform(-1.0, 1.0, (4, 2))}
    batch = RobotState(np.zeros(4), position, velocity)
    other = RobotState(np.zeros(4), strict.asarray(position), strict.asarray(velocity))
    strange = {name: strict.asarray(value) for name, value in episode.items()}
    rows = [
        task.observe(
            RobotState(0.0, position[row], velocity[row]), {name: value[row] for name, value in episode.items()}
        )
        for row in range(4)
    ]
    np.testing.assert_allclose(task.observe(batch, episode), rows, atol=1e-12)
    np.testing.assert_allclose(np.asarray(task.observe(other, strange)), rows, atol=1e-12)
    plain = task.reference(action, batch, episode).value
    np.testing.assert_allclose(
        np.asarray(task.reference(strict.asarray(action), other, strange).value), plain, atol=1e-12
    )
    rewards = task.judge(action, batch, episode)[0].reward
    found = task.judge(strict.asarray(action), other, strange)[0].reward
    np.testing.assert_allclose(np.asarray(found), rewards, atol=1e-12)


def test_settings_out_of_range_are_refused():
    with pytest.raises(ConfigError, match="target_min"):
        Ur5eReacher2Config(target_min=(0.6, 0.2))
    with pytest.raises(ConfigError, match="joint_speed"):
        Ur5eReacher2Config(joint_speed_rad_s=2.0)
