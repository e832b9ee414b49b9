"""`robostack train` through cameras: demonstrations with images, resume, corrections, evaluation as it trained."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from hardware.errors import ConfigError
from robostack.bench.serl_images import OPERATOR, Plan, complete, demonstrate, env_steps_per_cpu_s, figures_of
from robostack.cli.train import settings
from robostack.evaluation import evaluate
from robostack.learning.image_demonstrations import with_images
from robostack.learning.training import TrainConfig, train
from robostack.learning.with_demonstrations import executed_demonstrations
from robostack.policies.mlp import load_policy
from robostack.tasks.task import TASKS

TASK = TASKS.load("panda-pick-cube")()
SMALL = {"hidden": [16, 16], "batch_size": 4, "learning_starts": 5, "replay_size": 200, "demo_size": 200}
SEEN = settings(("cameras=['front','wrist']", "image_size=32", "unseen=['tool_to_cube','cube_lift','cube_turn']"))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> Path:
    plan = Plan(tmp_path_factory.mktemp("shown"), dataclasses.replace(OPERATOR, episodes=1, image_size=32))
    return demonstrate(plan, TASK, 0)


def run(folder: Path, steps: int, **changes) -> TrainConfig:
    return TrainConfig(
        TASK.name, folder, "rlpd", steps, settings={**SMALL, **SEEN}, evaluate_every=0, report_every=5, **changes
    )


def test_demonstrations_have_the_images_that_belong_to_them(dataset):
    steps = executed_demonstrations(dataset, TASK)
    shown = with_images(steps, dataset, ("wrist", "front"))
    rows = list(shown.transitions())
    assert len(rows) == len(steps) == len(shown.images[0]) and rows[-1].terminated and rows[-1].source == "demo"
    for row, following in itertools.pairwise(rows):
        for name in ("wrist", "front", "state"):
            np.testing.assert_array_equal(row.next_observation[name], following.observation[name])
    np.testing.assert_array_equal(rows[3].observation["wrist"], shown.images[0][3, 0])
    assert not np.array_equal(rows[3].observation["wrist"], rows[3].observation["front"])
    with pytest.raises(ConfigError, match=r"camera top; it has front, wrist"):
        with_images(steps, dataset, ("top",))


def test_a_run_is_trained_resumed_and_judged_through_its_cameras(dataset, tmp_path):
    train(run(tmp_path / "run", 12, demonstrations=dataset, corrector="scripted"))
    last = train(run(tmp_path / "run", 16), resume=True)
    policy = load_policy(last)
    assert last.name == "000000016" and policy.image_size == 32
    assert len(evaluate(TASK, policy, episodes=1).episodes) == 1
    with pytest.raises(ConfigError, match="one simulation"):
        train(run(tmp_path / "many", 16, simulations=4))


def test_the_benchmark_goes_on_with_what_is_missing(tmp_path, monkeypatch):
    changes = {"hidden": (16, 16), "batch_size": 4, "learning_starts": 5, "replay_size": 200, "demo_size": 200}
    monkeypatch.setattr("robostack.bench.serl_images.SEEING", {"image_size": 32, "unseen": ("cube_turn",)})
    monkeypatch.setattr("robostack.bench.serl_images.OPERATOR", dataclasses.replace(OPERATOR, image_size=32))
    operator = dataclasses.replace(OPERATOR, episodes=1, image_size=32)
    plan = Plan(tmp_path, operator, 2, {**changes, "updates_per_step": 1.0}, steps=8, every=8, trials=1)
    lines = complete(plan, (0,), (0,))
    assert [line["way"] for line in lines] == ["bc", "rl", "scratch"]
    assert [line["rlpd"]["freeze_convolutions"] for line in lines[1:]] == [True, False]
    path = tmp_path / "results.jsonl"
    kept = path.read_text().splitlines()
    path.write_text(kept[0] + "\n" + kept[1][:50])  # torn while the second line was written
    monkeypatch.setattr("robostack.bench.serl_images.clone", None)  # would fail if it were asked again
    again = complete(plan, (0,), ())
    assert again[0] == lines[0] and again[1]["successes"] == lines[1]["successes"]
    found = figures_of([{**lines[0], "successes": 1}, lines[1]])
    assert found["image_pick_cube_bc_success"] == 100.0 and "image_pick_cube_rl_steps_to_95" not in found
    assert found["image_pick_cube_rl_steps"] == 8.0
    assert env_steps_per_cpu_s(TASK, 5) > 0.0
