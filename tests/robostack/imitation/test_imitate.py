"""Runs of imitation: folder, resumption, the verb, the policy that comes out; and the benchmark around them."""

from __future__ import annotations

import dataclasses
import json
import shutil
import sys

import numpy as np
import pytest

from hardware.errors import CheckpointError, ConfigError
from robostack.bench import imitation as bench
from robostack.checkpoint import checkpoints
from robostack.checkpoint import load_policy as read
from robostack.cli.main import run as main
from robostack.contract import contract_of
from robostack.evaluation import evaluate
from robostack.learning.imitation.config import ImitationConfig
from robostack.learning.imitation.demonstrations import load_demonstrations
from robostack.learning.imitation.imitator import Imitator
from robostack.learning.imitation.recording import RecordingConfig, record_scripted
from robostack.learning.imitation.schedule import average_decay, learning_rate
from robostack.learning.imitation.training import ImitationRun, imitate
from robostack.policies.chunked import ChunkSettings
from robostack.policies.opening import open_policy
from robostack.policies.policy import image_size_of
from robostack.tasks.panda_pick_cube import PandaPickCube
from robostack.tasks.ur5e_reach import Ur5eReach

SMALL = ImitationConfig(head="flow", steps=40, batch=16, width=16, blocks=1, warmup=5, chunk=ChunkSettings(1, 4, 2, 1))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    root = tmp_path_factory.mktemp("dataset") / "reach"
    record_scripted(Ur5eReach(), root, RecordingConfig(episodes=4))
    return root


def test_a_run_that_was_cut_ends_as_one_that_was_not(dataset, tmp_path):
    run = ImitationRun(dataset, tmp_path / "whole", checkpoint_every=15, report_every=10, settings=SMALL)
    reports = []
    last = imitate(run, on_progress=reports.append)
    assert [report.steps for report in reports] == [10, 20, 30, 40]
    assert reports[-1].demonstrations == 4 and np.isfinite(reports[-1].loss)
    assert [int(path.name) for path in checkpoints(tmp_path / "whole")] == [15, 30, 40]

    class CutError(Exception):
        pass

    def cut(progress):
        if progress.steps == 20:
            raise CutError

    with pytest.raises(CutError):
        imitate(dataclasses.replace(run, output_dir=tmp_path / "cut"), on_progress=cut)
    assert [int(path.name) for path in checkpoints(tmp_path / "cut")] == [15]
    resumed = imitate(ImitationRun(dataset, tmp_path / "cut"), resume=True)
    assert read(resumed).sha256 == read(last).sha256
    lines = [json.loads(line)["steps"] for line in (tmp_path / "cut" / "progress.jsonl").read_text().splitlines()]
    assert lines == [10, 20, 30, 40]


def test_folders_that_hold_a_run_or_none_are_refused(dataset, tmp_path):
    with pytest.raises(CheckpointError, match="no run to resume"):
        imitate(ImitationRun(dataset, tmp_path), resume=True)
    (tmp_path / "config.yaml").write_text("")
    with pytest.raises(ConfigError, match="already holds a run"):
        imitate(ImitationRun(dataset, tmp_path))


def test_learning_rate_rises_and_falls_and_the_average_slows_down():
    config = dataclasses.replace(SMALL, steps=105, warmup=5, learning_rate=1.0)
    assert [learning_rate(step, config) for step in (0, 4, 5, 55)] == pytest.approx([0.2, 1.0, 1.0, 0.5])
    assert learning_rate(105, config) == pytest.approx(0.0)
    assert average_decay(15, 0.999) == pytest.approx(1.0 - 16**-0.75)
    assert average_decay(10**6, 0.99) == 0.99


def test_the_verb_records_learns_evaluates_and_exports(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    scripted = ["--scripted.task", "ur5e-reach", "--scripted.episodes", "3", "--scripted.tremor", "0"]
    small = ["--head", "bc", "--steps", "200", "--batch", "32", "--width", "32", "--chunk.horizon", "4"]
    small += ["--chunk.executed", "2", "--chunk.past", "1", "--seed", "7"]
    assert main(["imitate", "data/reach", *scripted, *small, "--json"]) == 0
    out = capsys.readouterr()
    found = json.loads(out.out.splitlines()[-1])
    assert found["run"] == "runs/reach-bc-7" and found["steps"] == 200 and found["demonstrations"] == 3
    assert "robostack evaluate runs/reach-bc-7" in out.err
    assert main(["evaluate", "runs/reach-bc-7", "--episodes", "2", "--json"]) == 0
    first = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert main(["export", "runs/reach-bc-7", "--episodes", "1"]) == 0
    assert "launch ur5e --virtual --policy runs/reach-bc-7/policy.onnx" in capsys.readouterr().err
    assert main(["evaluate", "runs/reach-bc-7/policy.onnx", "--episodes", "2", "--json"]) == 0
    second = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert first["total_reward_mean"] == pytest.approx(second["total_reward_mean"], abs=1e-3)
    assert main(["imitate", "nowhere", "--head", "bc"]) == 1


def small_plan(folder, trials=3):
    return bench.Plan(
        folder,
        dataclasses.replace(bench.OPERATOR, episodes=2),
        dataclasses.replace(bench.LEARNING, steps=5, width=16, blocks=1, batch=8),
        (0,),
        trials,
    )


def test_the_benchmark_goes_on_where_it_was_cut(tmp_path, monkeypatch):
    lines = bench.complete(small_plan(tmp_path), ("bc",))
    path = tmp_path / bench.RESULTS
    path.write_text(path.read_text() + '{"head": "flo')  # a torn line
    made = []
    learn = bench.learn

    def counted(plan, head, *arguments):
        made.append(head)
        return learn(plan, head, *arguments)

    monkeypatch.setattr(bench, "learn", counted)
    again = bench.complete(small_plan(tmp_path), ("bc", "flow"))
    assert made == ["flow"] and again[0] == lines[0]
    assert bench.complete(small_plan(tmp_path), ("bc", "flow")) == again and made == ["flow"]
    bench.complete(small_plan(tmp_path, trials=2), ("bc",))  # other trials are another result
    assert made == ["flow", "bc"]


def test_figures_are_means_over_seeds_with_an_interval_over_all_trials():
    shared = {"head": "flow", "trials": 100, "ms_per_chunk": 2.0, "learning_cpu_s": 10.0}
    figures = bench.figures_of(
        [{**shared, "successes": 90, "median_s": 3.0}, {**shared, "successes": 100, "median_s": None}]
    )
    assert figures["flow_success"] == 95.0 and figures["flow_success_worst_seed"] == 90.0
    assert figures["flow_success_ci95_low"] == pytest.approx(91.0, abs=0.2)
    assert figures["flow_time_s"] == 3.0 and figures["flow_ms_per_chunk"] == 2.0


def test_the_scripted_operator_succeeds_side_by_side_and_a_still_one_does_not():
    task = Ur5eReach()

    class Still:
        def reset(self):
            pass

        def act(self, observation):
            return np.zeros((*observation.shape[:-1], 3))

    assert bench.successes(task, Still(), 3, seed=1) == (0, pytest.approx(float("nan"), nan_ok=True))
    count, median_s = bench.successes(task, task.scripted(), 3, seed=1)
    assert count == 3 and 0.5 < median_s < 4.0


def test_the_verb_resumes_and_says_what_it_lacks(dataset, tmp_path, capsys, monkeypatch):
    arguments = ["imitate", str(dataset), "--head", "bc", "--steps", "6", "--batch", "8", "--width", "8"]
    arguments += ["--checkpoint-every", "3", "--output-dir", str(tmp_path / "run")]
    assert main(arguments) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "run")
    whole = read(checkpoints(tmp_path / "run")[-1]).sha256
    shutil.rmtree(checkpoints(tmp_path / "run")[-1])
    assert main(arguments) == 1
    assert "already holds a run" in capsys.readouterr().err
    assert main(["imitate", str(dataset), "--output-dir", str(tmp_path / "run"), "--resume"]) == 0
    assert read(checkpoints(tmp_path / "run")[-1]).sha256 == whole
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "robostack.learning.imitation.training")
    monkeypatch.delattr("robostack.learning.imitation.training", raising=False)
    assert main(arguments) == 1
    assert "robostack-learning[train]" in capsys.readouterr().err


def test_a_damaged_checkpoint_gives_way_to_the_one_before(dataset, tmp_path):
    run = ImitationRun(dataset, tmp_path / "run", checkpoint_every=10, settings=SMALL)
    whole = read(imitate(run)).sha256
    for damaged in checkpoints(tmp_path / "run")[-2:]:
        (damaged / "learner.safetensors").write_bytes(b"torn")
    assert read(imitate(run, resume=True)).sha256 == whole
    for damaged in checkpoints(tmp_path / "run"):
        (damaged / "learner.safetensors").write_bytes(b"torn")
    with pytest.raises(CheckpointError, match="damaged"):
        imitate(run, resume=True)


def test_good_demonstrations_can_be_drawn_more_often(dataset, tmp_path):
    demonstrations, contract = load_demonstrations(dataset)
    returns = [episode.total_reward for episode in demonstrations]
    imitator = Imitator(contract, demonstrations, dataclasses.replace(SMALL, return_temperature=0.2))
    drawn = imitator.windows.sample(np.random.default_rng(0), 2000)
    ends = np.cumsum([len(episode.action) for episode in demonstrations])
    counts = np.bincount(np.searchsorted(ends, drawn, side="right"), minlength=len(ends))
    assert np.argmax(counts / np.diff(ends, prepend=0)) == np.argmax(returns)


def test_pictures_are_recorded_learned_from_and_evaluated(tmp_path):
    """The whole way of an image policy on a real task; the policy is far too small to succeed."""
    task = PandaPickCube()
    record_scripted(task, tmp_path / "data", RecordingConfig(episodes=1, image_size=48))
    settings = ImitationConfig(
        head="bc", steps=2, batch=4, width=8, blocks=1, cameras=task.cameras, chunk=ChunkSettings(1, 4, 4, 0)
    )
    hidden = dataclasses.replace(settings, hidden=("tool_to_cube", "cube_lift", "cube_turn"))
    imitate(ImitationRun(tmp_path / "data", tmp_path / "run", settings=hidden))
    policy = open_policy(tmp_path / "run", contract_of(task))
    assert image_size_of(policy) == 48
    result = evaluate(task, policy, episodes=1)
    assert len(result.episodes) == 1 and result.episodes[0].duration_s == pytest.approx(10.0)
    with pytest.raises(ConfigError, match="lacks the column observation.images.top"):
        load_demonstrations(tmp_path / "data", cameras=("top",))
