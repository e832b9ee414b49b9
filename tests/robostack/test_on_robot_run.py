"""The folder of a run on a robot: what is in it after a power cut, and that a resumed run goes on exactly."""

from __future__ import annotations

import json

import numpy as np
import pytest
from test_runner import Bench, Line

import robostack.learning.on_robot_run as module
from hardware.errors import CheckpointError, ConfigError, ContractMismatchError
from robostack.checkpoint import checkpoints
from robostack.contract import contract_of
from robostack.learning.avg import AvgConfig
from robostack.learning.on_robot import OnRobotLearner
from robostack.learning.on_robot_run import EPISODES, Counters, OnRobotConfig, OnRobotRun
from robostack.policies.mlp import load_policy
from robostack.runner import EpisodeRunner, RunnerConfig

CONFIG = OnRobotConfig("line", "avg", seed=3, settings={"hidden": [8, 8], "kernel": "numpy"})


def task():
    return Line(episode_s=1.0)


def open_run(folder, resume=False, config=CONFIG, **options):
    return OnRobotRun(folder, config, contract_of(task()), resume=resume, **options)


def learn(run, episodes):
    """Let the run learn until so many episodes have ended, a checkpoint after each, as the policy node does."""
    before, policy = run.counters, OnRobotLearner(run.learner)
    config = RunnerConfig(episodes=episodes, to_start=False, pause_s=0.0)
    runner = EpisodeRunner(task(), policy, run.config.seed, config, before.episodes, before.acted_s)
    runner.ready = run.saved
    bench = Bench(runner)
    policy.clock = bench.clock
    for _ in range(10_000):
        if runner.done:
            break
        bench.tick()
        while runner.finished:
            record = runner.finished.pop(0)
            run.note(record)
            run.save(Counters(before.steps + policy.learned, record.episode + 1, runner.acted_s, policy.skipped))
            run.wait()
    return policy


def weights(run):
    learner = run.learner
    optimizers = (learner.actor_optimizer, learner.critic_optimizer)
    arrays = [learner.actor.parameters, learner.critic.parameters, *(each.second for each in optimizers)]
    return np.concatenate(arrays)


def test_a_resumed_run_is_where_the_last_finished_episode_left_it(tmp_path):
    run = open_run(tmp_path / "run")
    fresh = weights(run).copy()
    learn(run, 3)
    kept = weights(run).copy()
    assert not np.array_equal(kept, fresh)
    # A fourth episode begins and learns, and the power goes.
    policy = OnRobotLearner(run.learner)
    bench = Bench(EpisodeRunner(task(), policy, 0, RunnerConfig(to_start=False, pause_s=0.0)))
    policy.clock = bench.clock
    for _ in range(6):
        bench.tick()
    assert policy.learned and not np.array_equal(weights(run), kept)
    again = open_run(tmp_path / "run", resume=True)
    np.testing.assert_array_equal(weights(again), kept)
    assert again.counters == run.counters and again.counters.episodes == 3
    assert again.returns == pytest.approx(run.returns) and len(again.returns) == 3
    learn(again, 5)
    lines = [json.loads(line) for line in (tmp_path / "run" / EPISODES).read_text().splitlines()]
    assert [line["episode"] for line in lines] == [0, 1, 2, 3, 4]
    assert again.counters.steps == sum(len(line["steps"]["reward"]) for line in lines)
    assert again.counters.acted_s == pytest.approx(sum(line["duration_s"] for line in lines))


def test_stopped_and_resumed_learns_exactly_what_one_start_learns(tmp_path):
    """The same transitions after the resume give the same weights."""
    runs = [open_run(tmp_path / name) for name in ("one", "two")]
    for run in runs:
        learn(run, 2)
    again = open_run(tmp_path / "two", resume=True)
    for run in (runs[0], again):
        learn(run, 4)
    # The first run was not resumed, but its next runner drew its starts in the same way.
    np.testing.assert_array_equal(weights(runs[0]), weights(again))


def test_the_first_checkpoint_is_kept_to_compare_with_and_old_ones_go(tmp_path):
    run = open_run(tmp_path / "run")
    learn(run, 8)
    found = checkpoints(tmp_path / "run")
    assert int(found[0].name) == 0 and len(found) == 4 and int(found[-1].name) == run.counters.steps
    policies = [load_policy(folder, contract_of(task())) for folder in (found[0], found[-1])]
    assert not np.array_equal(*(policy.act(np.array([0.3])) for policy in policies))


def test_what_a_crash_left_half_done_is_dropped(tmp_path):
    run = open_run(tmp_path / "run")
    learn(run, 3)
    path = tmp_path / "run" / EPISODES
    lines = path.read_text().splitlines()
    later = json.dumps(json.loads(lines[-1]) | {"episode": 3})  # ended, but its checkpoint was not yet written
    path.write_text("\n".join([*lines, later, lines[-1][:40]]) + "\n")
    newest = checkpoints(tmp_path / "run")[-1]
    (newest / "learner.safetensors").write_bytes(b"torn")
    again = open_run(tmp_path / "run", resume=True)
    assert again.counters.episodes == 2  # the newest checkpoint cannot be read
    assert [json.loads(line)["episode"] for line in path.read_text().splitlines()] == [0, 1]


@pytest.mark.parametrize("name", ["avg", "intentional", "stream-ac"])
def test_every_incremental_learner_learns_and_resumes_by_its_name(tmp_path, name):
    config = OnRobotConfig("line", name, settings={"hidden": [8, 8]})
    policy = learn(open_run(tmp_path / name, config=config), 2)
    again = open_run(tmp_path / name, resume=True, config=config)
    assert again.counters.steps == policy.learned > 0
    observation = np.array([0.3])
    expected = policy.learner.act(observation, explore=False)
    np.testing.assert_array_equal(again.learner.act(observation, explore=False), expected)
    learn(again, 3)
    assert again.counters.episodes == 3


def test_begins_from_the_checkpoint_of_another_run(tmp_path):
    trained = open_run(tmp_path / "sim")
    learn(trained, 2)
    robot = open_run(tmp_path / "robot", source=str(tmp_path / "sim"))
    np.testing.assert_array_equal(weights(robot), weights(trained))
    assert robot.counters == Counters()


def test_a_checkpoint_of_another_task_is_refused_with_the_difference(tmp_path):
    learn(open_run(tmp_path / "run"), 1)
    other = task()
    other.control_period_s = 0.1
    for options in ({"resume": True}, {"source": str(tmp_path / "run")}):
        folder = tmp_path / ("run" if "resume" in options else "new")
        with pytest.raises(ContractMismatchError, match=r"control_period_s: trained with 0\.05, offered 0\.1"):
            OnRobotRun(folder, CONFIG, contract_of(other), **options)


def test_folders_are_not_mixed_up(tmp_path):
    open_run(tmp_path / "run")
    with pytest.raises(ConfigError, match="already holds a run"):
        open_run(tmp_path / "run")
    with pytest.raises(ConfigError, match="a run of avg on line, not of intentional on line"):
        open_run(tmp_path / "run", resume=True, config=OnRobotConfig("line", "intentional"))
    with pytest.raises(CheckpointError, match="no run to resume"):
        open_run(tmp_path / "none", resume=True)
    with pytest.raises(ConfigError, match="speed"):
        open_run(tmp_path / "other", config=OnRobotConfig("line", "avg", settings={"speed": 3.0}))


def test_a_full_disk_is_an_error_of_the_next_pause(tmp_path, monkeypatch):
    run = open_run(tmp_path / "run")

    def full(*_arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "write_durable", full)
    run.save(Counters(5, 1, 4.0, 0))
    run.wait()
    with pytest.raises(CheckpointError, match="No space left"):
        run.saved()


def test_figures_compare_the_first_and_the_last_tenth(tmp_path):
    run = open_run(tmp_path / "run", config=OnRobotConfig("line", "avg", settings={"hidden": [4]}))
    run.returns, run.successes = [float(value) for value in range(20)], [False] * 18 + [True, False]
    figures = run.figures()
    assert (figures["return_first_tenth"], figures["return_last_tenth"]) == (0.5, 18.5)
    assert (figures["success_first_tenth"], figures["success_last_tenth"]) == (0.0, 0.5)
    assert AvgConfig(hidden=(4,)) == run.learner.config
