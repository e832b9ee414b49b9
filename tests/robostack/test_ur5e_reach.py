"""The reach task: hand-computed observation, reward and success; the mapping from action to joint speeds; batches."""

from __future__ import annotations

import dataclasses

import array_api_strict as strict
import numpy as np
import pytest

from controllers.rotations import rotation_error
from hardware.errors import ConfigError, NonFiniteError
from hardware.records import RobotState
from hardware.ur5e import SCENE, UR5E
from robostack.contract import contract_of
from robostack.evaluation import evaluate
from robostack.tasks.task import TASKS
from robostack.tasks.ur5e_reach import DYNAMICS, PAST, WALL_MARGIN_M, Ur5eReach, Ur5eReachConfig
from sim.mujoco_engine import MujocoEngine


@pytest.fixture(scope="module")
def task():
    return Ur5eReach()


def state_at(position, velocity=None):
    return RobotState(0.0, position, np.zeros_like(position) if velocity is None else velocity)


def goal(task, state, offset):
    """An episode whose target is the tool plus `offset` [m]."""
    tool = task.chain.forward(state.joint_position)[0]
    zeros = np.zeros((*tool.shape[:-1], PAST * len(task.action[0].elements)))
    distance = np.full(tool.shape[:-1], float(np.linalg.norm(offset)))
    return {"target": tool + offset, "distance": distance, "actions": zeros, "held_s": np.zeros_like(distance)}


def block(task, observation, name):
    start = 0
    for term in task.observation:
        if term.name == name:
            return observation[..., start : start + len(term.elements)]
        start += len(term.elements)
    raise AssertionError(name)


def test_registered_with_a_contract():
    assert TASKS.load("ur5e-reach") is Ur5eReach
    contract = contract_of(Ur5eReach())
    assert contract.control_period_s == 0.04 and contract.num_actions == 3
    assert round(contract.control_period_s / Ur5eReach().timestep_s) == 20


def test_observation_by_hand(task):
    state = state_at(np.array(UR5E.default_position), np.array([0.1, 0.0, 0.0, 0.0, 0.0, 0.0]))
    episode = goal(task, state, np.array([0.03, -0.6, 0.003]))
    episode["actions"] = np.array([0.5, -0.5, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0])
    observation = task.observe(state, episode)
    assert observation.shape == (sum(len(term.elements) for term in task.observation),)
    np.testing.assert_allclose(block(task, observation, "tool_to_target"), [0.1, -2.0, 0.01])
    np.testing.assert_allclose(block(task, observation, "tool_to_target_near"), [0.5, -1.0, 0.05])
    # The base turns about z at 0.1 rad/s: the tool moves at w x r.
    x, y, _ = task.chain.forward(state.joint_position)[0]
    expected = np.array([-0.1 * y, 0.1 * x, 0.0]) / task.config.tool_speed_m_s
    np.testing.assert_allclose(block(task, observation, "tool_velocity"), expected, atol=1e-12)
    np.testing.assert_array_equal(block(task, observation, "previous_actions"), episode["actions"])
    # A lag of 0.11 s is 2.75 periods: 12 mm times (a1 + a2 + 0.75 a3) are under way.
    ahead = np.array([0.03 - 0.012 * 1.5, -0.06, 0.003 - 0.012]) / 0.06
    np.testing.assert_allclose(block(task, observation, "target_ahead"), ahead)


def test_reward_by_hand(task):
    state = state_at(np.array(UR5E.default_position))
    episode = goal(task, state, np.array([0.0, 0.03, 0.0]))
    episode["distance"] = np.array(0.036)
    outcome, after = task.judge(np.array([0.0, 1.0, 0.0]), state, episode)
    config = task.config
    progress, near, change = 0.006 / 0.012, 0.03 / (0.03 + config.near_m), 1.0 / 3.0
    assert float(outcome.reward) == pytest.approx(
        progress - config.near_weight * near - config.action_change_penalty * change
    )
    assert float(after["distance"]) == pytest.approx(0.03)
    np.testing.assert_array_equal(after["actions"], [0.0, 1.0, 0.0, *[0.0] * 9])
    assert not outcome.success and not outcome.terminated


def test_success_needs_the_tool_to_stay(task):
    state = state_at(np.array(UR5E.default_position))
    near, far = (goal(task, state, np.array([offset, 0.0, 0.0])) for offset in (0.0099, 0.0101))
    successes, episode = [], near
    for step in range(13):
        episode = {**episode, "target": far["target"] if step == 0 else near["target"]}
        outcome, episode = task.judge(np.zeros(3), state, episode)
        successes.append(bool(outcome.success))
    assert successes == [False] * 13  # 12 periods of 40 ms inside are 0.48 s
    outcome, episode = task.judge(np.zeros(3), state, episode)
    assert outcome.success and float(episode["held_s"]) == pytest.approx(0.52)
    _, episode = task.judge(np.zeros(3), state, {**episode, "target": far["target"]})
    assert episode["held_s"] == 0.0


def test_starts_and_targets_keep_their_promises(task):
    rng = np.random.default_rng(0)
    start = task.start(rng, 200)
    tool, rotation = task.chain.forward(start.joint_position)
    low, high = np.array(task.config.target_min), np.array(task.config.target_max)
    assert np.all((tool > low - 1e-5) & (tool < high + 1e-5))
    np.testing.assert_allclose(rotation[..., 2], np.broadcast_to([0.0, 0.0, -1.0], tool.shape), atol=1e-5)
    assert not start.joint_velocity.any()
    assert len(np.unique(start.joint_position, axis=0)) > 50
    episode = task.begin(rng, state_at(start.joint_position))
    distance = np.linalg.norm(episode["target"] - tool, axis=-1)
    assert distance.min() >= task.config.target_distance_min_m
    assert np.all((episode["target"] >= low) & (episode["target"] <= high))
    np.testing.assert_allclose(episode["distance"], distance)


def test_same_seed_same_episodes():
    first, second = (Ur5eReach() for _ in range(2))
    starts = [task.start(np.random.default_rng(5), 3).joint_position for task in (first, second)]
    np.testing.assert_array_equal(*starts)
    goals = [task.begin(np.random.default_rng(5), state_at(starts[0]))["target"] for task in (first, second)]
    np.testing.assert_array_equal(*goals)


@pytest.mark.parametrize("action", [[1.0, 0.0, 0.0], [0.0, -0.5, 0.2], [0.3, 0.4, -1.0]])
def test_tool_twist_moves_the_tool_that_way_and_keeps_it_pointing_down(task, action):
    state = state_at(np.array(UR5E.default_position))
    reference = task.reference(np.array(action), state, goal(task, state, np.ones(3)))
    assert reference.mode == "velocity" and reference.horizon_s == 0.04
    moved = task.chain.jacobian(state.joint_position) @ reference.value
    np.testing.assert_allclose(moved[:3], 0.3 * np.array(action), atol=0.012)  # damping costs a few percent
    np.testing.assert_allclose(moved[3:], 0.0, atol=0.03)


def test_tool_twist_takes_back_a_tilt(task):
    tilted = np.array(UR5E.default_position)
    tilted[3] += 0.1
    state = state_at(tilted)
    down = task.chain.forward(UR5E.default_position)[1]
    before = rotation_error(down, task.chain.forward(tilted)[1])
    reference = task.reference(np.zeros(3), state, goal(task, state, np.ones(3)))
    after = rotation_error(down, task.chain.forward(tilted + 0.04 * reference.value)[1])
    assert np.linalg.norm(before) == pytest.approx(0.1)
    assert np.linalg.norm(after) == pytest.approx(0.1 * (1 - 0.04 * task.config.orientation_gain), rel=0.05)


def test_tool_slows_down_towards_the_walls(task):
    """At the walls less the margin, no action leads further out, and inward ones are free."""
    corner = np.array(UR5E.workspace_max) - WALL_MARGIN_M
    down = task.chain.forward(UR5E.default_position)[1]
    position, found = task.chain.inverse(corner, down, np.array(UR5E.default_position))
    assert found
    state = state_at(position)
    episode, jacobian = goal(task, state, np.ones(3)), task.chain.jacobian(position)
    outward = jacobian @ task.reference(np.ones(3), state, episode).value
    np.testing.assert_allclose(outward[:3], 0.0, atol=1e-5)
    inward = jacobian @ task.reference(-np.ones(3), state, episode).value
    assert np.all(inward[:3] < -0.15)


def test_joint_speeds_keep_their_direction_within_limits():
    task = Ur5eReach(Ur5eReachConfig(action="joint_velocity", joint_speed_rad_s=10.0))
    state = state_at(np.array(UR5E.default_position))
    action = np.array([0.1, 0.0, 1.0, -0.5, 0.0, 0.0])
    reference = task.reference(action, state, goal(task, state, np.ones(3)))
    np.testing.assert_allclose(reference.value, action * 0.9 * np.pi, rtol=1e-12)
    gentle = task.reference(0.1 * action, state, goal(task, state, np.ones(3)))
    np.testing.assert_allclose(gentle.value, action)


@pytest.mark.parametrize("mapping", ["tool_twist", "joint_velocity"])
def test_batches_and_other_array_libraries_give_the_same(mapping):
    task = Ur5eReach(Ur5eReachConfig(action=mapping))
    rng = np.random.default_rng(3)
    position = task.start(rng, 4).joint_position
    velocity = rng.normal(0.0, 0.2, size=(4, 6))
    action = rng.uniform(-1, 1, size=(4, len(task.action[0].elements)))
    moved = position + 0.01 * rng.standard_normal((4, 6))
    episode = task.begin(rng, state_at(position))

    def steps(convert, index=...):
        def pick(array):
            return convert(np.array(array[index]))

        state, after = (RobotState(0.0, pick(at), pick(velocity)) for at in (position, moved))
        memory = {name: pick(value) for name, value in episode.items()}
        outcome, memory_after = task.judge(pick(action), after, memory)
        return [
            task.observe(state, memory),
            task.reference(pick(action), state, memory).value,
            outcome.reward,
            outcome.success,
            task.observe(after, memory_after),
            task.distance(after, memory_after),
        ]

    together = steps(np.asarray)
    for index in range(4):
        for whole, single in zip(together, steps(np.asarray, index), strict=True):
            np.testing.assert_allclose(whole[index], single, atol=1e-12)
    for whole, other in zip(together, steps(strict.asarray), strict=True):
        np.testing.assert_allclose(np.asarray(other), whole, atol=1e-9)
    drawn = task.begin(np.random.default_rng(1), RobotState(0.0, strict.asarray(position), strict.asarray(velocity)))
    expected = task.begin(np.random.default_rng(1), state_at(position))
    np.testing.assert_allclose(np.asarray(drawn["target"]), expected["target"], atol=1e-12)


def test_observations_stay_within_their_bounds(task):
    rng = np.random.default_rng(0)
    position, velocity = rng.uniform(-3, 3, size=(500, 6)), rng.uniform(-3.14, 3.14, size=(500, 6))
    observation = task.observe(state_at(position, velocity), task.begin(rng, state_at(position)))
    low = np.concatenate([[term.low] * len(term.elements) for term in task.observation])
    high = np.concatenate([[term.high] * len(term.elements) for term in task.observation])
    assert np.all((observation >= low) & (observation <= high))


def test_a_state_changed_in_place_is_not_mistaken_for_the_last_one(task):
    position = np.array(UR5E.default_position)
    episode = goal(task, state_at(position), np.array([0.1, 0.0, 0.0]))
    assert task.distance(state_at(position), episode) == pytest.approx(0.1)
    position += 0.05
    assert task.distance(state_at(position), episode) == pytest.approx(
        np.linalg.norm(episode["target"] - task.chain.forward(position)[0])
    )


def test_the_engine_knows_every_dynamics_parameter():
    engine = MujocoEngine(UR5E, SCENE, 1, 1, 0.002, 0.06)
    engine.set_dynamics({entry.name: np.array([entry.high]) for entry in DYNAMICS})
    engine.set_dynamics({entry.name: np.array([entry.low]) for entry in DYNAMICS})


@pytest.mark.parametrize("mapping", ["tool_twist", "joint_velocity"])
def test_scripted_policy_reaches(mapping):
    task = Ur5eReach(Ur5eReachConfig(action=mapping))
    result = evaluate(task, task.scripted(), episodes=10, seed=4)
    figures = result.figures()
    assert figures["success"] == 1.0
    assert figures["final_error_mm"] < 2.0 and figures["time_to_reach_s"] < 2.5


def test_scripted_policy_refuses_nonsense(task):
    with pytest.raises(NonFiniteError):
        task.scripted().act(np.full(contract_of(task).num_observations, np.inf))


@pytest.mark.parametrize("change", [{"action": "thoughts"}, {"target_min": (0.6, 0.0, 0.2)}])
def test_configuration_is_checked(change):
    with pytest.raises(ConfigError):
        dataclasses.replace(Ur5eReachConfig(), **change)
