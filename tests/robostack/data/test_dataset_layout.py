"""The files of the format by themselves: what is written is read, what others write too, and errors say where."""

from __future__ import annotations

import errno
import json
import os

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from dataset_samples import CAMERA, LENGTHS, NUMBERS, RICH, STILL, open_writer, record, state
from hypothesis import given
from hypothesis import strategies as st

from hardware.errors import ConfigError, DatasetError, UnknownNameError
from robostack.data.check import check
from robostack.data.columns import arrow_type, data_table, to_arrow, to_numpy
from robostack.data.compact import compact
from robostack.data.dataset import Dataset
from robostack.data.durable import clear_os_errors, durable_file, locked, remove_parts, write_whole
from robostack.data.episodes import EpisodeRow, VideoPart, read_episode_file, write_episodes
from robostack.data.features import (
    DEFAULT_FEATURES,
    STATE,
    Feature,
    checked_value,
    feature_from_json,
    feature_to_json,
    image_feature,
    vector_feature,
)
from robostack.data.layout import DatasetInfo, next_file, read_info, read_tasks, with_defaults, write_info, write_tasks
from robostack.data.stats import column_stats

SHAPES = [(1,), (4,), (2, 3), (2, 1, 3), (1, 2, 2, 2)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "bool", "uint8", "int16"])
def test_columns_come_back(tmp_path, shape, dtype):
    feature = Feature(dtype, shape, None)
    values = np.random.default_rng(0).integers(0, 100, (5, *shape)).astype(dtype)
    values = values[:, 0] if shape == (1,) else values
    parquet.write_table(data_table({"x": values}, {"x": feature}), tmp_path / "x.parquet")
    found = to_numpy(parquet.read_table(tmp_path / "x.parquet")["x"], feature, "x")
    np.testing.assert_array_equal(found, values)
    assert found.dtype == np.dtype(dtype)


def test_columns_of_other_programs_come_back():
    """Lists without a fixed size and wider numbers, which the format allows as well."""
    found = to_numpy(pa.chunked_array([pa.array([[1.0, 2.0], [3.0, 4.0]])]), Feature("float32", (2,), None), "x")
    assert found.dtype == np.float32 and found.tolist() == [[1, 2], [3, 4]]
    assert to_numpy(pa.chunked_array([], pa.float32()), Feature("float32", (1,), None), "x").shape == (0,)
    with pytest.raises(DatasetError, match="'x' has 3 values in 2 rows"):
        to_numpy(pa.chunked_array([pa.array([[1.0, 2.0], [3.0]])]), Feature("float32", (2,), None), "x")
    assert str(arrow_type(Feature("float32", (3,), None))) == "fixed_size_list<item: float>[3]"
    assert to_arrow(["a", "b"], Feature("string", (1,), None)).to_pylist() == ["a", "b"]


def test_info_keeps_what_it_does_not_know(tmp_path):
    info = DatasetInfo(30.0, None, with_defaults({CAMERA: image_feature(4, 6), STATE: vector_feature("a")}))
    write_info(tmp_path, info)
    data = json.loads((tmp_path / "meta/info.json").read_text())
    assert data["robot_type"] is None and data["fps"] == 30 and data["video_path"].startswith("videos/{video_key}/")
    data |= {"tools": [{"name": "x"}], "owner": "me"}
    data["features"][CAMERA]["info"] = {"video.codec": "av1"}
    (tmp_path / "meta/info.json").write_text(json.dumps(data))
    found = read_info(tmp_path)
    assert found.extra == {"tools": [{"name": "x"}], "owner": "me"} and found.video_info[CAMERA] == {
        "video.codec": "av1"
    }
    write_info(tmp_path, found)
    assert json.loads((tmp_path / "meta/info.json").read_text()) == data
    write_info(tmp_path, DatasetInfo(30.0, "x", with_defaults({STATE: vector_feature("a")})))
    assert json.loads((tmp_path / "meta/info.json").read_text())["video_path"] is None


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ("{", "cannot be read"),
        ("[]", "cannot be read"),
        ('{"codebase_version": "v3.0"}', "KeyError"),
        ('{"codebase_version": "v9.9"}', "is a dataset v9.9"),
        ('{"codebase_version": "v3.0", "features": {"x": {}}}', "feature 'x'"),
    ],
)
def test_an_info_that_is_none(tmp_path, change, text):
    (tmp_path / "meta").mkdir()
    (tmp_path / "meta/info.json").write_text(change)
    with pytest.raises(DatasetError, match=text):
        read_info(tmp_path)


def test_features_as_lerobot_writes_them():
    names = {"motors": ["a", "b"], "gripper": "c"}
    assert feature_from_json("x", {"dtype": "float32", "shape": [3], "names": names}).names == ("a", "b", "c")
    old = {"dtype": "video", "shape": [4, 6, 3], "names": ["height", "width", "channel"], "info": {}}
    assert feature_from_json("x", old) == image_feature(4, 6)
    for feature in (*DEFAULT_FEATURES.values(), image_feature(4, 6), vector_feature("a", "b")):
        assert feature_from_json("x", json.loads(json.dumps(feature_to_json(feature)))) == feature


@given(st.floats(allow_nan=False, width=32))
def test_a_number_may_come_in_any_kind(number):
    feature = Feature("float32", (1,), None)
    for value in (number, [number], np.float64(number), np.array([number])):
        assert checked_value("x", feature, value).tolist() == [number]
    with pytest.raises(ConfigError, match="is a string"):
        checked_value("x", Feature("string", (1,), None), number)


@pytest.mark.parametrize("index", ["task", "__index_level_0__"])
def test_tasks_in_any_order_and_under_either_name(tmp_path, index):
    (tmp_path / "meta").mkdir()
    table = pa.table({"task_index": [1, 0, 2], index: ["b", "a", "c"]})
    parquet.write_table(table, tmp_path / "meta/tasks.parquet")
    assert read_tasks(tmp_path) == ("a", "b", "c")
    write_tasks(tmp_path, ["x", "y"])
    assert read_tasks(tmp_path) == ("x", "y")
    parquet.write_table(pa.table({"name": ["x"]}), tmp_path / "meta/tasks.parquet")
    with pytest.raises(DatasetError, match="needs task_index and task"):
        read_tasks(tmp_path)


def test_files_are_numbered_in_chunks(tmp_path):
    assert next_file(0, 0, 1000) == (0, 1) and next_file(0, 999, 1000) == (1, 0)
    root = record(tmp_path / "d", (), RICH)
    info = json.loads((root / "meta/info.json").read_text())
    (root / "meta/info.json").write_text(json.dumps({**info, "chunks_size": 2}))
    record(root, features=RICH)
    assert [row.data for row in Dataset(root).rows] == [(0, 0), (0, 1), (1, 0)]
    assert (root / f"videos/{CAMERA}/chunk-001/file-000.mp4").is_file()
    np.testing.assert_array_equal(Dataset(root).episode(2)[STATE], [state(2, k) for k in range(LENGTHS[2])])
    assert check(root).ok
    compact(root)
    assert Dataset(root).rows[2].data == (0, 0) and check(root, deep=True).ok


def test_descriptions_come_back(tmp_path):
    stats = {"x": column_stats(np.arange(3.0)), CAMERA: {"mean": np.full((3, 1, 1), 0.5), "count": np.array([3])}}
    rows = [
        EpisodeRow(k, 3, ("a", "b"), 3 * k, (0, k), (0, 0), {CAMERA: VideoPart(0, k, 0.5, 0.8, 1)}, stats)
        for k in range(2)
    ]
    write_episodes(tmp_path / "e.parquet", rows)
    found = read_episode_file(tmp_path / "e.parquet", with_stats=True)
    for one, other in zip(found, rows, strict=True):
        assert one.videos == other.videos and (one.index, one.tasks, one.start) == (
            other.index,
            other.tasks,
            other.start,
        )
        assert one.stats[CAMERA]["mean"].shape == (3, 1, 1)
        np.testing.assert_array_equal(one.stats["x"]["q90"], other.stats["x"]["q90"])
    assert read_episode_file(tmp_path / "e.parquet")[0].stats == {}
    fewer = parquet.read_schema(tmp_path / "e.parquet").remove(0)
    fewer = pa.schema([field for field in fewer if "dropped" not in field.name])
    write_episodes(tmp_path / "f.parquet", rows, fewer)  # as the files already there have it
    assert parquet.read_schema(tmp_path / "f.parquet").names == fewer.names
    parquet.write_table(pa.table({"x": [1]}), tmp_path / "g.parquet")
    with pytest.raises(DatasetError, match="not a table of episodes"):
        read_episode_file(tmp_path / "g.parquet")


def test_what_is_not_there(tmp_path):
    dataset = Dataset(record(tmp_path / "d", (2,), RICH))
    for index in (-1, 1):
        with pytest.raises(ConfigError, match="has episodes 0 to 0"):
            dataset.episode(index)
    with pytest.raises(UnknownNameError, match=f"Did you mean '{CAMERA}'"):
        next(dataset.images(0, CAMERA + "s"))
    assert dataset.image_keys == (CAMERA, STILL)
    path = tmp_path / "d/data/chunk-000/file-000.parquet"
    table = parquet.read_table(path)
    parquet.write_table(table.slice(0, 1), path)
    with pytest.raises(DatasetError, match="has 1 rows of episode 0 instead of 2"):
        Dataset(tmp_path / "d").episode(0)
    parquet.write_table(table.drop_columns([STATE]), path)
    with pytest.raises(DatasetError, match=f"lacks the columns {STATE}"):
        Dataset(tmp_path / "d").episode(0)


def test_a_file_is_whole_or_as_before(tmp_path):
    path = tmp_path / "folder/file"
    write_whole(path, b"old")
    with pytest.raises(KeyError), durable_file(path) as temporary:
        temporary.write_bytes(b"half of the n")
        raise KeyError
    assert path.read_bytes() == b"old" and [item.name for item in path.parent.iterdir()] == ["file"]
    left = path.with_name(".file.1.part")
    left.write_bytes(b"of a crash")
    assert remove_parts(tmp_path) == [left] and path.read_bytes() == b"old"


@pytest.mark.parametrize(
    ("number", "text"),
    [(errno.ENOSPC, "no space left"), (errno.EROFS, "cannot be written"), (errno.EIO, "robostack data check")],
)
def test_what_the_system_refuses_is_said(tmp_path, number, text):
    with pytest.raises(DatasetError, match=text), clear_os_errors("it failed", tmp_path):
        raise OSError(number, os.strerror(number))


def test_the_lock_ends_with_its_holder(tmp_path):
    with locked(tmp_path), pytest.raises(DatasetError, match="another process"), locked(tmp_path):
        pass
    with locked(tmp_path):
        pass
    open_writer(tmp_path / "d", NUMBERS).close()
    assert not list(tmp_path.rglob("*lock*"))
