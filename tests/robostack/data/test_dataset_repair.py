"""Crashes and damage: what was finished stays, and a repaired dataset passes the check."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as parquet
import pytest
from dataset_samples import CAMERA, FEATURES, LENGTHS, NUMBERS, RICH, contract, frame, open_writer, record, state

from hardware.errors import DatasetError
from robostack.data.check import check
from robostack.data.dataset import Dataset
from robostack.data.durable import locked
from robostack.data.features import STATE
from robostack.data.repair import Repaired, repair


class Crash(BaseException):
    """Nothing in the recorder may catch this: the process is gone."""


def assert_episodes(root: Path, episodes: list[int], lengths=LENGTHS) -> None:
    """The dataset holds exactly these of the recorded episodes, and passes the check."""
    dataset = Dataset(root)
    assert dataset.num_episodes == len(episodes)
    for index, episode in enumerate(episodes):
        columns = dataset.episode(index)
        np.testing.assert_array_equal(columns[STATE], [state(episode, k) for k in range(lengths[episode])])
        if CAMERA in dataset.features:
            frames = list(dataset.images(index, CAMERA))
            blue = [image[..., 2].mean() for image in frames]
            expected = [(40 * episode + 16 * k) % 200 for k in range(lengths[episode])]
            np.testing.assert_allclose(blue, expected, atol=6)
    found = check(root, deep=True)
    assert found.ok, found.findings


def test_nothing_to_repair_changes_nothing(tmp_path):
    root = record(tmp_path / "d", features=RICH, contract=contract())
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    assert repair(root) == Repaired(3)
    assert not repair(root).changed
    assert {path: path.read_bytes() for path in root.rglob("*") if path.is_file()} == before


def test_a_crash_between_any_two_renames_loses_at_most_the_running_episode(tmp_path, monkeypatch):
    """Files appear by renaming alone, so the states that a crash can leave are those between two of them."""
    plain, calls = Path.replace, []

    def counting(self, target):
        calls.append(target)
        if len(calls) == limit:
            raise Crash
        return plain(self, target)

    base = record(tmp_path / "base", LENGTHS[:2])
    limit, crashed = 0, True
    adopted = 0
    while crashed:
        limit, crashed = limit + 1, False
        root = tmp_path / f"crash-{limit}"
        shutil.copytree(base, root)
        calls.clear()
        writer = open_writer(root)
        monkeypatch.setattr(Path, "replace", counting)
        monkeypatch.setattr(Path, "unlink", lambda self, missing_ok=False: None)  # the dead clean nothing up
        try:
            for step in range(LENGTHS[2]):
                writer.add(frame(2, step, LENGTHS[2]), "place")
            writer.finish_episode()
        except Crash:
            crashed = True
        monkeypatch.undo()
        os.close(writer._lock)
        seen = Dataset(root)
        assert seen.num_episodes == (2 if crashed else 3)
        for index in range(2):
            np.testing.assert_array_equal(seen.episode(index)[STATE], [state(index, k) for k in range(LENGTHS[index])])
        for path in root.rglob("*.parquet"):
            parquet.read_metadata(path)  # every file that has its name has its footer
        done = repair(root)
        adopted += done.adopted
        assert_episodes(root, [0, 1] if done.episodes == 2 else [0, 1, 2])
        assert not repair(root).changed
        record(root, (4,), first=done.episodes)
        assert Dataset(root).num_episodes == done.episodes + 1 and check(root).ok
    assert limit == 7  # video, tasks, data, episode, statistics, info, and the run without a crash
    assert adopted == 2  # killed before the statistics or before the info: everything of the episode was there


def test_opening_for_recording_puts_right_what_a_crash_left(tmp_path):
    root = record(tmp_path / "d", LENGTHS[:2])
    for name in ("data/chunk-000/file-002.parquet", f"videos/{CAMERA}/chunk-000/.file-002.mp4.77.part"):
        (root / name).write_bytes(b"half")
    warned = [finding.where for finding in check(root).findings if "no finished episode" in finding.message]
    assert len(warned) == 2
    record(root, LENGTHS[2:], first=2)
    assert_episodes(root, [0, 1, 2])
    assert not [item for item in check(root).findings if "no finished episode" in item.message]


@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("data/chunk-000/file-001.parquet", "cut"),
        ("data/chunk-000/file-001.parquet", "gone"),
        ("meta/episodes/chunk-000/file-001.parquet", "cut"),
        (f"videos/{CAMERA}/chunk-000/file-001.mp4", "cut"),
        (f"videos/{CAMERA}/chunk-000/file-001.mp4", "gone"),
    ],
)
def test_a_damaged_episode_is_taken_out_and_the_later_ones_move_up(tmp_path, name, how, deep):
    root = record(tmp_path / "d", features=FEATURES, contract=contract())
    (root / "README.md").write_text("mine")
    path = root / name
    if how == "gone":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[: path.stat().st_size * 3 // 4])
    assert not check(root).ok
    done = repair(root, deep)
    assert [index for index, _ in done.lost] == [1] and done.episodes == 2
    assert_episodes(root, [0, 2])
    assert Dataset(root).contract == contract() and (root / "README.md").read_text() == "mine"
    kept = {path.relative_to(root / "damaged").as_posix() for path in (root / "damaged").rglob("*") if path.is_file()}
    assert kept == set(done.set_aside) and (how == "gone" or name in kept)
    assert not repair(root).changed
    record(root, (3,), first=2)
    assert check(root).ok and Dataset(root).num_episodes == 3


def test_damage_inside_a_frame_is_found_by_decoding(tmp_path):
    root = record(tmp_path / "d", (40,))
    path = root / f"videos/{CAMERA}/chunk-000/file-000.mp4"
    data = bytearray(path.read_bytes())
    start = data.index(b"mdat") + 4
    end = data.index(b"moov", start) - 4
    data[start:end] = bytes(end - start)
    path.write_bytes(data)
    assert check(root).ok  # the packets are all there
    assert not check(root, deep=True).ok
    assert repair(root, deep=True).episodes == 0
    assert Dataset(root).num_episodes == 0 and check(root).ok


@pytest.mark.parametrize("name", ["meta/stats.json", "meta/tasks.parquet"])
@pytest.mark.parametrize("content", [None, b"{"])
def test_statistics_and_tasks_are_made_again(tmp_path, name, content):
    root = record(tmp_path / "d", features=NUMBERS)
    before = (root / name).read_bytes()
    stats = json.loads((root / "meta/stats.json").read_text())
    (root / name).unlink()
    if content is not None:
        (root / name).write_bytes(content)
    assert not check(root).ok
    repair(root)
    assert_episodes(root, [0, 1, 2])
    assert Dataset(root).tasks == ("pick", "place")
    again = json.loads((root / "meta/stats.json").read_text())
    np.testing.assert_allclose(again[STATE]["mean"], stats[STATE]["mean"])
    if name == "meta/tasks.parquet":
        assert (root / name).read_bytes() == before


def test_more_episodes_counted_than_there_are(tmp_path):
    """What lerobot's own recorder leaves when it is killed: the info counts what no file has."""
    root = record(tmp_path / "d", features=NUMBERS)
    info = json.loads((root / "meta/info.json").read_text())
    info |= {"total_episodes": 5, "total_frames": 999}
    (root / "meta/info.json").write_text(json.dumps(info))
    with pytest.raises(DatasetError, match="robostack data repair"):
        Dataset(root)
    assert [index for index, _ in repair(root).lost] == [3, 4]
    assert_episodes(root, [0, 1, 2])


def test_a_repair_that_is_killed_leaves_a_dataset(tmp_path, monkeypatch):
    plain, calls = Path.rename, []

    def counting(self, target):
        calls.append(target)
        if len(calls) == limit:
            raise Crash
        return plain(self, target)

    for limit in (1, 2):
        root = record(tmp_path / f"d{limit}")
        (root / "data/chunk-000/file-001.parquet").unlink()
        calls.clear()
        monkeypatch.setattr(Path, "rename", counting)
        with contextlib.suppress(Crash):
            repair(root)
        monkeypatch.undo()
        repair(root)
        assert_episodes(root, [0, 2])


def test_what_cannot_be_repaired_says_so(tmp_path):
    with pytest.raises(DatasetError, match="no folder"):
        repair(tmp_path / "nowhere")
    with pytest.raises(DatasetError, match="no dataset"):
        repair(tmp_path)
    root = record(tmp_path / "d", (2,), NUMBERS)
    with locked(root), pytest.raises(DatasetError, match="another process"):
        repair(root)
    (root / "meta/info.json").write_text("{")
    with pytest.raises(DatasetError, match="Restore it"):
        repair(root)


def test_opening_for_recording_refuses_damage(tmp_path):
    root = record(tmp_path / "d", features=NUMBERS)
    path = root / "meta/episodes/chunk-000/file-001.parquet"
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(DatasetError, match="robostack data repair"):
        open_writer(root, NUMBERS)
    assert path.is_file() and (root / "data/chunk-000/file-001.parquet").is_file()
