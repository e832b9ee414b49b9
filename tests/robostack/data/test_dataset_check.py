"""What the check sees, and that it says where."""

from __future__ import annotations

import dataclasses
import json
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from dataset_samples import CAMERA, FEATURES, NUMBERS, RICH, contract, frame, open_writer, record

from hardware.errors import DatasetError
from robostack.data.check import check
from robostack.data.dataset import Dataset
from robostack.data.features import ACTION, CAPTURE_TIME, STATE


def rewrite(path, **columns) -> None:
    """Put other numbers into a parquet file."""
    table = parquet.read_table(path)
    for name, values in columns.items():
        place = table.column_names.index(name) if name in table.column_names else len(table.column_names)
        if values is None:
            table = table.remove_column(place)
        elif place < len(table.column_names):
            table = table.set_column(place, name, pa.array(values, type=table.schema.field(name).type))
        else:
            table = table.append_column(name, pa.array(values))
    parquet.write_table(table, path)


def messages(root, level) -> str:
    return "\n".join(f"{item.where}: {item.message}" for item in check(root).findings if item.level == level)


def test_a_good_dataset_has_no_findings(tmp_path):
    found = check(record(tmp_path / "d", features=RICH, contract=contract()), deep=True)
    assert found.ok and not found.findings and (found.episodes, found.frames) == (3, 15)
    assert check(record(tmp_path / "e", (), contract=contract())).findings == ()


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"frame_index": [0, 1, 2, 3, 5]}, "frame_index does not count"),
        ({"index": [0, 1, 2, 3, 9]}, "index does not count from 0"),
        ({"timestamp": [0.0, 0.1, 0.2, 0.3, 0.6]}, "timestamp is up to 0.2 s away"),
        ({"task_index": [0, 0, 0, 0, 7]}, "task_index is outside"),
        ({"task_index": [1] * 5}, "tasks are not those"),
        ({"episode_index": [0, 0, 0, 0, 1]}, "has 4 rows of it instead of 5"),
        ({"spare": [1] * 5}, "undeclared: spare"),
        ({ACTION: None}, "missing: action"),
        ({"next.reward": [0.0, None, 2.0, 3.0, 4.0]}, "missing values"),
    ],
)
def test_rows_that_are_wrong(tmp_path, change, text):
    root = record(tmp_path / "d", features=NUMBERS)
    rewrite(root / "data/chunk-000/file-000.parquet", **change)
    found = messages(root, "error")
    assert text in found and found.startswith("episode 0")


@pytest.mark.parametrize(
    ("column", "value", "text"),
    [
        ("episode_index", 7, "not in order"),
        ("dataset_from_index", 3, "begins at row 3 instead of 5"),
        ("length", 2, "has 3 rows of it instead of 2"),
    ],
)
def test_descriptions_that_are_wrong(tmp_path, column, value, text):
    root = record(tmp_path / "d", features=NUMBERS)
    rewrite(root / "meta/episodes/chunk-000/file-001.parquet", **{column: [value]})
    assert text in messages(root, "error")


def test_counts_that_are_wrong(tmp_path):
    root = record(tmp_path / "d", features=NUMBERS)
    path = root / "meta/info.json"
    info = json.loads(path.read_text())
    path.write_text(json.dumps({**info, "total_frames": 16}))
    assert "counts 16 rows, the episodes have 15" in messages(root, "error")
    path.write_text(json.dumps({**info, "total_tasks": 3}))
    assert "has 2 tasks, 3 are counted" in messages(root, "error")


def test_statistics_of_other_episodes(tmp_path):
    root = record(tmp_path / "d", features=NUMBERS)
    path = root / "meta/stats.json"
    stats = json.loads(path.read_text())
    stats[STATE]["mean"][1] += 1.0
    path.write_text(json.dumps(stats))
    assert f"'{STATE}' is not that of the episodes" in messages(root, "error")
    del stats[ACTION]
    path.write_text(json.dumps(stats))
    assert "lacks action" in messages(root, "error")


def test_a_video_of_another_recording(tmp_path):
    root = record(tmp_path / "d")
    folder = root / f"videos/{CAMERA}/chunk-000"
    shutil.copy(folder / "file-000.mp4", folder / "file-001.mp4")
    assert "has 5 frames for 3 time steps" in messages(root, "warning")
    shutil.copy(folder / "file-000.mp4", folder / "file-002.mp4")
    assert "lacks 2 of its 7 frames" in messages(root, "error")


def test_a_contract_that_is_missing_or_damaged(tmp_path):
    root = record(tmp_path / "d", features=NUMBERS)
    assert "nothing says what the numbers mean" in messages(root, "warning")
    (root / "meta/robostack_contract.json").write_text("{}")
    assert "contract" in messages(root, "error")


def test_what_is_worth_knowing(tmp_path):
    frozen = dataclasses.replace(NUMBERS[ACTION])
    with open_writer(tmp_path / "d", {**NUMBERS, ACTION: frozen}) as writer:
        times = np.array([0.0, 0.2, 0.2, 0.6, 0.8])
        for step in range(5):
            values = frame(0, step, 5, NUMBERS)
            writer.add({**values, ACTION: np.ones(3), CAPTURE_TIME: times[step]}, "pick")
        writer.finish_episode()
        for step in range(3):
            writer.add({**frame(1, step, 3, NUMBERS), CAPTURE_TIME: -float(step)}, "pick")
        writer.finish_episode()
    found = messages(tmp_path / "d", "warning")
    for text in (
        "episode 0: 'action' never changes",
        "episode 0: captured at 5 Hz on average, fps says 10",
        "episode 0: 1 of 5 time steps repeat",
        "episode 1: capture times go backwards",
    ):
        assert text in found
    assert check(tmp_path / "d").ok


def test_an_element_that_never_changes_is_named(tmp_path):
    root = record(tmp_path / "d", (4,), NUMBERS)  # the first element is the number of the episode
    assert "'observation.state' has elements that never change: a" in messages(root, "warning")


def test_dropped_frames_are_said(tmp_path):
    root = record(tmp_path / "d", (4,), FEATURES)
    rewrite(root / "meta/episodes/chunk-000/file-000.parquet", **{f"videos/{CAMERA}/dropped_frames": [2]})
    assert f"2 of 4 frames of '{CAMERA}' were dropped" in messages(root, "warning")


def test_what_is_no_dataset(tmp_path):
    with pytest.raises(DatasetError, match="robostack record"):
        check(tmp_path)
    (tmp_path / "meta").mkdir()
    (tmp_path / "meta/info.json").write_text(json.dumps({"codebase_version": "v2.1"}))
    with pytest.raises(DatasetError, match="robostack data convert"):
        Dataset(tmp_path)
