"""The benchmarks of AVG measure what they say and pick up where they were stopped."""

from __future__ import annotations

import dataclasses
import itertools
import json

import numpy as np
import pytest

from robostack.bench import avg, avg_learning
from robostack.bench.avg_learning import HOPPING, Course, complete, figures_of, finished, learn
from robostack.bench.stock_gymnasium import stock_contract, stock_env
from robostack.learning.learner import LEARNERS

SHORT = Course("short", "Hopper-v4", 400, dataclasses.replace(HOPPING, hidden=(8, 8)))


def test_the_quick_form_gives_every_figure_and_judges_by_the_aims():
    measured = avg.BENCH.run(True)
    figures = measured.figures
    named = {f"update_us_{shape}{end}" for shape in ("11_3", "17_6", "376_17") for end in ("", "_p999")}
    named |= {"rss_mb", "hopper_steps_per_s", "halfcheetah_steps_per_s", "humanoid_steps_per_s"}
    assert named <= set(figures)
    assert min(figures.values()) > 0.0
    assert all(figures[f"update_us_{shape}_p999"] >= figures[f"update_us_{shape}"] for shape in avg.SHAPES)
    within = all(figures[key] <= limit for key, limit in avg.LIMITS.items())
    assert measured.met == (within and all(figures[key] >= rate for key, rate in avg.RATES.items()))
    assert set(avg.BENCH.aims) <= named


def test_each_step_is_timed_once(monkeypatch):
    ticks = itertools.count(step=7000)
    monkeypatch.setattr(avg.time, "perf_counter_ns", lambda: next(ticks))
    ends = []
    durations = avg.time_steps(lambda now, following, terminated: ends.append(terminated), 3, 150)
    np.testing.assert_array_equal(durations, np.full(150, 7.0))
    assert len(ends) == 300 and sum(ends[150:]) == 1


def test_a_stock_task_is_described_by_its_own_bounds():
    env = stock_env("Humanoid-v4")
    contract = stock_contract("Humanoid-v4", env)
    assert (contract.num_observations, contract.num_actions) == (376, 17)
    assert (contract.action[0].low, contract.action[0].high) == (pytest.approx(-0.4), pytest.approx(0.4))
    assert contract.control_period_s == pytest.approx(0.015)


def test_a_run_reports_the_returns_of_its_windows():
    line = learn(SHORT, 3)
    assert line["seed"] == 3 and line["task"] == "Hopper-v4" and len(line["returns"]) == 10
    assert line["episodes"] >= 5 and line["rejected"] == 0.0
    assert line == learn(SHORT, 3) and line["returns"] != learn(SHORT, 4)["returns"]


def test_finished_runs_are_not_done_again(tmp_path, monkeypatch):
    path = tmp_path / "results.jsonl"
    first = complete((SHORT,), (0, 1), path)
    assert [line["seed"] for line in first] == [0, 1]
    path.write_text(path.read_text() + '{"figure": "sho')  # killed while writing
    with monkeypatch.context() as patch:
        patch.setattr(avg_learning, "ProcessPoolExecutor", None)  # nothing may be started
        assert complete((SHORT,), (1, 0), path) == first[::-1]
    other = dataclasses.replace(SHORT, steps=401)
    assert [line["steps"] for line in complete((SHORT, other), (0,), path)] == [400, 401]
    assert len(finished(path)) == 3


def test_figures_are_mean_and_deviation_over_seeds():
    lines = [{"figure": "a", "returns": [0.0, value]} for value in (1.0, 3.0, None)]
    assert figures_of(lines) == {"a_mean": 2.0, "a_std": pytest.approx(np.sqrt(2.0))}


def test_the_published_settings_are_those_of_the_paper():
    config = {course.task: course.config for course in avg_learning.COURSES if course.learner == "avg"}
    assert config["Walker2d-v4"] is config["Hopper-v4"]
    hopper, cheetah = config["Hopper-v4"], config["HalfCheetah-v4"]
    names = ("actor_learning_rate", "critic_learning_rate", "entropy_coefficient")
    assert [getattr(hopper, name) for name in names] == [1.1e-5, 7.7e-5, 0.3]
    assert [getattr(cheetah, name) for name in names] == [6.3e-3, 8.7e-3, 0.07]
    for published in (hopper, cheetah):
        assert published.variance == "variance" and published.beta1 == 0.0 and published.discount == 0.99
        assert not published.map_actions and not published.reset_return_on_truncation
    assert all(course.learner in LEARNERS.names() for course in avg_learning.COURSES)
    assert json.dumps(avg_learning.identity(avg_learning.COURSES[0], 0))
