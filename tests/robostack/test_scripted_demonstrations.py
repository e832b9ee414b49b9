"""What a hand-written policy shows a learner before its first step: marked as shown, with nominal or drawn dynamics."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from hardware.errors import ConfigError
from robostack.checkpoint import load_arrays
from robostack.env import bounds
from robostack.learning import scripted_demonstrations
from robostack.learning.learner import Transition
from robostack.learning.scripted_demonstrations import demonstrate
from robostack.learning.training import TrainConfig, train
from robostack.tasks.hopper import HopperTask
from robostack.tasks.panda_push import PandaPush
from robostack.tasks.with_history import WithHistory


class Watching:
    """Keeps what it is shown."""

    def __init__(self, privileged: int) -> None:
        self.demos: list[Transition] = []
        self.config = SimpleNamespace(privileged=privileged)

    def observe(self, transition: Transition) -> None:
        self.demos.append(transition)


def short_push() -> WithHistory:
    task = WithHistory(PandaPush(), 3)
    task.episode_s = 0.2
    return task


def test_it_is_shown_nominal_dynamics_and_actions_of_the_script(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scripted_demonstrations, "TOGETHER", 2)
    task, learner = short_push(), Watching(17)
    share = demonstrate(learner, task, 3, seed=0)  # type: ignore[arg-type]
    assert share == 0.0, "nothing is pushed in 0.2 s"
    assert len(learner.demos) == 2 * 10, "two simulations, twice, for three episodes of ten steps"
    nominal = [2.0 * (item.nominal - item.low) / (item.high - item.low) - 1.0 for item in task.dynamics]
    low, high = bounds(task.action)
    differences = []
    for shown in learner.demos:
        assert shown.source == "demo" and np.asarray(shown.observation).shape == (2, len(bounds(task.observation)[0]))
        np.testing.assert_allclose(shown.privileged, [nominal] * 2, atol=1e-12)
        assert (shown.action >= low).all() and (shown.action <= high).all()
        differences.append(shown.action - task.scripted().act(shown.observation))  # type: ignore[union-attr]
    inside = np.abs(np.concatenate([shown.action for shown in learner.demos])) < 0.99
    assert 0.05 < np.concatenate(differences)[inside].std() < 0.15


def test_dynamics_of_the_whole_range_can_be_shown() -> None:
    task, learner = short_push(), Watching(17)
    demonstrate(learner, task, 50, seed=0, randomize=True)  # type: ignore[arg-type]
    shown = np.asarray(learner.demos[0].privileged)
    assert shown.shape == (50, 17) and (shown.std(axis=0) > 0.4).all() and np.abs(shown).max() <= 1.0


def test_a_run_is_shown_them_once_and_they_are_not_counted(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    monkeypatch.setattr(scripted_demonstrations, "TOGETHER", 2)
    small = {"hidden": [8], "batch_size": 8, "learning_starts": 10, "replay_size": 1000, "demo_size": 100}
    config = TrainConfig(
        "panda-push", tmp_path, "sac", steps=40, simulations=4, evaluate_every=0, episode_s=0.2,
        scripted_demonstrations=2, settings={**small, "privileged": 17},
    )  # fmt: skip
    last = train(config)
    assert int(load_arrays(last, "demonstrations")[0]["total"][0]) == 2 * 10
    assert int(load_arrays(last, "replay")[0]["total"][0]) == 40
    last = train(TrainConfig("panda-push", tmp_path, steps=80), resume=True)
    assert int(load_arrays(last, "demonstrations")[0]["total"][0]) == 2 * 10


def test_who_cannot_show_or_be_shown_is_told() -> None:
    with pytest.raises(ConfigError, match="no scripted policy"):
        demonstrate(Watching(0), HopperTask(), 1, 0)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="choose rlpd or sac"):
        demonstrate(SimpleNamespace(), short_push(), 1, 0)  # type: ignore[arg-type]
