"""Datasets of ours in the `lerobot` library itself, and its datasets here; runs where lerobot is (docs/data.md)."""

from __future__ import annotations

import numpy as np
import pytest
from dataset_samples import CAMERA, FEATURES, FPS, JOINTS, LENGTHS, MATRIX, NOTE, RICH, STILL, contract, picture, record

from robostack.data.check import check
from robostack.data.compact import compact
from robostack.data.dataset import Dataset
from robostack.data.episodes import read_episodes
from robostack.data.features import ACTION, CAPTURE_TIME, DONE, REWARD, STATE, image_feature, vector_feature
from robostack.data.repair import repair
from robostack.data.stats import QUANTILES
from robostack.data.writer import DatasetWriter

LeRobotDataset = pytest.importorskip("lerobot.datasets.lerobot_dataset").LeRobotDataset

TASKS = ("pick", "pick", "place")


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


def opened(root, **settings):
    return LeRobotDataset("local/test", root=root, **settings)


@pytest.mark.parametrize("merged", [False, True])
def test_ours_in_the_library(tmp_path, merged):
    root = record(tmp_path / "d", features=RICH, contract=contract())
    if merged:
        compact(root)
    ours, theirs = Dataset(root), opened(root)
    assert (len(theirs), theirs.num_episodes, theirs.fps) == (sum(LENGTHS), 3, FPS)
    assert theirs.meta.robot_type == "ur5e" and set(theirs.features) == set(ours.features)
    assert theirs.meta.camera_keys == [CAMERA, STILL] and theirs.meta.names[STATE] == list(JOINTS)
    place = 0
    for episode, length in enumerate(LENGTHS):
        columns = ours.episode(episode)
        frames = {key: list(ours.images(episode, key)) for key in (CAMERA, STILL)}
        for step in range(length):
            item = theirs[place]
            for name in (STATE, ACTION, REWARD, DONE, CAPTURE_TIME, MATRIX, *("timestamp", "frame_index", "index")):
                np.testing.assert_allclose(np.asarray(item[name]), columns[name][step], rtol=1e-6)
            assert item[NOTE] == f"note {episode} {step}" and item["task"] == TASKS[episode]
            assert int(item["episode_index"]) == episode
            for key, height, width in ((CAMERA, 32, 48), (STILL, 17, 15)):
                seen = item[key].numpy().transpose(1, 2, 0) * 255.0
                assert np.abs(seen - frames[key][step]).mean() < 2.0  # of the same file by another decoder
                assert np.abs(seen - picture(height, width, episode, step)).mean() < 6.0  # what was recorded
            place += 1
    for name, stats in theirs.meta.stats.items():
        for key, value in stats.items():
            np.testing.assert_allclose(value.reshape(-1), ours.stats[name][key].reshape(-1))


def test_windows_in_time(tmp_path):
    root = record(tmp_path / "d", contract=contract())
    steps = [-0.1, 0.0, 0.1]
    theirs = opened(root, delta_timestamps={STATE: steps, CAMERA: steps})
    item = theirs[5]  # the first step of the second episode
    assert item[STATE][:, 1].tolist() == [0.0, 0.0, 1.0] and item[f"{STATE}_is_pad"].tolist() == [True, False, False]
    assert item[CAMERA].shape == (3, 3, 32, 48)
    blue = item[CAMERA][:, 2].mean(dim=(1, 2)) * 255.0
    np.testing.assert_allclose(blue, [40, 40, 56], atol=6)


def test_after_a_repair_and_some_episodes_only(tmp_path):
    root = record(tmp_path / "d")
    (root / "data/chunk-000/file-001.parquet").unlink()
    repair(root)
    theirs = opened(root)
    assert [int(theirs[k]["index"]) for k in range(len(theirs))] == list(range(12))
    assert theirs[11]["task"] == "place"
    assert len(opened(root, episodes=[1])) == 7


def test_statistics_are_those_of_the_library(tmp_path):
    from lerobot.datasets.compute_stats import aggregate_stats, compute_episode_stats

    ours = Dataset(record(tmp_path / "d", (40, 25), {name: item for name, item in RICH.items() if name != NOTE}))
    features = {name: {"dtype": item.dtype} for name, item in ours.features.items()}
    parts = []
    for episode in range(2):
        columns = {key: value for key, value in ours.episode(episode).items() if key != DONE}
        parts.append(compute_episode_stats(columns, features))
    rows = read_episodes(ours.root, with_stats=True)
    whole = aggregate_stats(parts)
    for name in parts[0]:
        for key in ("min", "max", "mean", "std", "count", *QUANTILES):
            for row, part in zip(rows, parts, strict=True):
                scale = max(1e-6, float(np.ptp([part[name]["min"], part[name]["max"]])))
                np.testing.assert_allclose(
                    row.stats[name][key], part[name][key], atol=2e-3 * scale, err_msg=f"{name} {key}"
                )
            if key not in QUANTILES:  # newer versions of lerobot, and we, take the envelope of these
                np.testing.assert_allclose(ours.stats[name][key], whole[name][key], rtol=1e-3, atol=1e-4)


def make_theirs(root, lengths=(6, 4, 5), codec="h264"):
    features = {
        STATE: {"dtype": "float32", "shape": (3,), "names": list(JOINTS)},
        ACTION: {"dtype": "float32", "shape": (2,), "names": ["u", "v"]},
        DONE: {"dtype": "bool", "shape": (1,), "names": None},
        "observation.matrix": {"dtype": "float32", "shape": (2, 3), "names": None},
        CAMERA: {"dtype": "video", "shape": (64, 96, 3), "names": ["height", "width", "channels"]},
        STILL: {"dtype": "image", "shape": (16, 24, 3), "names": ["height", "width", "channels"]},
    }
    made = LeRobotDataset.create("local/theirs", 10, features, root=root, robot_type="koch", vcodec=codec)
    for episode, length in enumerate(lengths):
        for step in range(length):
            made.add_frame({
                STATE: np.array([episode, step, 0.5], dtype=np.float32),
                ACTION: np.array([step, -step], dtype=np.float32),
                DONE: np.array([step == length - 1]),
                "observation.matrix": np.full((2, 3), step, dtype=np.float32),
                CAMERA: picture(64, 96, episode, step),
                STILL: picture(16, 24, episode, step),
                "task": f"task {episode % 2}",
            })  # fmt: skip
        made.save_episode()
    made.finalize()
    return root


@pytest.mark.parametrize("codec", ["h264", "libsvtav1"])
def test_theirs_here(tmp_path, codec):
    root = make_theirs(tmp_path / "theirs", codec=codec)
    dataset = Dataset(root)
    assert (dataset.num_episodes, dataset.num_frames, dataset.robot_type) == (3, 15, "koch")
    assert dataset.tasks == ("task 0", "task 1") and dataset.features[CAMERA] == image_feature(64, 96)
    assert dataset.features[STATE] == vector_feature(*JOINTS)
    for episode, length in enumerate((6, 4, 5)):
        columns = dataset.episode(episode)
        np.testing.assert_array_equal(columns[STATE][:, 1], np.arange(length))
        np.testing.assert_array_equal(columns["observation.matrix"][:, 1, 2], np.arange(length))
        assert columns[DONE].tolist() == [False] * (length - 1) + [True]
        for key, height, width in ((CAMERA, 64, 96), (STILL, 16, 24)):
            frames = list(dataset.images(episode, key))
            assert len(frames) == length
            for step, seen in enumerate(frames):
                assert np.abs(seen.astype(int) - picture(height, width, episode, step)).mean() < 8.0
    assert dataset.stats[STATE]["max"].tolist() == [2.0, 5.0, 0.5]
    found = check(root, deep=True)
    assert found.ok, found.findings


def test_theirs_is_merged_repaired_and_continued_here(tmp_path):
    root = make_theirs(tmp_path / "theirs")
    assert not repair(root).changed
    before = [Dataset(root).episode(k) for k in range(3)]
    compact(root)
    for k in range(3):
        for name, values in Dataset(root).episode(k).items():
            np.testing.assert_array_equal(values, before[k][name])
    features = Dataset(root).info.user_features
    with DatasetWriter(root, fps=10, features=features, robot_type="koch") as writer:
        for step in range(3):
            writer.add({STATE: [9, step, 0], ACTION: [0, 0], DONE: step == 2, "observation.matrix": np.zeros((2, 3)),
                        CAMERA: picture(64, 96, 9, step), STILL: picture(16, 24, 9, step)}, "task 2")  # fmt: skip
        assert writer.finish_episode() == 3
    again = opened(root)
    assert len(again) == 18 and again[17]["task"] == "task 2" and again[17][STATE].tolist() == [9, 2, 0]
    assert again[17][CAMERA].shape == (3, 64, 96) and again[0]["task"] == "task 0"


def test_ours_is_continued_by_theirs(tmp_path):
    root = record(tmp_path / "d", (4, 3), FEATURES)
    theirs = opened(root, vcodec="h264")
    for step in range(5):
        theirs.add_frame({
            STATE: np.full(3, step, dtype=np.float32), ACTION: np.zeros(3, dtype=np.float32),
            REWARD: np.zeros(1, dtype=np.float32), DONE: np.array([False]), CAPTURE_TIME: np.array([0.1 * step]),
            CAMERA: picture(32, 48, 5, step), "task": "more",
        })  # fmt: skip
    theirs.save_episode()
    theirs.finalize()
    dataset = Dataset(root)
    assert dataset.num_episodes == 3 and dataset.tasks == ("pick", "more")
    np.testing.assert_array_equal(dataset.episode(2)[STATE][:, 0], np.arange(5))
    assert len(list(dataset.images(2, CAMERA))) == 5
