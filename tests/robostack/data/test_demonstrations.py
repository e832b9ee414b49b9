"""Transitions of a dataset, where each episode ends, and what bootstraps."""

from __future__ import annotations

import numpy as np
import pytest

from hardware.errors import ConfigError, DatasetError, UnknownNameError
from robostack.data.demonstrations import read_demonstrations
from robostack.data.features import (
    ACTION,
    DONE,
    IS_INTERVENTION,
    REWARD,
    STATE,
    SUCCESS,
    TRUNCATED,
    Feature,
    vector_feature,
)
from robostack.data.writer import DatasetWriter

FLAG, NUMBER = Feature("bool", (1,), None), Feature("float32", (1,), None)
ENVIRONMENT = "observation.environment_state"


def record(root, columns, episodes, task="pick"):
    """`episodes`: for each a list of the further columns of its rows; the state counts rows over all episodes."""
    features = {STATE: vector_feature("x", "y"), ACTION: vector_feature("u"), **columns}
    count = 0
    with DatasetWriter(root, fps=10.0, features=features, robot_type="x") as writer:
        for rows in episodes:
            for row in rows:
                writer.add({STATE: [count, -count], ACTION: [10 * count], **row}, task)
                count += 1
            writer.finish_episode()
    return root


def test_the_end_of_an_episode(tmp_path):
    """Three rows each: a success; an end without one; no end at all."""
    columns = {REWARD: NUMBER, DONE: FLAG, SUCCESS: FLAG}

    def rows(done, success):
        return [{REWARD: k, DONE: done and k == 2, SUCCESS: success and k == 2} for k in range(3)]

    root = record(tmp_path / "d", columns, [rows(True, True), rows(True, False), rows(False, False)])
    found = read_demonstrations(root)
    # The last rows of the second and third episode have no recorded next observation and no value of their own.
    np.testing.assert_array_equal(found.observation[:, 0], [0, 1, 2, 3, 4, 6, 7])
    np.testing.assert_array_equal(found.next_observation[:, 0], [1, 2, 2, 4, 5, 7, 8])
    np.testing.assert_array_equal(found.action[:, 0], 10 * found.observation[:, 0])
    np.testing.assert_array_equal(found.reward, [0, 1, 2, 0, 1, 0, 1])
    np.testing.assert_array_equal(found.terminated, [0, 0, 1, 0, 0, 0, 0])
    np.testing.assert_array_equal(found.truncated, [0, 0, 0, 0, 1, 0, 1])
    np.testing.assert_array_equal(found.episode, [0, 0, 0, 1, 1, 2, 2])
    assert len(found) == 7 and found.weight.tolist() == [1.0] * 7


def test_rows_after_the_end_are_left_out(tmp_path):
    rows = [{DONE: k == 1, TRUNCATED: False} for k in range(4)]
    found = read_demonstrations(record(tmp_path / "d", {DONE: FLAG, TRUNCATED: FLAG}, [rows]))
    assert found.observation[:, 0].tolist() == [0, 1] and found.terminated.tolist() == [False, True]


def test_the_dataset_says_that_it_was_cut(tmp_path):
    rows = [{DONE: k == 2, TRUNCATED: k == 2} for k in range(3)]
    found = read_demonstrations(record(tmp_path / "d", {DONE: FLAG, TRUNCATED: FLAG}, [rows]))
    assert found.truncated.tolist() == [False, True] and not found.terminated.any()


def test_without_a_reward_success_is_one(tmp_path):
    rows = [{SUCCESS: k == 2} for k in range(3)]
    found = read_demonstrations(record(tmp_path / "d", {SUCCESS: FLAG}, [rows, rows]))
    assert found.reward.tolist() == [0.0, 0.0, 0.0, 0.0]  # not ended by `next.done`: the last row is not a transition
    rows = [{SUCCESS: k == 2, DONE: k == 2} for k in range(3)]
    found = read_demonstrations(record(tmp_path / "e", {SUCCESS: FLAG, DONE: FLAG}, [rows]))
    assert found.reward.tolist() == [0.0, 0.0, 1.0] and found.terminated[-1]


def test_transitions_have_source_and_weight(tmp_path):
    columns = {DONE: FLAG, IS_INTERVENTION: FLAG, ENVIRONMENT: vector_feature("goal")}
    rows = [{DONE: k == 1, IS_INTERVENTION: k == 1, ENVIRONMENT: [7.0]} for k in range(2)]
    root = record(tmp_path / "d", columns, [rows, rows])
    found = read_demonstrations(root, (ENVIRONMENT, STATE), episode_weights=np.array([3.0, 1.0]))
    assert found.observation.tolist() == [[7, 0, 0], [7, 1, -1], [7, 2, -2], [7, 3, -3]]
    one = list(found.transitions())
    assert [item.source for item in one] == ["demo", "intervention"] * 2
    assert [item.weight for item in one] == [1.5, 1.5, 0.5, 0.5]
    assert one[1].terminated is True and one[0].next_observation.tolist() == [7, 1, -1]
    assert read_demonstrations(root, episodes=[1]).observation[:, 0].tolist() == [2, 3]


def test_what_is_refused(tmp_path):
    root = record(tmp_path / "d", {"complementary_info.note": Feature("string", (1,), None)},
                  [[{"complementary_info.note": "one row"}]])  # fmt: skip
    with pytest.raises(UnknownNameError, match=r"observation\.state"):
        read_demonstrations(root, ("observation.stat",))
    with pytest.raises(UnknownNameError, match="column of numbers"):
        read_demonstrations(root, ("complementary_info.note",))
    with pytest.raises(ConfigError, match="2 weights for 1"):
        read_demonstrations(root, episode_weights=np.ones(2))
    with pytest.raises(DatasetError, match="no transitions"):
        read_demonstrations(root)
