"""New demonstrations from a few: each succeeds when replayed, is labelled, and lies where it is wanted."""

from __future__ import annotations

import dataclasses
import json
import shutil

import numpy as np
import pytest

from hardware.errors import ConfigError, ContractMismatchError
from robostack.cli.data import main
from robostack.data import augmentation
from robostack.data.augmentation import IS_AUGMENTED, SOURCE_EPISODE, START_SEED, AugmentConfig, augment, replays
from robostack.data.check import check
from robostack.data.dataset import Dataset
from robostack.data.features import ACTION, IMAGES, STATE, SUCCESS
from robostack.learning.imitation.recording import RecordingConfig, record_scripted
from robostack.make import make_env
from robostack.tasks.panda_peg_insert import PandaPegInsert
from robostack.tasks.panda_pick_cube import PandaPickCube

TASK = PandaPickCube()


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shown") / "set"
    record_scripted(TASK, folder, RecordingConfig(episodes=3, seed=3, speed_spread=0.3))
    return folder


@pytest.fixture(scope="module")
def made(shown, tmp_path_factory):
    folder = tmp_path_factory.mktemp("made") / "set"
    return folder, augment(TASK, shown, folder, AugmentConfig(episodes=4, candidates=2))


def test_each_one_succeeds_again_when_it_is_replayed(made):
    folder, report = made
    dataset, env = Dataset(folder), make_env(TASK)
    assert (report.shown, report.made, dataset.num_episodes) == (3, 4, 7)
    assert report.attempts >= 4 and report.acceptance == 4 / report.attempts
    for index in range(3, 7):
        columns = dataset.episode(index)
        assert replays(env, columns)
        stopped = {**columns, ACTION: np.concatenate([columns[ACTION][:3], np.zeros_like(columns[ACTION][3:])])}
        assert not replays(env, stopped), "the same start alone is no success"
    assert check(folder).ok


def test_the_shown_ones_are_kept_and_every_episode_says_where_it_is_from(made, shown):
    folder, report = made
    dataset, before = Dataset(folder), Dataset(shown)
    for index in range(3):
        old, new = before.episode(index), dataset.episode(index)
        for name in (STATE, ACTION, SUCCESS):
            assert np.array_equal(old[name], new[name])
        assert not new[IS_AUGMENTED].any() and set(new[SOURCE_EPISODE]) == {index} and set(new[START_SEED]) == {-1}
    used = dict.fromkeys(range(3), 0)
    for index in range(3, 7):
        columns = dataset.episode(index)
        assert columns[IS_AUGMENTED].all() and len(set(columns[START_SEED])) == 1
        used[int(columns[SOURCE_EPISODE][0])] += 1
    assert {index: count for index, count in used.items() if count} == report.used


def test_what_was_made_is_at_other_places_than_what_was_shown(made):
    dataset = Dataset(made[0])
    first = np.stack([dataset.episode(index)[STATE][0] for index in range(7)])
    apart = np.linalg.norm(first[:, None] - first[None], axis=-1) + 1e9 * np.eye(7)
    assert apart.min() > 0.05


def test_going_on_makes_the_same_as_going_through(made, shown, tmp_path):
    config = AugmentConfig(episodes=3, candidates=2)
    augment(TASK, shown, tmp_path / "set", config)
    augment(TASK, shown, tmp_path / "set", dataclasses.replace(config, episodes=4))
    for index in range(7):
        one, other = Dataset(made[0]).episode(index), Dataset(tmp_path / "set").episode(index)
        assert all(np.array_equal(one[name], other[name]) for name in one)


def test_what_fails_is_not_kept(shown, tmp_path, monkeypatch):
    monkeypatch.setattr(augmentation, "FAILURES_MAX", 2)
    blind = dataclasses.replace(TASK.config, lift_m=0.3)  # nothing that was shown lifts it so far
    with pytest.raises(ConfigError, match="2 attempts in a row failed"):
        augment(PandaPickCube(blind), shown, tmp_path / "set", AugmentConfig(episodes=1, candidates=1))
    assert Dataset(tmp_path / "set").num_episodes == 3


class FailsOnTheLeft:
    """A policy that does what the script does, where the cube lies to the right of the tool."""

    def __init__(self) -> None:
        self.script, self.act_once = TASK.scripted(), True

    def reset(self) -> None:
        self.first = None

    def act(self, observation):
        self.first = observation if self.first is None else self.first
        action = self.script.act(observation)
        return action if self.first[17 - 4] < 0.0 else 0.0 * action


def test_with_a_policy_they_are_made_where_it_fails(shown, tmp_path):
    assert [term.name for term in TASK.observation][6] == "tool_to_cube"
    config = AugmentConfig(episodes=2, candidates=6)
    report = augment(TASK, shown, tmp_path / "set", config, FailsOnTheLeft())
    assert report.policy_starts >= report.policy_failures >= report.attempts
    dataset = Dataset(tmp_path / "set")
    assert all(dataset.episode(index)[STATE][0, 13] >= 0.0 for index in (3, 4))


def test_what_cannot_be_used_is_refused(shown, tmp_path):
    with pytest.raises(ContractMismatchError):
        augment(PandaPegInsert(), shown, tmp_path / "set", AugmentConfig(episodes=1))
    for wrong in ({"episodes": 0}, {"candidates": 0}, {"noise": 0.6}):
        with pytest.raises(ConfigError):
            AugmentConfig(**wrong)


def test_images_are_made_too(tmp_path):
    record_scripted(TASK, tmp_path / "seen", RecordingConfig(episodes=1, seed=3, image_size=32))
    augment(TASK, tmp_path / "seen", tmp_path / "set", AugmentConfig(episodes=1, candidates=1))
    dataset = Dataset(tmp_path / "set")
    key = IMAGES + TASK.cameras[0]
    images = list(dataset.images(1, key))
    assert len(images) == len(dataset.episode(1)["index"]) and images[0].shape == (32, 32, 3)
    assert not np.array_equal(images[0], next(iter(dataset.images(0, key)))), "the cube lies elsewhere"


def test_the_command_line(shown, tmp_path, capsys):
    shutil.copytree(shown, tmp_path / "shown")
    arguments = ["augment", str(tmp_path / "shown"), str(tmp_path / "set"), "--episodes", "1"]
    assert main([*arguments, "--candidates", "1", "--json"]) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (result["made"], result["shown"]) == (1, 3)
    assert Dataset(tmp_path / "set").num_episodes == 4
