"""The training loop: run folder, reports, kill -9 at any time, resume; and the verbs around it."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from hardware.config import load_config
from hardware.errors import CheckpointError, ConfigError, UnknownNameError
from robostack.checkpoint import checkpoints, load_policy
from robostack.cli import evaluate as evaluate_verb
from robostack.cli import export as export_verb
from robostack.cli import train as train_verb
from robostack.contract import contract_of
from robostack.evaluation import evaluate
from robostack.learning.training import TrainConfig, train
from robostack.policies.mlp import load_policy as load_mlp
from robostack.tasks.ur5e_reach import Ur5eReach

SMALL = {"hidden": [8, 8]}


def config_for(folder: Path, **changes) -> TrainConfig:
    base = TrainConfig(
        "ur5e-reach", folder, steps=60, checkpoint_every=20, report_every=10, keep=2, settings=dict(SMALL)
    )
    base = dataclasses.replace(base, evaluate_every=30, evaluate_episodes=1)
    return dataclasses.replace(base, **changes)


def lines(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "progress.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("training") / "run"
    reports = []
    last = train(config_for(folder), on_progress=reports.append)
    return folder, last, reports


def test_run_folder(run):
    folder, last, reports = run
    assert last == folder / "checkpoints" / "000000060"
    assert [path.name for path in checkpoints(folder)] == ["000000040", "000000060"]
    assert [report.steps for report in reports] == [10, 20, 30, 40, 50, 60]
    assert [line["steps"] for line in lines(folder)] == [10, 20, 30, 40, 50, 60]
    assert reports[-1].steps_per_s > 0 and "td_error" in reports[-1].metrics
    assert [report.final_error_mm is None for report in reports] == [True] * 2 + [False] * 4
    assert all(report.success == 0.0 for report in reports)  # sixty steps teach nothing
    stored = load_config(TrainConfig, folder / "config.yaml")
    assert stored.settings["hidden"] == [8, 8] and stored.settings["discount"] > 0
    assert load_policy(last).provenance["steps"] == 60


def test_the_same_seed_trains_the_same_policy(run, tmp_path):
    again = train(config_for(tmp_path / "again"))
    for name, array in load_policy(run[1]).arrays.items():
        np.testing.assert_array_equal(load_policy(again).arrays[name], array)
    other = train(config_for(tmp_path / "other", seed=1))
    assert load_policy(other).sha256 != load_policy(again).sha256


def test_trains_in_another_engine(tmp_path, capfd):
    pytest.importorskip("pybullet")
    folder = tmp_path / "run"
    made = {"task": "ur5e-reach", "output-dir": folder, "steps": 12, "checkpoint-every": 6, "engine": "pybullet"}
    arguments = [text for name, value in made.items() for text in (f"--{name}", str(value))][1:]
    assert train_verb.COMMAND.main([*arguments, "--fixed-dynamics", "--set", "hidden=[8, 8]"]) == 0
    capfd.readouterr()
    assert load_config(TrainConfig, folder / "config.yaml").engine == "pybullet"
    here = config_for(tmp_path / "mujoco", steps=12, checkpoint_every=6, randomize=False)
    other = load_mlp(train(here))
    policy, observation = load_mlp(checkpoints(folder)[-1]), np.full(other.contract.num_observations, 0.1)
    # The engines differ by rounding in free space: nearly the same policy, but not the same.
    np.testing.assert_allclose(policy.act(observation), other.act(observation), atol=1e-3)
    assert not np.array_equal(policy.act(observation), other.act(observation))
    with pytest.raises(UnknownNameError, match="pybullet"):
        train(config_for(tmp_path / "wrong", engine="pybulet"))


def test_a_run_is_not_overwritten(run):
    with pytest.raises(ConfigError, match="--resume"):
        train(config_for(run[0]))


def test_nothing_to_resume(tmp_path):
    with pytest.raises(CheckpointError, match="without --resume"):
        train(config_for(tmp_path), resume=True)


def test_resume_goes_on_from_the_newest_checkpoint_that_can_be_read(tmp_path):
    train(config_for(tmp_path))
    newest = checkpoints(tmp_path)[-1]
    (newest / "learner.safetensors").write_bytes(b"torn")
    with (tmp_path / "progress.jsonl").open("a") as file:
        file.write('{"steps": 70, "tor')
    reports = []
    train(config_for(tmp_path, steps=80), resume=True, on_progress=reports.append)
    assert [report.steps for report in reports] == [50, 60, 70, 80]
    assert [line["steps"] for line in lines(tmp_path)] == [10, 20, 30, 40, 50, 60, 70, 80]
    assert load_policy(checkpoints(tmp_path)[-1]).provenance["steps"] == 80


@pytest.mark.parametrize("settings", [{"discuont": 0.9}, {"discount": "much"}])
def test_wrong_settings_are_named(tmp_path, settings):
    with pytest.raises(ConfigError, match=next(iter(settings))):
        train(config_for(tmp_path, settings=settings))


def test_killed_at_any_time_it_continues(tmp_path):
    """kill -9 while checkpoints are written every other step."""
    folder = tmp_path / "run"
    code = (
        "import sys; from pathlib import Path; from robostack.learning.training import TrainConfig, train\n"
        "train(TrainConfig('ur5e-reach', Path(sys.argv[1]), steps=10**6, checkpoint_every=2, report_every=1,"
        " settings={'hidden': [8, 8]}), resume=sys.argv[2] == 'resume')"
    )
    reached = 0
    for mode in ("start", "resume", "resume"):
        process = subprocess.Popen([sys.executable, "-c", code, str(folder), mode])
        try:
            deadline = time.monotonic() + 60.0
            while time.monotonic() < deadline and process.poll() is None:
                found = checkpoints(folder) if folder.exists() else []
                if found and int(found[-1].name) > reached + 4:
                    break
                time.sleep(0.002)
        finally:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
        newest = int(checkpoints(folder)[-1].name)
        assert newest > reached
        reached = newest
    train(config_for(folder, steps=reached + 3), resume=True)
    assert load_policy(checkpoints(folder)[-1]).provenance["steps"] == reached + 3
    assert [line["steps"] for line in lines(folder)] == list(range(1, reached + 4))


def test_the_verbs_work_together(tmp_path, capfd):
    folder = str(tmp_path / "run")
    arguments = ["ur5e-reach", "--output-dir", folder, "--steps", "500", "--set", "hidden=(8,8)", "--json"]
    assert train_verb.main(arguments) == 0
    out, err = capfd.readouterr()
    assert json.loads(out.splitlines()[-1])["steps"] == 500
    assert f"robostack evaluate {folder}" in err
    assert evaluate_verb.main([folder, "--episodes", "2", "--json"]) == 0
    out, err = capfd.readouterr()
    figures = json.loads(out.splitlines()[-1])
    assert figures["episodes"] == 2 and figures["task"] == "ur5e-reach" and len(figures["success_ci95"]) == 2
    assert f"robostack export {folder}" in err
    assert export_verb.main([folder, "--episodes", "1", "--json"]) == 0
    out, err = capfd.readouterr()
    path = json.loads(out.splitlines()[-1])["path"]
    assert Path(path) == Path(folder) / "policy.onnx"
    assert evaluate_verb.main([path, "--episodes", "2"]) == 0
    out, err = capfd.readouterr()
    assert f"{figures['total_reward_mean']:.3g}" in out  # the exported policy does what the original does
    assert "robostack launch ur5e" in err


def test_the_scripted_policy_can_be_evaluated(capfd):
    assert evaluate_verb.main(["scripted", "--task", "ur5e-reach", "--episodes", "2", "--json"]) == 0
    assert json.loads(capfd.readouterr().out.splitlines()[-1])["success"] == 1.0
    with pytest.raises(ConfigError, match="--task"):
        evaluate_verb.main(["scripted"])


def test_settings_on_the_command_line():
    assert train_verb.settings(("hidden=(8, 8)", "variance=std", "discount=0.5")) == {
        "hidden": (8, 8),
        "variance": "std",
        "discount": 0.5,
    }
    with pytest.raises(ConfigError, match="name=value"):
        train_verb.settings(("hidden",))


@pytest.mark.slow
def test_learns_to_reach(tmp_path):
    """Half of the recommended training already reaches in most episodes of randomised dynamics."""
    checkpoint = train(
        config_for(
            tmp_path / "run", steps=10_000, checkpoint_every=10_000, evaluate_every=0, report_every=5000, settings={}
        )
    )
    task = Ur5eReach()
    figures = evaluate(task, load_mlp(checkpoint, contract_of(task)), episodes=20, seed=3).figures()
    assert figures["success"] >= 0.8 and figures["final_error_mm"] < 10.0
