"""Old datasets become new ones."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from dataset_samples import CAMERA, FEATURES, FPS, LENGTHS, frame, record

from hardware.errors import DatasetError
from robostack.data.check import check
from robostack.data.dataset import Dataset
from robostack.data.features import DEFAULT_FEATURES, STATE, feature_to_json
from robostack.data.v21 import convert_v21, is_v21

TASKS = ("pick", "place")


@pytest.fixture
def old(tmp_path):
    """A dataset v2.1, put together by hand from what the format says."""
    root, new = tmp_path / "old", record(tmp_path / "new")
    features = {
        name: {**feature_to_json(item), "names": {"motors": list(item.names)} if name == STATE else None}
        for name, item in {**FEATURES, **DEFAULT_FEATURES}.items()
    }
    info = {
        "codebase_version": "v2.1",
        "robot_type": "koch",
        "total_episodes": len(LENGTHS),
        "total_frames": sum(LENGTHS),
        "total_tasks": 2,
        "total_chunks": 2,
        "chunks_size": 2,
        "fps": int(FPS),
        "splits": {"train": "0:3"},
        "data_path": "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet",
        "video_path": "videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4",
        "features": features,
    }
    (root / "meta").mkdir(parents=True)
    (root / "meta/info.json").write_text(json.dumps(info))
    lines = [json.dumps({"task_index": k, "task": task}) for k, task in enumerate(TASKS)]
    (root / "meta/tasks.jsonl").write_text("\n".join(lines) + "\n")
    episodes = [{"episode_index": k, "tasks": [TASKS[k // 2]], "length": length} for k, length in enumerate(LENGTHS)]
    (root / "meta/episodes.jsonl").write_text("\n".join(map(json.dumps, episodes)) + "\n")
    for episode, length in enumerate(LENGTHS):
        frames = [frame(episode, step, length) for step in range(length)]
        columns = {name: [np.asarray(item[name]).tolist() for item in frames] for name in FEATURES if name != CAMERA}
        columns |= {"timestamp": (np.arange(length) / FPS).tolist(), "frame_index": list(range(length))}
        columns |= {"episode_index": [episode] * length, "index": list(range(length))}
        columns["task_index"] = [episode // 2] * length
        data = root / f"data/chunk-{episode // 2:03d}/episode_{episode:06d}.parquet"
        data.parent.mkdir(parents=True, exist_ok=True)
        parquet.write_table(pa.table(columns), data)
        video = root / f"videos/chunk-{episode // 2:03d}/{CAMERA}/episode_{episode:06d}.mp4"
        video.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(new / f"videos/{CAMERA}/chunk-000/file-{episode:03d}.mp4", video)
    return root


def test_an_old_dataset_becomes_a_new_one(tmp_path, old):
    assert is_v21(old) and not is_v21(tmp_path / "new")
    assert convert_v21(old, tmp_path / "made") == 3
    made, new = Dataset(tmp_path / "made"), Dataset(tmp_path / "new")
    assert made.tasks == TASKS and made.robot_type == "koch" and made.features[STATE].names == ("a", "b", "c")
    for index in range(3):
        one, other = made.episode(index), new.episode(index)
        for name in one:
            np.testing.assert_array_equal(one[name], other[name])
        np.testing.assert_array_equal(list(made.images(index, CAMERA)), list(new.images(index, CAMERA)))
    for name in (STATE, CAMERA):
        np.testing.assert_allclose(made.stats[name]["mean"], new.stats[name]["mean"], atol=0.01)
    assert check(tmp_path / "made", deep=True).ok
    record_more = json.loads((tmp_path / "made/meta/info.json").read_text())
    assert record_more["codebase_version"] == "v3.0" and record_more["chunks_size"] == 2
    assert (tmp_path / "made/data/chunk-001/file-000.parquet").is_file()


def test_nothing_appears_where_the_source_is_damaged(tmp_path, old):
    video = old / f"videos/chunk-000/{CAMERA}/episode_000001.mp4"
    shutil.copy(old / f"videos/chunk-000/{CAMERA}/episode_000000.mp4", video)
    with pytest.raises(DatasetError, match="has 5 frames for 3 rows"):
        convert_v21(old, tmp_path / "made")
    assert not (tmp_path / "made").exists() and not list(tmp_path.glob(".*"))
    (old / "meta/tasks.jsonl").unlink()
    with pytest.raises(DatasetError, match=r"tasks\.jsonl"):
        convert_v21(old, tmp_path / "made")


def test_what_is_refused(tmp_path, old):
    with pytest.raises(DatasetError, match="no dataset of the formats"):
        convert_v21(tmp_path / "new", tmp_path / "made")
    with pytest.raises(DatasetError, match="exists"):
        convert_v21(old, tmp_path / "new")
