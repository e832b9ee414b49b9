"""Receding-horizon execution: when chunks are computed, from what, and when they are used."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from hardware.errors import ConfigError, NonFiniteError
from robostack.contract import contract_of
from robostack.policies.chunked import ChunkedPolicy, ChunkSettings, increments_of
from robostack.tasks.ur5e_reach import Ur5eReach

REACH = contract_of(Ur5eReach())
CONTRACT = dataclasses.replace(REACH, action=(dataclasses.replace(REACH.action[0], unit="m"),))
"""Actions are places, not velocities, so that a chunk is a plan in time and nothing is made up for."""
OBSERVATIONS, ACTIONS = CONTRACT.num_observations, CONTRACT.num_actions


class Counting:
    """A model whose n-th chunk holds 100 n + k in step k; remembers what it was asked."""

    def __init__(self, settings):
        self.contract, self.settings, self.cameras, self.image_size = CONTRACT, settings, (), None
        self.histories, self.noises = [], []

    def predict(self, history, noise, images=None):
        self.histories.append(history)
        self.noises.append(noise)
        steps = 100.0 * len(self.histories) + np.arange(self.settings.horizon)
        return np.broadcast_to(steps[:, None], noise.shape).copy()


def run(settings, steps):
    policy = ChunkedPolicy(model := Counting(settings))
    return [float(policy.act(np.full(OBSERVATIONS, float(step)))[0]) for step in range(steps)], model


def test_a_chunk_is_executed_for_so_many_steps():
    found, model = run(ChunkSettings(past=1, horizon=4, executed=3, blend_steps=0), 7)
    assert found == [100, 101, 102, 200, 201, 202, 300]
    assert [float(history[0, 0, 0]) for history in model.histories] == [0, 3, 6]


def test_a_delayed_chunk_is_used_from_the_step_of_its_delay():
    found, model = run(ChunkSettings(past=1, horizon=8, executed=3, blend_steps=0, delay_steps=2), 9)
    # computed at steps 0, 3, 6; the second is used from step 5, from its action 2; the third from step 8
    assert found == [100, 101, 102, 103, 104, 202, 203, 204, 302]
    assert [float(history[0, 0, 0]) for history in model.histories] == [0, 3, 6]


def test_a_new_chunk_is_faded_in():
    found, _ = run(ChunkSettings(past=1, horizon=4, executed=2, blend_steps=1), 3)
    assert found == [100, 101, (102 + 200) / 2]


def test_history_repeats_the_first_observation_and_forgets_at_reset():
    settings = ChunkSettings(past=3, horizon=2, executed=1, blend_steps=0)
    policy = ChunkedPolicy(model := Counting(settings))
    for step in range(3):
        policy.act(np.full(OBSERVATIONS, float(step)))
    assert [history[0, :, 0].tolist() for history in model.histories] == [[0, 0, 0], [0, 0, 1], [0, 1, 2]]
    policy.reset()
    assert policy.act(np.full(OBSERVATIONS, 7.0))[0] == 400
    assert model.histories[-1][0, :, 0].tolist() == [7, 7, 7]


def test_noise_follows_from_the_seed_and_differs_between_chunks():
    def noises(seed):
        policy = ChunkedPolicy(model := Counting(ChunkSettings(past=1, horizon=2, executed=1)), seed=seed)
        for _ in range(2):
            policy.act(np.zeros(OBSERVATIONS))
        return model.noises

    first, again, other = noises(1), noises(1), noises(2)
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other) and not np.array_equal(first[0], first[1])


def test_a_batch_runs_in_step():
    policy = ChunkedPolicy(model := Counting(ChunkSettings(past=2, horizon=4, executed=2)))
    assert policy.act(np.zeros((5, OBSERVATIONS))).shape == (5, ACTIONS)
    assert model.histories[0].shape == (5, 2, OBSERVATIONS)
    with pytest.raises(ConfigError, match="reset"):
        policy.act(np.zeros((4, OBSERVATIONS)))


@pytest.mark.parametrize(
    "wrong", [{"executed": 9}, {"executed": 7, "delay_steps": 2}, {"past": 0}, {"horizon": 0}, {"blend_steps": -1}]
)
def test_settings_that_leave_a_gap_are_refused(wrong):
    with pytest.raises(ConfigError):
        ChunkSettings(**{"horizon": 8, "executed": 4, **wrong})


def test_settings_may_change_execution_but_not_shape():
    model = Counting(ChunkSettings(past=1, horizon=8, executed=4))
    assert ChunkedPolicy(model, dataclasses.replace(model.settings, executed=2)).settings.executed == 2
    with pytest.raises(ConfigError, match="past and horizon"):
        ChunkedPolicy(model, dataclasses.replace(model.settings, past=2))


def test_numbers_that_are_not_finite_raise():
    model = Counting(ChunkSettings(past=1, horizon=8, executed=4))
    with pytest.raises(NonFiniteError, match="observation"):
        ChunkedPolicy(model).act(np.full(OBSERVATIONS, np.inf))
    model.predict = lambda history, noise, images: np.full_like(noise, np.nan)
    with pytest.raises(NonFiniteError, match="chunk"):
        ChunkedPolicy(model).act(np.zeros(OBSERVATIONS))


def test_rates_and_displacements_are_increments():
    low, high = increments_of(REACH)
    assert low.tolist() == [-1.0] * 3 and high.tolist() == [1.0] * 3
    assert np.all(np.isnan(increments_of(CONTRACT)[0]))
    moved = dataclasses.replace(CONTRACT.action[0], name="tool_displacement")
    low, _ = increments_of(dataclasses.replace(CONTRACT, action=(*CONTRACT.action, moved)))
    assert np.isnan(low).tolist() == [True] * 3 + [False] * 3


def test_a_delayed_policy_of_velocities_makes_up_for_what_it_could_not_do():
    settings = ChunkSettings(past=1, horizon=8, executed=3, blend_steps=0, delay_steps=2)
    model = Counting(settings)
    model.contract = REACH
    plans = iter([np.full((1, 8, 3), 0.1), np.full((1, 8, 3), 0.3), np.zeros((1, 8, 3))])
    model.predict = lambda history, noise, images: next(plans)
    policy = ChunkedPolicy(model)
    found = [float(policy.act(np.zeros(OBSERVATIONS))[0]) for _ in range(7)]
    # the second chunk, of step 3, is used from step 5: 2 x (0.3 - 0.1) are missing
    assert found == pytest.approx([0.1] * 5 + [0.7, 0.3])
