"""The training loop with learners that take batches: run folder, resume, evaluation of what was trained."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from hardware.errors import ConfigError
from robostack.checkpoint import checkpoints, load_policy
from robostack.cli import evaluate as evaluate_verb
from robostack.cli import export as export_verb
from robostack.cli import train as train_verb
from robostack.learning.training import TrainConfig, train

SETTINGS = {
    "sac": {"hidden": [8, 8], "batch_size": 8, "learning_starts": 20, "replay_size": 1000},
    "rlpd": {"hidden": [8, 8], "batch_size": 8, "learning_starts": 20, "critics": 3, "updates_per_step": 0.5},
    "ppo": {"hidden": [8, 8], "steps_per_update": 32, "minibatch": 16, "epochs": 2},
}


def config_for(folder: Path, learner: str, **changes) -> TrainConfig:
    base = TrainConfig("ur5e-reach", folder, learner, steps=120, simulations=4, settings=dict(SETTINGS[learner]))
    base = dataclasses.replace(base, checkpoint_every=40, report_every=40, evaluate_every=80, evaluate_episodes=1)
    return dataclasses.replace(base, **changes)


@pytest.mark.parametrize("learner", SETTINGS)
def test_trains_and_resumes(tmp_path, learner):
    reports = []
    last = train(config_for(tmp_path / "run", learner), on_progress=reports.append)
    assert [report.steps for report in reports] == [40, 80, 120]
    assert reports[0].final_error_mm is None and reports[1].final_error_mm > 0.0 and reports[-1].metrics
    assert load_policy(last).provenance["steps"] == 120
    (last / "learner.safetensors").write_bytes(b"torn")
    train(config_for(tmp_path / "run", learner, steps=160), resume=True, on_progress=reports.append)
    assert [report.steps for report in reports[3:]] == [120, 160]
    assert [path.name for path in checkpoints(tmp_path / "run")] == ["000000080", "000000120", "000000160"]
    again = train(config_for(tmp_path / "again", learner))
    (one, other) = (load_policy(folder).arrays for folder in (checkpoints(tmp_path / "again")[-1], again))
    for name in one:
        np.testing.assert_array_equal(one[name], other[name])


@pytest.mark.parametrize(("enough", "share"), [(-1e9, 1.0), (1e9, 0.0)])
def test_a_return_can_say_what_a_success_is_in_training_evaluations_and_for_the_distribution(tmp_path, enough, share):
    reports = []
    config = config_for(tmp_path / "run", "sac", episode_s=0.2, distribution="doraemon", distribution_every=80)
    train(dataclasses.replace(config, success_return=enough), on_progress=reports.append)
    assert [reports[-1].success, reports[-1].training_success] == [share, share]
    assert reports[-1].metrics["dynamics_success"] == share


def test_the_number_of_threads_and_passed_multiples_do_not_matter(tmp_path):
    """Seven simulations never hit the multiples exactly."""
    reports = []
    last = train(config_for(tmp_path, "sac", simulations=7, steps=100), on_progress=reports.append)
    assert [report.steps for report in reports] == [42, 84] and last.name == "000000105"


def test_avg_takes_no_batches(tmp_path):
    with pytest.raises(ConfigError, match="one step at a time"):
        train(TrainConfig("ur5e-reach", tmp_path, "avg", simulations=4))


def test_a_replay_on_disk_survives_and_continues(tmp_path):
    replay = str(tmp_path / "replay")
    config = config_for(tmp_path / "run", "sac", settings={**SETTINGS["sac"], "replay_dir": replay})
    last = train(config)
    assert not any("rows" in name for name in json.loads((last / "replay.json").read_text()))
    assert (tmp_path / "replay" / "online" / "rows.bin").stat().st_size > 0
    assert "replay" not in json.dumps(json.loads((last / "policy.json").read_text())["config"].get("replay_dir", ""))
    train(dataclasses.replace(config, steps=160), resume=True)
    assert load_policy(checkpoints(tmp_path / "run")[-1]).provenance["steps"] == 160


def test_the_verbs_work_together(tmp_path, capfd):
    folder, learner = str(tmp_path / "run"), "ppo"
    chosen = [argument for pair in SETTINGS[learner].items() for argument in ("--set", f"{pair[0]}={pair[1]}")]
    arguments = ["ur5e-reach", "--learner", learner, "--output-dir", folder, "--steps", "520", "--simulations", "8"]
    assert train_verb.main([*arguments, *chosen, "--json"]) == 0
    assert json.loads(capfd.readouterr().out.splitlines()[-1])["steps"] == 504
    assert evaluate_verb.main([folder, "--episodes", "1", "--json"]) == 0
    reward = json.loads(capfd.readouterr().out.splitlines()[-1])["total_reward_mean"]
    assert export_verb.main([folder, "--json"]) == 0
    path = json.loads(capfd.readouterr().out.splitlines()[-1])["path"]
    assert evaluate_verb.main([path, "--episodes", "1", "--json"]) == 0
    assert json.loads(capfd.readouterr().out.splitlines()[-1])["total_reward_mean"] == pytest.approx(reward, rel=1e-3)
