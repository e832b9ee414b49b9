"""Scripted demonstrations on disk: only successes, the same from the same seed, disturbances beside the action."""

from __future__ import annotations

import dataclasses
import shutil

import numpy as np
import pytest

from hardware.errors import ConfigError
from robostack.contract import contract_of
from robostack.data.dataset import Dataset
from robostack.data.features import ACTION, DONE, STATE, SUCCESS
from robostack.data.layout import CONTRACT_FILE
from robostack.learning.imitation.demonstrations import demonstration, load_demonstrations, sha256_of
from robostack.learning.imitation.recording import DISTURBANCE, RecordingConfig, features_of, record_scripted
from robostack.tasks.hopper import HopperTask
from robostack.tasks.ur5e_reach import Ur5eReach

UNEVEN = RecordingConfig(episodes=3, seed=4, speed_spread=0.3, tremor=0.02, disturbance=0.05)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    root = tmp_path_factory.mktemp("recorded") / "reach"
    seen = []
    record_scripted(Ur5eReach(), root, UNEVEN, lambda kept, success: seen.append((kept, success)))
    return root, seen


def test_episodes_are_successes_with_the_contract_of_the_task(recorded):
    root, seen = recorded
    dataset, task = Dataset(root), Ur5eReach()
    assert dataset.num_episodes == 3 and dataset.fps == pytest.approx(25.0)
    assert seen[-1] == (3, True) and sum(success for _, success in seen) == 3
    assert dataset.contract == contract_of(task)
    columns = dataset.episode(1)
    assert columns[SUCCESS][-1] and not columns[SUCCESS][0]
    assert columns[DONE].sum() == 1 and columns[DONE][-1]
    assert columns[STATE].shape[1] == dataset.contract.num_observations == len(features_of(task)[STATE].names)
    assert np.all(np.abs(columns[ACTION]) <= 1.0)


def test_the_disturbance_is_beside_the_action_and_keeps_the_bounds(recorded):
    columns = Dataset(recorded[0]).episode(0)
    push = columns[DISTURBANCE]
    assert 0.005 < np.std(push) < 0.2
    assert np.all(np.abs(columns[ACTION] + push) <= 1.0 + 1e-6)
    steps = np.diff(push, axis=0)
    assert np.std(steps) < np.std(push)  # it drifts, it does not jump


def test_an_interrupted_recording_becomes_the_same(recorded, tmp_path):
    record_scripted(Ur5eReach(), tmp_path / "part", dataclasses.replace(UNEVEN, episodes=1))
    record_scripted(Ur5eReach(), tmp_path / "part", UNEVEN)
    first, _ = load_demonstrations(recorded[0])
    second, _ = load_demonstrations(tmp_path / "part")
    assert sha256_of(first) == sha256_of(second)
    assert sha256_of(first[:2]) != sha256_of(first[1:])


def test_demonstrations_hold_returns_and_may_leave_out_failures(recorded):
    columns = Dataset(recorded[0]).episode(0)
    whole = demonstration(columns)
    assert whole.success and whole.total_reward == pytest.approx(float(np.sum(columns["next.reward"])))
    failed = demonstration({**columns, SUCCESS: np.zeros_like(columns[SUCCESS])})
    assert not failed.success and failed.observation.shape == whole.observation.shape
    bare = demonstration({STATE: columns[STATE], ACTION: columns[ACTION]})
    assert bare.success and bare.total_reward == 0.0


def test_datasets_that_do_not_fit_are_refused(recorded, tmp_path):
    with pytest.raises(ConfigError, match="recorded at 25 Hz, task 'hopper'"):
        load_demonstrations(recorded[0], task="hopper")
    shutil.copytree(recorded[0], tmp_path / "bare")
    (tmp_path / "bare" / CONTRACT_FILE).unlink()
    with pytest.raises(ConfigError, match="--task"):
        load_demonstrations(tmp_path / "bare")
    assert len(load_demonstrations(tmp_path / "bare", task="ur5e-reach")[0]) == 3
    with pytest.raises(ConfigError, match="no scripted policy"):
        record_scripted(HopperTask(), tmp_path / "hop", UNEVEN)


@pytest.mark.parametrize("wrong", [{"episodes": 0}, {"speed_spread": 1.0}, {"tremor": -0.1}, {"correlation_s": 0.0}])
def test_impossible_operators_are_refused(wrong):
    with pytest.raises(ConfigError):
        dataclasses.replace(UNEVEN, **wrong)


def test_an_operator_that_never_succeeds_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr("robostack.learning.imitation.recording.ATTEMPTS_MAX", 1)
    with pytest.raises(ConfigError, match="in a row failed"):
        record_scripted(Ur5eReach(), tmp_path / "never", dataclasses.replace(UNEVEN, tremor=2.0))
