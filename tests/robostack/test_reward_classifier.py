"""Success seen in images: rendered episodes, held-out accuracy, one kind only, missing cameras, success as a judge."""

from __future__ import annotations

import dataclasses
import json
import shutil

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from pick_episodes import environment, record, spoiled  # noqa: E402

from hardware.errors import CheckpointError, ConfigError, UnknownNameError  # noqa: E402
from robostack.classified_success import ClassifiedSuccess  # noqa: E402
from robostack.cli.reward import main as command_line  # noqa: E402
from robostack.evaluation import evaluate_env  # noqa: E402
from robostack.learning.classification_report import choose_threshold, report  # noqa: E402
from robostack.learning.image_settings import ImageSettings  # noqa: E402
from robostack.learning.reward_classifier import RewardConfig, RewardNet, fit, train_classifier  # noqa: E402
from robostack.learning.reward_frames import (  # noqa: E402
    FrameConfig,
    LabelledFrames,
    labelled_frames,
    require_both,
    split_episodes,
)
from robostack.make import make_env  # noqa: E402
from robostack.policies.success_classifier import SuccessClassifier, load_classifier  # noqa: E402

SHORT = RewardConfig(steps=150)


@pytest.fixture(scope="module")
def episodes(tmp_path_factory):
    """A dataset of 14 successes and 12 failures."""
    root = tmp_path_factory.mktemp("reward") / "episodes"
    record(root, 14, 12)
    return root


@pytest.fixture(scope="module")
def trained(episodes, tmp_path_factory):
    folder = tmp_path_factory.mktemp("classifier") / "made"
    return folder, train_classifier(episodes, folder, SHORT)


def test_held_out_episodes_are_judged_right(trained):
    folder, found = trained
    figures = found.figures()
    assert figures["accuracy"] >= 0.95 and figures["roc_area"] >= 0.98
    assert figures["precision"] >= 0.8 and figures["recall"] >= 0.75
    made = load_classifier(folder)
    assert made.cameras == ("front", "wrist") and made.image_size == 84
    learn, threshold, held_out = (set(made.meta["episodes"][part]) for part in ("learn", "threshold", "report"))
    assert not (learn & threshold or learn & held_out or threshold & held_out) and len(held_out) >= 5
    assert learn | threshold | held_out == set(range(26))
    assert made.meta["report"] == json.loads(json.dumps(figures))


def test_the_same_seed_gives_the_same_classifier(episodes, tmp_path):
    config = dataclasses.replace(SHORT, steps=3, batch_size=8)
    files = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        train_classifier(episodes, tmp_path / name, dataclasses.replace(config, seed=seed))
        files.append((tmp_path / name / "classifier.safetensors").read_bytes())
    assert files[0] == files[1] != files[2]


def test_frames_are_labelled_by_the_end_of_their_episode(episodes):
    frames, cameras = labelled_frames(episodes, FrameConfig(positive_frames=2, unlabelled_frames=3))
    assert cameras == ("front", "wrist")
    successful = set(frames.episode[frames.positive].tolist())
    assert successful == set(range(14)) and int(frames.positive.sum()) == 28
    wide, _ = labelled_frames(episodes, FrameConfig(positive_frames=2, unlabelled_frames=0))
    assert len(wide.positive) == len(frames.positive) + 3 * 14
    one, _ = labelled_frames(episodes, FrameConfig(("wrist",)))
    np.testing.assert_array_equal(one.images[:, 0], frames.images[:, 1])


def test_a_column_of_labels_wins(episodes):
    frames, _ = labelled_frames(episodes, FrameConfig(label="next.success"))
    assert int(frames.positive.sum()) == 14  # the very last frame of each success


def test_what_cannot_be_learned_from_is_refused(episodes, tmp_path):
    with pytest.raises(UnknownNameError, match="front, wrist"):
        train_classifier(episodes, tmp_path, RewardConfig(FrameConfig(("top",))))
    with pytest.raises(UnknownNameError, match="next.success"):
        train_classifier(episodes, tmp_path, RewardConfig(FrameConfig(label="next.sucess")))
    frames, _ = labelled_frames(episodes, FrameConfig())
    for kept, said in ((frames.positive, "no success"), (~frames.positive, "shows success")):
        only = LabelledFrames(frames.images[kept], frames.positive[kept], frames.episode[kept])
        with pytest.raises(ConfigError, match=f"none of .* {said}"):
            require_both(only, "these")
    with pytest.raises(ConfigError, match="2 episodes show success"):
        split_episodes(frames.of([0, 1, 20, 21]), (0.2, 0.2), 0)


def test_only_failures_are_refused(tmp_path):
    record(tmp_path / "failures", 0, 1)
    with pytest.raises(ConfigError, match="Record episodes that succeed"):
        train_classifier(tmp_path / "failures", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_numpy_judges_as_torch_does():
    settings = ImageSettings(("a", "b"), 23)
    network = RewardNet(settings, RewardConfig(hidden=16), np.random.default_rng(0))
    images = np.random.default_rng(1).integers(0, 256, (6, 2, 23, 23, 3), dtype=np.uint8)
    blocks = [{"camera": name, "shape": [23, 23, 3], "encoding": "rgb8"} for name in ("a", "b")]
    made = SuccessClassifier(network.arrays(), {"images": blocks, "threshold": 0.5})
    expected = torch.sigmoid(network(torch.from_numpy(images))).detach().numpy()
    np.testing.assert_allclose(made.of_images(images), expected, atol=1e-5)
    assert made.probability({"a": images[0, 0], "b": images[0, 1]}) == pytest.approx(expected[:1], abs=1e-5)
    with pytest.raises(ConfigError, match="camera b"):
        made.success({"a": images[0, 0]})
    with pytest.raises(CheckpointError, match="threshold"):
        SuccessClassifier(network.arrays(), {"images": blocks})


def test_batches_are_balanced_and_dropout_only_in_training():
    """Nine in ten frames show no success; without balance the answer would be no."""
    rng = np.random.default_rng(0)
    positive = np.arange(100) % 10 == 0
    images = rng.integers(0, 100, (100, 1, 23, 23, 3), dtype=np.uint8)
    images[positive] += np.uint8(100)
    config = RewardConfig(steps=40, batch_size=16, hidden=16, shift=1, dropout=0.5, learning_rate=1e-3)
    network, losses = RewardNet(ImageSettings(("a",), 23), config, np.random.default_rng(0)), []
    fit(network, LabelledFrames(images, positive, np.arange(100)), config, lambda _, loss: losses.append(loss))
    seen = torch.from_numpy(images)
    logit = network(seen).detach().numpy()
    assert np.mean(losses[-5:]) < 0.5 * np.mean(losses[:5])
    np.testing.assert_array_equal(logit > 0.0, positive)
    np.testing.assert_array_equal(logit, network(seen).detach().numpy())
    assert not np.allclose(logit, network(seen, rng).detach().numpy())


def test_report_by_hand():
    probability = np.array([0.9, 0.8, 0.8, 0.4, 0.3, 0.1])
    positive = np.array([True, True, False, True, False, False])
    found = report(probability, positive, 0.5)
    counted = (found.true_positives, found.false_positives, found.true_negatives, found.false_negatives)
    assert counted == (2, 1, 2, 1)
    figures = found.figures()
    assert figures["precision"] == figures["recall"] == figures["accuracy"] == pytest.approx(2 / 3)
    # Of nine pairs of a success and a failure seven are in order, one is tied, one is not.
    assert found.area == pytest.approx(7.5 / 9)
    assert [point[:2] for point in found.curve] == [
        (0.0, 0.0), (0.0, 1 / 3), (1 / 3, 2 / 3), (1 / 3, 1.0), (2 / 3, 1.0), (1.0, 1.0),
    ]  # fmt: skip
    with pytest.raises(ConfigError, match="both kinds"):
        report(probability, np.ones(6, dtype=bool), 0.5)


def test_the_threshold_is_the_lowest_with_few_false_positives():
    probability = np.array([0.99, 0.9, 0.7, 0.6, 0.55, 0.2])
    positive = np.array([True, True, False, True, False, False])
    assert choose_threshold(probability, positive, 0.0) == pytest.approx(0.8)
    assert choose_threshold(probability, positive, 0.32) == pytest.approx(0.8)  # not quite one of three
    assert choose_threshold(probability, positive, 0.34) == pytest.approx(0.575)
    assert choose_threshold(probability, positive, 0.7) == 0.5 == choose_threshold(probability, positive, 1.0)
    assert choose_threshold(np.array([0.1, 1.0]), np.array([True, False]), 0.0) == 1.0
    with pytest.raises(ConfigError, match="both kinds"):
        choose_threshold(probability, np.zeros(6, dtype=bool), 0.0)


class Script:
    """The task's script on the state of an observation with images; spoiled from an episode on."""

    image_size = 84

    def __init__(self, policy, how: int | None = None) -> None:
        self.policy, self.how = policy, how

    def reset(self) -> None:
        self.policy.reset()

    def act(self, observation):
        action = self.policy.act(observation["state"])
        return action if self.how is None else spoiled(action, observation["state"], self.how)


def test_classified_success_ends_episodes_as_the_task_would(trained):
    judge = load_classifier(trained[0])
    judge.threshold = 0.5
    env = ClassifiedSuccess(environment(7), judge)
    found = evaluate_env(env, Script(env.task.scripted()), 4)
    assert found.successes == 4 and all(episode.total_reward == 1.0 for episode in found.episodes)
    assert max(episode.duration_s for episode in found.episodes) < 4.0
    observation, _ = env.reset(seed=1)
    policy = Script(env.task.scripted(), how=1)  # never closes the hand
    for _ in range(30):
        observation, reward, terminated, _, info = env.step(policy.act(observation))
        assert not terminated and reward == 0.0 and not info["success"] and not info["task_success"]
        assert 0.0 <= info["probability"] <= 1.0


def test_a_pose_check_has_the_last_word_and_the_time_limit_holds(trained):
    closed = []
    env = ClassifiedSuccess(environment(7), load_classifier(trained[0]), lambda state, episode: episode["closed"] > 2.0)
    observation, _ = env.reset(seed=3)
    policy, disagreed = Script(env.task.scripted()), 0
    for step in range(100):
        observation, _, terminated, truncated, info = env.step(policy.act(observation))
        disagreed += info["probability"] >= env.classifier.threshold
        assert not terminated and not info["success"] and truncated == (step == 99)
        closed.append(bool(env.episode["closed"].item()))
    assert disagreed > 0 and any(closed) and env.state is not None


def test_an_environment_without_its_cameras_is_refused(trained):
    made = load_classifier(trained[0])
    with pytest.raises(ConfigError, match="front, wrist"):
        ClassifiedSuccess(make_env("panda-pick-cube"), made)
    with pytest.raises(ConfigError, match="64x64"):
        ClassifiedSuccess(make_env("panda-pick-cube", image_size=64), made)


def test_the_command_line(episodes, trained, tmp_path, capsys):
    assert command_line(["collect", str(episodes), "--json"]) == 0
    counted = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert counted["frames"]["success"] == 28 and counted["episodes"] == {"success": 14, "no success": 26}
    out = ["--output-dir", str(tmp_path / "c"), "--steps", "2", "--batch-size", "8", "--cameras", "wrist", "--json"]
    assert command_line(["train", str(episodes), *out]) == 0
    made = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert made["classifier"] == str(tmp_path / "c") and 0.0 <= made["accuracy"] <= 1.0
    assert load_classifier(tmp_path / "c").cameras == ("wrist",)
    assert command_line(["report", str(trained[0]), "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["accuracy"] == trained[1].figures()["accuracy"]
    assert command_line(["report", str(trained[0]), str(episodes)]) == 0
    assert "roc_area" in capsys.readouterr().out
    shutil.copytree(tmp_path / "c", tmp_path / "torn")
    (tmp_path / "torn" / "classifier.safetensors").write_bytes(b"x")
    with pytest.raises(CheckpointError, match="damaged"):
        command_line(["report", str(tmp_path / "torn")])
    assert command_line(["judge"]) == 2 and command_line([]) == 0
