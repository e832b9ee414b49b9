"""The benchmark of learning with demonstrations: runs once, goes on where it was, keeps to itself; figures and page."""

from __future__ import annotations

import dataclasses
import fcntl
import json

import numpy as np
import pytest

from robostack.bench import serl, serl_page
from robostack.bench.serl import Plan, complete, figures_of, identity
from robostack.learning.learner import Transition
from robostack.learning.with_demonstrations import Schedule, executed_demonstrations, learn_with_demonstrations
from robostack.simulated_operator import SimulatedOperator, SimulatedOperatorConfig
from robostack.tasks.panda_peg_insert import PandaPegInsert

TASK = PandaPegInsert()
CHANGES = {"hidden": (16, 16), "batch_size": 8, "learning_starts": 5, "updates_per_step": 1.0}
OPERATOR = dataclasses.replace(serl.OPERATOR, episodes=2)
CLONING = dataclasses.replace(serl.CLONING, steps=5, width=16)


@pytest.fixture(scope="module")
def plan(tmp_path_factory) -> Plan:
    folder = tmp_path_factory.mktemp("serl")
    eager = SimulatedOperatorConfig(patience_steps=2, pause_steps=2)
    return Plan(folder, OPERATOR, eager, CLONING, CHANGES, steps=30, every=10, trials=2)


@pytest.fixture(scope="module")
def lines(plan) -> list[dict]:
    return complete(plan, (TASK.name,), seeds=(0,))


def test_every_way_is_run_once_and_found_again(plan, lines, monkeypatch):
    assert [line["way"] for line in lines] == ["rl_alone", "rl", "bc"]
    assert all(line["trials"] == 2 and 0 <= line["successes"] <= 2 for line in lines)
    alone, helped, _ = lines
    assert (alone["corrected"], alone["corrections"]) == (0, 0)
    assert 0 < helped["corrected"] <= helped["steps"] == 30
    assert [point[0] for point in alone["curve"]] == [10, 20, 30] and alone["curve"][-1][-1] is not None
    assert alone["rlpd"]["hidden"] == [16, 16] and "replay_size" not in alone["rlpd"]  # only what was changed
    monkeypatch.setattr(serl, "learn", lambda *_: pytest.fail("a run that is there must not be repeated"))
    assert complete(plan, (TASK.name,), seeds=(0,)) == lines


def test_a_run_that_another_process_does_is_left_to_it(plan, monkeypatch, tmp_path):
    done = []
    monkeypatch.setattr(serl, "learn", lambda plan, task, way, seed: done.append(way) or {"successes": 0})
    monkeypatch.setattr(serl, "_alone", _taken_for(serl._alone, len(done)))
    other = dataclasses.replace(plan, folder=tmp_path)
    assert complete(other, (TASK.name,), ("bc", "rl"), (0,)) and done == ["rl"]


def _taken_for(alone, first: int):
    """As `alone`, with the first lock held by somebody else."""
    count = [first]

    def taken(path, wait=False):
        count[0] += 1
        if count[0] == 1:
            path.parent.mkdir(parents=True, exist_ok=True)
            _taken_for.held = path.open("w")
            fcntl.flock(_taken_for.held, fcntl.LOCK_EX)
        return alone(path, wait)

    return taken


def test_a_torn_line_is_left_behind(plan, tmp_path, monkeypatch):
    monkeypatch.setattr(serl, "learn", lambda *_: {"successes": 1})
    (tmp_path / serl.RESULTS).write_text('{"task": "panda-pe')
    other = dataclasses.replace(plan, folder=tmp_path)
    assert complete(other, (TASK.name,), ("bc",), (0,))[0]["successes"] == 1


def test_identities_differ_by_all_that_matters(plan):
    seen = [identity(plan, TASK, way, seed) for way in serl.WAYS for seed in (0, 1)]
    seen.append(identity(dataclasses.replace(plan, changes={**CHANGES, "discount": 0.5}), TASK, "rl", 0))
    seen.append(identity(dataclasses.replace(plan, operator=serl.OPERATOR), TASK, "bc", 0))
    assert len({json.dumps(one, sort_keys=True) for one in seen}) == len(seen)


def made(way: str, seed: int, successes: int, **values: object) -> dict:
    curve = [[1000, 9, 0.2, 0.0, None], [2000, 30, 0.9, 0.1, successes]]
    base = {"task": "panda-pick-cube", "way": way, "seed": seed, "successes": successes, "trials": 100, "cpu_s": 60.0}
    return base if way == "bc" else {**base, "wall_s": 90.0, "steps": 2000, "curve": curve, "corrected": 0, **values}


MADE = [
    made("rl_alone", 0, 96, steps_to_enough=8000, first_success=900),
    made("rl_alone", 1, 60, steps_to_enough=None, first_success=1900),
    made("rl_alone", 2, 50, steps_to_enough=None, first_success=None),
    made("rl", 0, 99, steps_to_enough=4000, first_success=500, corrected=200),
    made("rl", 1, 97, steps_to_enough=6000, first_success=700, corrected=100),
    made("bc", 0, 70),
]


def test_figures_are_medians_in_which_a_run_that_never_got_there_counts():
    figures = figures_of(MADE)
    assert figures["pick_cube_rl_success"] == 98.0
    assert figures["pick_cube_steps_to_95"] == 5000.0
    assert figures["pick_cube_intervention_percent"] == 7.5
    assert figures["pick_cube_bc_success"] == 70.0
    assert figures["pick_cube_rl_success_without_interventions"] == 60.0
    assert figures["pick_cube_steps_to_first_success_without_interventions"] == 1900.0
    assert "pick_cube_steps_to_95_without_interventions" not in figures  # two of three never got there


def test_the_page_says_what_is_there_and_what_is_missing(tmp_path, lines):
    results = tmp_path / "results.jsonl"
    results.write_text("".join(json.dumps(line) + "\n" for line in [*MADE, *lines]))
    serl_page.write(tmp_path, results)
    text = (tmp_path / "serl.md").read_text()
    assert "| RLPD | **60** | 96, 60, 50 | not within 20,000 | 8000, never, never | 900, 1900, never | 0 |" in text
    assert "| RLPD with corrections | **98** | 99, 97 | 5000 | 4000, 6000 | 500, 700 | 7.5 % |" in text
    assert "9 of 18 runs are here" in text
    assert (tmp_path / "serl_curves.png").stat().st_size > 10_000
    assert "| cloning | not run |" in serl_page.page(MADE[:5])


def test_mean_curves_hold_the_last_value_of_a_run_that_has_ended():
    short, long = {"curve": [[1, 0, 1.0, 0, None]]}, {"curve": [[1, 0, 0.0, 0, None], [2, 0, 0.5, 0, None]]}
    steps, success = serl_page.mean_curve([short, long])
    assert steps == [0.001, 0.002] and success == [50.0, 75.0]


def test_learning_ends_when_an_evaluation_is_confirmed_and_uses_fresh_trials_each_time(plan):
    dataset = serl.demonstrate(plan, TASK, 0)
    demonstrations = executed_demonstrations(dataset, TASK)
    answers, seeds = iter([95, 94, 96, 97, 50]), []

    def evaluate(learner, trials, seed):
        seeds.append(seed)
        return next(answers)

    config = serl._settings(plan, TASK)
    schedule = Schedule(steps=60, every=10, trials=100, promising=0.0)
    learner, learned = learn_with_demonstrations(TASK, config, demonstrations, 0, evaluate, schedule=schedule)
    # 95 is not confirmed by 94; 96 is, by 97.
    assert (learned.steps, learned.steps_to_enough) == (20, 20)
    assert [point.evaluated for point in learned.curve] == [95, 96] and len(set(seeds)) == 4
    assert learner.steps == 20 and learner.updates == 12 and len(learner.demos) == len(demonstrations)
    assert isinstance(next(demonstrations.transitions()), Transition)


def test_demonstrations_carry_the_action_that_was_executed(plan):
    from robostack.data.demonstrations import read_demonstrations

    dataset = serl.demonstrate(plan, TASK, 0)
    shown, executed = read_demonstrations(dataset), executed_demonstrations(dataset, TASK)
    assert np.max(np.abs(executed.action - shown.action)) > 0.02
    assert np.max(np.abs(executed.action)) <= 1.0
    assert executed.reward.sum() == executed.terminated.sum() == 2


def test_corrections_are_kept_among_the_demonstrations(plan):
    demonstrations = executed_demonstrations(serl.demonstrate(plan, TASK, 0), TASK)
    operator = SimulatedOperator(TASK, plan.corrections, 0)
    learner, learned = learn_with_demonstrations(
        TASK, serl._settings(plan, TASK), demonstrations, 0, lambda *_: 0, operator, Schedule(40, 20, 1)
    )
    assert len(learner.demos) == len(demonstrations) + operator.corrected > len(demonstrations)
    assert len(learner.online) == 40 and learned.corrected <= operator.corrected
