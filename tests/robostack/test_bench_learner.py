"""The two benchmarks of the torch learners: what they measure, how they compare, how they resume."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("torch")

from hardware.errors import ConfigError
from robostack.bench import learner, learner_returns, learner_returns_page
from robostack.bench.bench import BENCHES
from robostack.bench.learner_returns import Course, complete, figures_of, identity, met

SHORT = Course("Hopper-v5", "sac", 300, {"learning_starts": 290, "hidden": [8], "batch_size": 8})


def test_figures_of_the_quick_form(monkeypatch):
    monkeypatch.setattr(learner, "TRANSITIONS", 500)
    monkeypatch.setattr(learner, "GROUP", 2)
    found = BENCHES.load("learner").run(True)
    for key in ("e10_utd20_critic_steps_per_cpu_s", "e2_critic_only_steps_per_cpu_s", "e2_utd1_critic_steps_per_cpu_s"):
        assert found.figures[key] > 0.0
    assert ("sb3_critic_steps_per_cpu_s" in found.figures) == (len(learner_returns.makers()) == 2)
    assert found.met == all(found.figures[key] >= aim for key, aim in learner.AIMS.items())


def test_a_group_of_updates_is_what_rlpd_defines():
    """Twenty steps of ten critics, one of the actor; the critics alone leave actor and temperature as they are."""
    made = learner._rlpd(2, actor=False).__closure__
    trained = next(cell.cell_contents for cell in made if hasattr(cell.cell_contents, "learn"))
    trained.learn(actor=False)
    assert int(trained.critic_optimizer.steps) == 20 and int(trained.actor_optimizer.steps) == 0
    trained.learn()
    assert int(trained.critic_optimizer.steps) == 40 and int(trained.actor_optimizer.steps) == 1
    assert int(trained.temperature_optimizer.steps) == 1
    assert trained.config.critic_steps_per_actor_step == learner.GROUP and trained.config.batch_size == 256
    assert trained.config.hidden == (256, 256) and trained.config.layer_norm


def test_runs_are_resumed(tmp_path, monkeypatch):
    monkeypatch.setattr(learner_returns, "makers", lambda: ("robostack",))
    path = tmp_path / "results.jsonl"
    (line,) = complete((SHORT,), (0,), path)
    assert line["episodes"] > 3 and len(line["returns"]) == 10 and line["cpu_s"] > 0.0
    before = path.read_text()
    with path.open("a") as file:
        file.write('{"figure": "sac_hop')  # torn
    monkeypatch.setattr(learner_returns, "learn", lambda *_: pytest.fail("is there already"))
    assert complete((SHORT,), (0,), path) == [line]
    assert path.read_text().startswith(before)
    assert learner_returns._find([line], SHORT, 1, "robostack") is None


def test_figures_and_aims():
    lines = []
    for course in learner_returns.COURSES:
        for maker, result, cpu_s in (("robostack", 95.0, 1.0), ("sb3", 100.0, 2.0)):
            for seed, change in ((0, -5.0), (1, 5.0)):
                lines.append({**identity(course, seed, maker), "return": result + change, "cpu_s": cpu_s})
    figures = figures_of(json.loads(json.dumps(lines)))
    assert figures["sac_hopper_return_mean"] == 95.0 and figures["sb3_ppo_halfcheetah_return_mean"] == 100.0
    assert figures["sac_hopper_steps_per_cpu_s"] == 100_000.0
    assert met(figures)
    assert not met({**figures, "sac_hopper_return_mean": 80.0})
    assert not met({**figures, "ppo_hopper_steps_per_cpu_s": 1.0})
    assert not met({key: value for key, value in figures.items() if not key.startswith("sb3_ppo_hopper")})


def test_the_page_tells_of_the_newest_run_of_each_seed_and_what_is_missing(tmp_path):
    course, results = learner_returns.COURSES[0], tmp_path / "results.jsonl"
    made = {**identity(course, 0, "robostack"), "cpu_s": 1000.0, "returns": [None, *range(9)]}
    rows = [{**made, "return": value} for value in (1.0, 900.0)] + [{**made, "seed": 1, "return": 1101.0}]
    results.write_text("".join(json.dumps(row) + "\n" for row in rows))
    page = tmp_path / "learner.md"
    page.write_text("before\n<!-- returns -->\nold\n<!-- end -->\nafter\n")
    learner_returns_page.write(page, results)
    text = page.read_text()
    assert text.startswith("before\n<!-- returns -->\n2 of 16 runs, 0.8 CPU-hours") and text.endswith("\nafter\n")
    assert "| SAC, Hopper-v5, 100,000 | robostack | 1,000 | 900, 1,101 | 8 | 100 |" in text and "old" not in text
    assert "| SAC, Hopper-v5, 100,000 | stable-baselines3 | not run |" in text
    assert (tmp_path / "learner_curves.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(ConfigError, match="no place"):
        learner_returns_page.fill("words", [])
