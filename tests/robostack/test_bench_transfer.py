"""The benchmark of drawing unknown dynamics: its courses, resuming, figures, tables, and its options."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hardware.config import load_config
from hardware.errors import ConfigError, UnknownNameError
from hardware.registry import load_object
from robostack.bench import transfer
from robostack.bench.bench import BENCHES
from robostack.bench.transfer import TransferBenchOptions, complete, figures_of, interval, met
from robostack.bench.transfer_courses import COURSES, METHODS, Course, course_of, identity, run_name
from robostack.bench.transfer_tables import belonging, curves, fill, table, write
from robostack.cli.bench import _parsed
from robostack.learning.learner import LEARNERS
from robostack.statistics import wilson_interval
from robostack.tasks.task import TASKS
from sim.randomization.distribution import DISTRIBUTIONS


def line(method: str, seed: int, final: int, best: int, course: Course | None = None, **changes: Any) -> dict[str, Any]:
    """A result by hand: successes of 100 episodes."""
    known = identity(course or course_of("swingup"), method, seed)
    judged = {which: {"success": n / 100, "successes": n, "episodes": 100} for which, n in (("final", final),)}
    judged["best"] = {"success": best / 100, "successes": best, "episodes": 100, "steps": 1}
    return json.loads(json.dumps({**known, **judged, "entropy": -1.0, "cpu_s": 100.0, **changes}))


def test_every_course_can_be_opened():
    pytest.importorskip("torch")
    published = [course_of(key, published=True) for key in COURSES]
    for course in (*COURSES.values(), *published):
        dynamics = TASKS.load(course.task)().dynamics
        for method, name in transfer.DISTRIBUTIONS.items():
            DISTRIBUTIONS.load(name).open(dynamics, dict(course.distributions.get(method, {})))
        load_config(load_object(LEARNERS.load(course.learner).config), dict(course.settings))
        assert course.steps % course.block == 0
        if course.learner == "sac":
            assert course.settings["updates_per_step"] == 0.2 and course.settings["hidden"] == [128, 128]
    assert {(course.learner, course.history, course.simulations) for course in published} == {("sac", 6, 5)}
    assert not any(course.evaluate_every for course in published), "judged after each update"
    with pytest.raises(UnknownNameError, match="swingup"):
        course_of("swing-up")


def test_only_learners_with_values_are_shown_the_dynamics():
    pytest.importorskip("torch")
    shown = {course.learner: transfer._has_critic(course) for course in COURSES.values()}
    assert shown == {"sac": True, "ppo": True, "dagger": False}


def test_the_published_budget_is_one_flag_away():
    course = course_of("swingup", published=True)
    assert (course.steps, course.block, course.seeds) == (2_500_000, 100_000, tuple(range(10)))
    assert "batch_size" not in course.settings and course.settings["actor_learning_rate"] == 5e-4
    assert course.distributions["autodr"]["episodes"] == 20, "as published"
    assert course.distributions["doraemon"]["step_divergence"] == 0.1 and course.lsdr_episodes == 100
    assert run_name(course, "none", 0) != run_name(course_of("swingup"), "none", 0)


def test_one_method_s_settings_do_not_concern_the_others():
    course = course_of("swingup")
    other = dataclasses.replace(course, distributions={**course.distributions, "lsdr": {"weight": 7.0}}, seeds=(5,))
    changed = {method for method in METHODS if identity(course, method, 0) != identity(other, method, 0)}
    assert changed == {"lsdr"}
    assert identity(course, "lsdr", 0)["lsdr_episodes"] > 0 and "lsdr_episodes" not in identity(course, "none", 0)


def test_runs_are_resumed_within_and_between(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("torch")
    from robostack.learning import training

    small = {"hidden": [8], "batch_size": 8, "learning_starts": 1_900, "updates_per_step": 0.05}
    course = dataclasses.replace(
        course_of("swingup"),
        steps=2_000,
        block=1_000,
        settings=small,
        evaluate_every=0,
        evaluate_episodes=2,
        final_episodes=2,
    )
    train = training.train

    def stopped(config: Any, **options: Any) -> Path:
        train(dataclasses.replace(config, steps=1_000), **options)
        raise KeyboardInterrupt

    monkeypatch.setattr(training, "train", stopped)
    with pytest.raises(KeyboardInterrupt):
        complete(course, ("doraemon",), (0,), tmp_path)
    resumed = []
    monkeypatch.setattr(
        training, "train", lambda config, resume: (resumed.append(resume), train(config, resume=resume))[1]
    )
    (found,) = complete(course, ("doraemon",), (0,), tmp_path)
    assert resumed == [True] and [row[0] for row in found["curve"]] == [1_000, 2_000]
    assert found["final"]["episodes"] == 2 and found["best"]["steps"] in (1_000, 2_000) and found["cpu_s"] > 0.0
    assert -4.0 < found["entropy"] < -3.0, "Beta(100, 100) twice, less the uniform"
    run = tmp_path / run_name(course, "doraemon", 0)
    assert (run / "final" / "policy.json").is_file() and not (run / "checkpoints").exists()
    with (tmp_path / "results.jsonl").open("a") as file:
        file.write('{"torn')
    monkeypatch.setattr(transfer, "learn", lambda *_: pytest.fail("is there already"))
    assert complete(course, ("doraemon",), (0,), tmp_path) == [found]


def test_intervals_over_seeds_and_of_one_policy():
    three = [line("none", seed, 50, successes) for seed, successes in enumerate((60, 70, 80))]
    mean, half = interval(three, "best")
    assert mean == pytest.approx(0.7) and half == pytest.approx(4.302653 * 0.1 / np.sqrt(3.0), rel=1e-5)
    low, high = wilson_interval(60, 100)
    assert interval(three[:1], "best") == (0.6, pytest.approx((high - low) / 2.0))


def test_figures_and_who_comes_first():
    lines = [line(method, 0, 56, 60, entropy=None if method == "none" else -0.5) for method in METHODS]
    figures = figures_of(lines)
    for method in METHODS:
        assert figures[f"{method}_final_success"] == 0.56 and figures[f"{method}_best_success"] == 0.6
        assert figures[f"{method}_steps_per_cpu_s"] == course_of("swingup").steps / 100.0
        assert 0.0 < figures[f"{method}_best_success_ci95"] < 0.1
    assert "none_final_entropy" not in figures and figures["lsdr_final_entropy"] == -0.5
    assert met(figures) and not met({**figures, "autodr_best_success": 0.61})
    assert not met({key: value for key, value in figures.items() if not key.startswith("lsdr")})
    assert not met({**figures, "doraemon_final_success": 0.54}), "its last policy has lost too much"


def test_tables_take_the_newest_of_each_run_of_these_settings():
    course = course_of("swingup")
    stale = line("doraemon", 0, 1, 1, dataclasses.replace(course, steps=77))
    lines = [line("none", 0, 40, 50, entropy=None), stale, line("doraemon", 0, 2, 2), line("doraemon", 0, 80, 90)]
    rows = table(belonging(lines, course)).splitlines()[2:]
    assert len(rows) == 2
    assert rows[0].startswith("| none: nominal dynamics | 50.0 (40 to 60) | 40.0 (31 to 50) | 50 / 40 | a point |")
    assert rows[1].startswith("| DORAEMON | 90.0 (83 to 94) | 80.0 (71 to 87) | 90 / 80 | -1.00 |")


def test_a_page_keeps_what_is_not_a_table(tmp_path: Path):
    (tmp_path / "swingup").mkdir()
    (tmp_path / "swingup" / "results.jsonl").write_text(json.dumps(line("uniform", 1, 80, 90)) + "\n")
    page = "# Title\n<!-- results: swingup -->\nold\n<!-- end -->\nwords\n"
    kept = tmp_path / "kept"
    filled = fill(page, tmp_path, kept)
    assert filled.startswith("# Title\n<!-- results: swingup -->\n1 of 15 runs, 1 seed(s);") and "old" not in filled
    assert filled.endswith("<!-- end -->\nwords\n") and "| uniform on the whole range | 90.0" in filled
    assert fill(filled, tmp_path, kept) == filled
    assert fill(page, tmp_path / "none", kept) == page, "nothing is known: the old table stays"
    with pytest.raises(ConfigError, match="no place"):
        fill("words", tmp_path, kept)


def test_worlds_of_every_policy_that_was_judged_in_them(tmp_path: Path):
    found = {"success": 0.647, "success_ci95": [0.591, 0.699], "episodes": 300}
    for name, policy in (("a", "runs/transfer/panda-push/doraemon-0-1234/best"), ("b/transfer", "scripted")):
        (tmp_path / "panda-push" / name).mkdir(parents=True)
        results = {"uniform": found, "pybullet, uniform": {"why_not": "no"} if policy == "scripted" else found}
        text = json.dumps({"policy": policy, "worlds": results})
        (tmp_path / "panda-push" / name / "result.json").write_text(text)
    page = tmp_path / "page.md"
    page.write_text("<!-- worlds: panda-push -->\n<!-- end -->")
    write(page, tmp_path)
    rows = page.read_text().splitlines()
    assert rows[1] == "| policy | uniform | pybullet, uniform |"
    assert rows[3] == "| DORAEMON | 64.7 % (59 to 70) of 300 | 64.7 % (59 to 70) of 300 |"
    assert rows[4] == "| hand-written | 64.7 % (59 to 70) of 300 | not run |"
    again = {"policy": "scripted", "worlds": {"uniform": {**found, "success": 0.5}}}
    (tmp_path / "new" / "panda-push" / "c").mkdir(parents=True)
    (tmp_path / "new" / "panda-push" / "c" / "result.json").write_text(json.dumps(again))
    write(page, tmp_path / "new")
    later = page.read_text().splitlines()
    assert later[3] == rows[3], "kept, though its folder is gone"
    assert later[4].startswith("| hand-written | 50.0 % (59 to 70) of 300 |"), "the newest of each policy"


def test_curves_of_what_has_finished_are_drawn_beside_the_page(tmp_path: Path):
    course = course_of("swingup")
    every = course.evaluate_every
    late = [[step + 3, step / course.steps, None, 0.0] for step in range(every, course.steps + 1, every)]
    steps, seeds = curves([line("lsdr", 0, 1, 1, curve=late)], course)
    assert steps[0] == every and steps[-1] == course.steps
    np.testing.assert_allclose(seeds[0], 100.0 * (steps - 3.0).clip(every) / course.steps, atol=1e-9)
    (tmp_path / "swingup").mkdir()
    results = tmp_path / "swingup" / "results.jsonl"
    results.write_text(json.dumps(line("lsdr", 0, 1, 1, curve=late)) + "\n")
    (tmp_path / "page.md").write_text("<!-- results: swingup -->\n<!-- end -->\n")
    write(tmp_path / "page.md", tmp_path)
    filled = (tmp_path / "page.md").read_text()
    assert "| LSDR | 1.0" in filled and "](transfer_curves_swingup.png)" in filled
    assert (tmp_path / "transfer_curves_swingup.png").read_bytes().startswith(b"\x89PNG")
    assert not (tmp_path / "transfer_curves_hopper.png").exists()
    results.unlink()
    write(tmp_path / "page.md", tmp_path)
    assert (tmp_path / "page.md").read_text() == filled, "made again from what the page keeps"


def test_its_options_stand_beside_those_of_every_benchmark():
    options, entry, own = _parsed(["transfer", "--task", "hopper", "--seeds", "3", "4", "--steps", "9", "--json"])
    assert options.name == "transfer" and options.json and not options.quick and entry is BENCHES.load("transfer")
    assert own == (TransferBenchOptions(task="hopper", seeds=(3, 4), steps=9),)
    assert _parsed(["doraemon", "--quick"])[2] == ()
    with pytest.raises(SystemExit):
        _parsed(["doraemon", "--task", "hopper"])
