"""Demonstrations relative to an object: targets, segments and actions, by hand."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from hardware.errors import ConfigError
from robostack.contract import contract_of
from robostack.data.retargeting import Retargeting
from robostack.tasks.panda_peg_insert import PandaPegInsert
from robostack.tasks.panda_pick_cube import PandaPickCube
from robostack.tasks.panda_push import PandaPush
from robostack.tasks.task import Term

XYZ = ("x", "y", "z")


@pytest.fixture(scope="module")
def contract():
    """Tool and object in units of 0.1 m, the target in units of 0.05 m; actions of 0.03 m and a hand."""
    blocks = (
        *(Term("tool_from_start", XYZ, "1", "", -5, 5, 0.1), Term("tool_to_target", XYZ, "1", "", -3, 3, 0.05)),
        *(Term("tool_to_target_near", XYZ, "1", "", -1, 1, 0.01), Term("tool_to_cup", XYZ, "1", "", -6, 6, 0.1)),
    )
    action = (Term("tool_displacement", XYZ, "m", "", -1, 1, 0.03), Term("gripper", ("close",), "1", "", -1, 1))
    return dataclasses.replace(contract_of(PandaPickCube()), task="lift", observation=blocks, action=action)


def observation(tool, target, cup):
    """A vector of the contract, from positions relative to the tool's start [m]."""
    tool, target, cup = map(np.asarray, (tool, target, cup))
    return np.concatenate([tool / 0.1, (target - tool) / 0.05, np.zeros(3), (cup - tool) / 0.1])


def test_targets_and_places_are_in_metres_from_where_the_tool_began(contract):
    seen = observation([0.1, 0.0, 0.05], [0.12, 0.01, 0.05], [0.3, -0.2, -0.1])
    retargeting = Retargeting(contract)
    np.testing.assert_allclose(retargeting.target(seen), [0.12, 0.01, 0.05])
    np.testing.assert_allclose(retargeting.place(seen), [0.3, -0.2, -0.1])


def test_segments_are_cut_where_the_hand_closes_and_relative_to_the_object_there(contract):
    cup = np.array([0.1, 0.0, -0.1])
    tools = [np.array([0.02 * k, 0.0, 0.0]) for k in range(4)]
    # The cup slips by 5 mm before the hand closes at the third step.
    cups = [cup, cup, cup + np.array([0.005, 0.0, 0.0]), cup]
    seen = np.stack([observation(tool, tool, place) for tool, place in zip(tools, cups, strict=True)])
    actions = np.array([[1, 0, 0, -1], [1, 0, 0, -1], [0, 0, 1, 1], [0, 0, 1, 1]], dtype=float)
    first, second = Retargeting(contract).segments(seen, actions)
    np.testing.assert_allclose(first.target, [[0.03 - 0.1, 0, 0.1], [0.05 - 0.1, 0, 0.1]])
    np.testing.assert_allclose(second.target, [[0.04 - 0.105, 0, 0.13], [0.06 - 0.105, 0, 0.13]])
    assert first.rest.tolist() == [[0, 0, 0, -1]] * 2
    assert second.rest.tolist() == [[0, 0, 0, 1]] * 2


def test_the_action_is_the_displacement_to_the_goal_straight_and_no_longer_than_allowed(contract):
    retargeting, rest = Retargeting(contract), np.array([0.0, 0.0, 0.0, 1.0])
    seen = observation([0.0, 0.0, 0.0], [0.01, 0.0, 0.0], [0.1, 0.1, 0.1])
    action, arrives = retargeting.towards(np.array([0.025, 0.006, 0.0]), seen, rest)
    np.testing.assert_allclose(action, [0.5, 0.2, 0.0, 1.0])
    assert arrives
    action, arrives = retargeting.towards(np.array([0.07, 0.03, 0.0]), seen, rest)
    np.testing.assert_allclose(action, [1.0, 0.5, 0.0, 1.0])
    assert not arrives


def test_noise_is_on_the_displacement_only_and_within_bounds(contract):
    retargeting, rng = Retargeting(contract), np.random.default_rng(0)
    found = np.stack([retargeting.noisy(np.array([0.0, 0.0, 0.0, 1.0]), 0.2, rng) for _ in range(2000)])
    np.testing.assert_allclose(found[:, :3].std(axis=0), 0.2, rtol=0.1)
    assert (found[:, 3] == 1.0).all()
    assert np.abs(retargeting.noisy(np.array([1.0, -1.0, 0.0, 0.0]), 0.5, rng)).max() <= 1.0


def test_tasks_that_can_be_moved_and_those_that_cannot():
    for task in (PandaPickCube(), PandaPegInsert()):
        Retargeting(contract_of(task))
    with pytest.raises(ConfigError, match="has no tool_from_start, tool_to_target, tool_to_<object>"):
        Retargeting(contract_of(PandaPush()))
    turning = dataclasses.replace(PandaPickCube().config.motion, turn_rad=0.1)
    task = PandaPickCube(dataclasses.replace(PandaPickCube().config, motion=turning))
    with pytest.raises(ConfigError, match="also acts by tool_turn"):
        Retargeting(contract_of(task))
