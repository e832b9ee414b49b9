"""Merging files changes where things are, not what they are."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from dataset_samples import CAMERA, LENGTHS, RICH, STILL, contract, record

from hardware.errors import DatasetError
from robostack.data.check import check
from robostack.data.compact import compact
from robostack.data.dataset import Dataset
from robostack.data.repair import repair
from robostack.data.survey import content_files


def contents(root):
    """Everything a reader gets."""
    dataset = Dataset(root)
    found = []
    for index in range(dataset.num_episodes):
        pictures = {key: np.stack(list(dataset.images(index, key))) for key in dataset.image_keys}
        found.append({**dataset.episode(index), **pictures})
    return found


def assert_same(first, second):
    assert len(first) == len(second)
    for one, other in zip(first, second, strict=True):
        assert one.keys() == other.keys()
        for name in one:
            np.testing.assert_array_equal(one[name], other[name])


def test_the_episodes_stay_the_same_in_fewer_files(tmp_path):
    root = record(tmp_path / "d", features=RICH, contract=contract())
    (root / "raw").mkdir()
    (root / "raw/a.mcap").write_bytes(b"messages")
    before, stats = contents(root), json.loads((root / "meta/stats.json").read_text())
    done = compact(root)
    assert (done.episodes, done.files_before, done.files_after) == (3, 9, 3)
    names = {path.relative_to(root).as_posix() for path in content_files(root)}
    assert names == {
        "data/chunk-000/file-000.parquet",
        "meta/episodes/chunk-000/file-000.parquet",
        f"videos/{CAMERA}/chunk-000/file-000.mp4",
    }
    assert_same(contents(root), before)
    assert Dataset(root).contract == contract() and (root / "raw/a.mcap").read_bytes() == b"messages"
    found = check(root, deep=True)
    assert found.ok and not found.findings
    again = json.loads((root / "meta/stats.json").read_text())
    np.testing.assert_allclose(again[STILL]["mean"], stats[STILL]["mean"])
    assert compact(root).files_after == 3  # a second time changes nothing
    assert_same(contents(root), before)
    assert not list(tmp_path.glob(".*"))


def test_recording_goes_on_in_a_compacted_dataset(tmp_path):
    root = record(tmp_path / "d", LENGTHS[:2], features=RICH)
    compact(root)
    record(root, LENGTHS[2:], features=RICH, first=2)
    assert Dataset(root).rows[2].data == (0, 1)
    compact(root)
    assert_same(contents(root), contents(record(tmp_path / "e", features=RICH)))
    assert check(root, deep=True).ok


def test_files_stay_below_the_size_of_the_format(tmp_path, monkeypatch):
    root = record(tmp_path / "d", (6, 6, 6, 6), features=RICH)
    size = max(path.stat().st_size for path in root.rglob("*.mp4"))
    monkeypatch.setattr("robostack.data.rebuild.MB", 2.5 * size / 200)  # room for two videos; rows: one episode a file
    before = contents(root)
    compact(root)
    assert len(list(root.rglob("*.mp4"))) == 2
    dataset = Dataset(root)
    assert [row.videos[CAMERA].file for row in dataset.rows] == [0, 0, 1, 1]
    assert [row.videos[CAMERA].from_s for row in dataset.rows] == pytest.approx([0.0, 0.6, 0.0, 0.6])
    assert_same(contents(root), before)
    assert check(root, deep=True).ok


def test_into_another_folder(tmp_path):
    root = record(tmp_path / "d", (3, 2))
    compact(root, tmp_path / "small")
    assert len(content_files(root)) == 6 and len(content_files(tmp_path / "small")) == 3
    assert_same(contents(root), contents(tmp_path / "small"))
    assert all(path.stat().st_nlink == 1 for path in tmp_path.rglob("*") if path.is_file())  # nothing is shared
    with pytest.raises(DatasetError, match="exists"):
        compact(root, tmp_path / "small")


@pytest.mark.parametrize(("cut", "lost"), [(60, [1]), (1600, [0, 1])])
def test_damage_in_a_shared_file_takes_out_what_it_meets(tmp_path, cut, lost):
    root = record(tmp_path / "d", (5, 3))
    compact(root)
    record(root, (7,), first=2)
    path = root / f"videos/{CAMERA}/chunk-000/file-000.mp4"
    path.write_bytes(path.read_bytes()[:-cut])
    done = repair(root)
    assert [index for index, _ in done.lost] == lost and done.episodes == 3 - len(lost)
    dataset = Dataset(root)
    lengths = [len(dataset.episode(k)["index"]) for k in range(done.episodes)]
    assert lengths == [length for k, length in enumerate((5, 3, 7)) if k not in lost]
    np.testing.assert_array_equal(dataset.episode(done.episodes - 1)["frame_index"], np.arange(7))
    assert len(list(dataset.images(0, CAMERA))) == (5 if lost == [1] else 7)
    assert check(root, deep=True).ok


def test_a_damaged_dataset_is_not_compacted(tmp_path):
    root = record(tmp_path / "d")
    (root / "data/chunk-000/file-001.parquet").write_bytes(b"")
    with pytest.raises(DatasetError):
        compact(root)
    assert Dataset(root).num_episodes == 3 and len(list(root.rglob("*.mp4"))) == 3


def test_where_one_stands(tmp_path, monkeypatch):
    record(tmp_path / "d", (3, 2))
    monkeypatch.chdir(tmp_path / "d")
    assert compact(Path()).files_after == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["d"]
