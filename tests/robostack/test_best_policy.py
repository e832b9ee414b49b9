"""The best policy of a run survives in its folder; memory and episodes for a distribution in the training loop."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hardware.errors import CheckpointError, ConfigError, UnknownNameError
from robostack.checkpoint import checkpoints, load_policy
from robostack.cli import evaluate as evaluate_verb
from robostack.learning import training
from robostack.learning.best_policy import Judged, judged_from, keep_policy
from robostack.learning.training import TrainConfig, train
from robostack.tasks.hopper import HopperTask
from robostack.tasks.with_history import WithHistory, open_task

SMALL = {"hidden": [8, 8], "batch_size": 8, "learning_starts": 20, "replay_size": 1000, "privileged": 2}


def config_for(folder: Path, **changes: Any) -> TrainConfig:
    base = TrainConfig("cartpole-swingup", folder, "sac", steps=120, simulations=4, history=3, settings=dict(SMALL))
    base = dataclasses.replace(base, checkpoint_every=120, report_every=40, evaluate_every=40, evaluate_episodes=3)
    return dataclasses.replace(base, **{"distribution_every": 40, **changes})


def test_success_decides_then_reward_then_the_earlier():
    first = Judged(10, 0.5, 3.0)
    assert first.better_than(None)
    assert Judged(20, 0.6, 1.0).better_than(first) and not Judged(20, 0.4, 9.0).better_than(first)
    assert Judged(20, 0.5, 4.0).better_than(first) and not Judged(20, 0.5, 3.0).better_than(first)
    assert judged_from(dataclasses.asdict(first), Path("x")) == first and judged_from(None, Path("x")) is None
    with pytest.raises(CheckpointError, match="damaged"):
        judged_from({"steps": "ten"}, Path("x"))


def scripted(monkeypatch, results: dict[int, float]) -> None:
    """Let evaluations find the success that `results` has for the number of steps."""
    judge = training.judged

    def told(figures, steps):
        return dataclasses.replace(judge(figures, steps), success=results[steps], total_reward_mean=0.0)

    monkeypatch.setattr(training, "judged", told)


def test_the_best_policy_is_kept_and_runs(tmp_path, monkeypatch, capfd):
    pytest.importorskip("torch")
    scripted(monkeypatch, {40: 0.1, 80: 0.9, 120: 0.2})
    last = train(config_for(tmp_path / "run"))
    assert [path.name for path in checkpoints(tmp_path / "run")] == ["000000040", "000000080", "000000120"]
    best = tmp_path / "run" / "best"
    note = {"steps": 80, "success": 0.9, "total_reward_mean": 0.0}
    assert json.loads((best / "evaluation.json").read_text()) == note
    assert json.loads((last / "training.json").read_text())["best"] == note
    assert sorted(path.name for path in best.iterdir()) == ["evaluation.json", "policy.json", "policy.safetensors"]
    kept, at_80 = load_policy(best), load_policy(tmp_path / "run" / "checkpoints" / "000000080")
    assert kept.sha256 == at_80.sha256 != load_policy(last).sha256
    assert kept.contract.task == "cartpole-swingup-history3"
    assert evaluate_verb.main([str(best), "--episodes", "1", "--json"]) == 0
    assert json.loads(capfd.readouterr().out.splitlines()[-1])["task"] == "cartpole-swingup-history3"


def test_a_run_that_ended_between_checkpoint_and_best_makes_up_for_it(tmp_path, monkeypatch):
    pytest.importorskip("torch")
    scripted(monkeypatch, {40: 0.1, 80: 0.9, 120: 0.2, 160: 0.3})
    train(config_for(tmp_path, steps=80))
    keep_policy(tmp_path / "checkpoints" / "000000040", tmp_path / "best", {"steps": 40})
    train(config_for(tmp_path, steps=160), resume=True)
    assert json.loads((tmp_path / "best" / "evaluation.json").read_text())["steps"] == 80


def test_episodes_that_a_distribution_learns_from_are_charged(tmp_path, monkeypatch):
    """Each update spends the steps of its episodes, so that training gets what is left; none is spent at the end."""
    pytest.importorskip("torch")
    seen = []
    update = training.DynamicsSchedule.update

    def told(self):
        seen.append(len(self._ended))
        return update(self)

    monkeypatch.setattr(training.DynamicsSchedule, "update", told)
    config = config_for(tmp_path, distribution="lsdr", distribution_episodes=4, evaluate_every=0)
    last = train(dataclasses.replace(config, task="cartpole", steps=300))
    charged = int(last.name)
    learned = json.loads((last / "learner.json").read_text())["scalars"]["steps"]
    assert seen[0] == 4 and len(seen) >= 1
    assert charged >= 300 > learned and learned % 4 == 0
    assert json.loads((last / "training.json").read_text())["dynamics"]["generation"] == len(seen)


@pytest.mark.parametrize("name", ["hopper-history4", "hopper"])
def test_a_name_may_ask_for_a_memory(name):
    task = open_task(name, 4)
    assert isinstance(task, WithHistory) and task.length == 4 and task.name == "hopper-history4"
    assert type(open_task("hopper")) is HopperTask
    with pytest.raises(UnknownNameError):
        open_task("hoper-history4")
    with pytest.raises(ConfigError, match="2 or more"):
        open_task("hopper", 0)
    assert np.isclose(task.control_period_s, HopperTask().control_period_s)
