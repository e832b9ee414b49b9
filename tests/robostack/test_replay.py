"""Replay: the ring, uniform draws, and a file that survives torn writes, damage, full disks and strangers."""

from __future__ import annotations

import errno
import json
import os

import numpy as np
import pytest

from hardware.errors import CheckpointError, ConfigError
from robostack.learning.replay import Field, Replay, transition_fields

FIELDS = {"x": Field((3,), "float32"), "pixels": Field((5,), "uint8"), "flag": Field((), "uint8")}


def rows(first: int, count: int) -> dict:
    number = np.arange(first, first + count)
    return {
        "x": np.stack([number, number * 2, number * 3], axis=1),
        "pixels": np.tile(number[:, None] % 256, 5),
        "flag": number % 2,
    }


def numbers(replay: Replay) -> list[int]:
    """The first column of all that is kept, oldest first; every row is checked for being whole."""
    kept = replay.newest(len(replay))
    np.testing.assert_array_equal(kept["x"][:, 2], 3 * kept["x"][:, 0])
    np.testing.assert_array_equal(kept["pixels"][:, 4], kept["x"][:, 0] % 256)
    np.testing.assert_array_equal(kept["flag"], kept["x"][:, 0] % 2)
    return [int(value) for value in kept["x"][:, 0]]


@pytest.fixture(params=["memory", "disk"])
def replay(request, tmp_path):
    return Replay(FIELDS, 10, tmp_path / "replay" if request.param == "disk" else None)


def test_the_newest_are_kept(replay):
    assert len(replay) == 0
    for first, count, kept in ((0, 4, range(4)), (4, 5, range(9)), (9, 4, range(3, 13)), (13, 25, range(28, 38))):
        assert replay.add(rows(first, count)) == count
        assert numbers(replay) == list(kept)
    assert replay.total == 38
    assert [int(x) for x in replay.newest(2)["x"][:, 0]] == [36, 37]


def test_draws_are_uniform_and_repeatable(replay):
    replay.add(rows(0, 13))
    drawn = replay.sample(np.random.default_rng(0), 5000)
    counts = np.bincount(drawn["x"][:, 0].astype(int), minlength=13)
    assert counts[:3].sum() == 0 and np.all(np.abs(counts[3:] - 500) < 100)
    assert drawn["x"].shape == (5000, 3) and drawn["x"].dtype == np.float32 and drawn["flag"].shape == (5000,)
    again = replay.sample(np.random.default_rng(0), 5000)
    np.testing.assert_array_equal(drawn["x"], again["x"])


def test_an_empty_replay_or_none_is_refused(replay):
    with pytest.raises(ConfigError, match="empty"):
        replay.sample(np.random.default_rng(0), 1)
    with pytest.raises(ConfigError, match="at least 1"):
        Replay(FIELDS, 0)


@pytest.mark.parametrize("count", [4, 17])
def test_what_was_written_is_there_after_a_crash(tmp_path, count):
    """Nothing is closed or flushed: the process just ends."""
    Replay(FIELDS, 10, tmp_path).add(rows(0, count))
    reopened = Replay(FIELDS, 10, tmp_path)
    assert reopened.total == count and numbers(reopened) == list(range(max(0, count - 10), count))
    reopened.add(rows(count, 3))
    assert numbers(Replay(FIELDS, 10, tmp_path))[-1] == count + 2


def damage(folder, row: int, offset: int = 0, value: int | None = None) -> None:
    path = folder / "rows.bin"
    stride = path.stat().st_size // 10
    with path.open("r+b") as file:
        file.seek(row * stride + offset)
        byte = file.read(1)[0]
        file.seek(row * stride + offset)
        file.write(bytes([byte ^ 0xFF if value is None else value]))


def test_a_torn_row_is_left_out_and_the_last_whole_one_is_the_newest(tmp_path):
    Replay(FIELDS, 10, tmp_path).add(rows(0, 6))
    path = tmp_path / "rows.bin"
    stride = path.stat().st_size // 10
    with path.open("r+b") as file:  # the crash cut the write of row 5
        file.seek(5 * stride + stride // 2)
        file.write(bytes(stride - stride // 2))
    with pytest.warns(RuntimeWarning, match=r"1 damaged or torn .* 5 kept"):
        replay = Replay(FIELDS, 10, tmp_path)
    assert numbers(replay) == [0, 1, 2, 3, 4]
    replay.add(rows(100, 1))
    assert numbers(Replay(FIELDS, 10, tmp_path)) == [0, 1, 2, 3, 4, 100]


@pytest.mark.parametrize("count", [8, 13])
@pytest.mark.parametrize("offset", [1, 13, 20, 24])
def test_any_damaged_byte_costs_only_its_row(tmp_path, count, offset):
    Replay(FIELDS, 10, tmp_path).add(rows(0, count))
    damage(tmp_path, 4, offset)
    with pytest.warns(RuntimeWarning, match="1 damaged"):
        replay = Replay(FIELDS, 10, tmp_path)
    expected = [number for number in range(max(0, count - 10), count) if number % 10 != 4]
    assert numbers(replay) == expected
    assert numbers(Replay(FIELDS, 10, tmp_path)) == expected  # mended: no second warning


def test_a_shortened_file_keeps_what_is_left(tmp_path):
    Replay(FIELDS, 10, tmp_path).add(rows(0, 10))
    path = tmp_path / "rows.bin"
    os.truncate(path, path.stat().st_size // 2 + 3)
    with pytest.warns(RuntimeWarning, match="5 kept|5 damaged|1 damaged"):
        replay = Replay(FIELDS, 10, tmp_path)
    assert numbers(replay) == [0, 1, 2, 3, 4]


def test_strangers_are_refused(tmp_path):
    Replay(FIELDS, 10, tmp_path).add(rows(0, 2))
    with pytest.raises(CheckpointError, match="capacity is 10, wanted 11"):
        Replay(FIELDS, 11, tmp_path)
    with pytest.raises(CheckpointError, match="layout"):
        Replay({**FIELDS, "x": Field((3,), "int32")}, 10, tmp_path)
    (tmp_path / "head.json").write_text('{"format"')
    with pytest.raises(CheckpointError, match="damaged"):
        Replay(FIELDS, 10, tmp_path)


def test_a_full_disk_is_an_error_and_loses_nothing(tmp_path, monkeypatch):
    replay = Replay(FIELDS, 10, tmp_path)
    replay.add(rows(0, 3))
    write = os.pwrite

    def full(descriptor, data, offset):
        write(descriptor, data[: len(data) // 2], offset)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(CheckpointError, match=r"No space left.*Free some room"):
        replay.add(rows(3, 2))
    monkeypatch.setattr(os, "pwrite", write)
    assert replay.total == 3 and numbers(replay) == [0, 1, 2]
    replay.add(rows(3, 2))
    assert numbers(replay) == [0, 1, 2, 3, 4]


def test_state_brings_back_the_moment_it_was_taken(replay, tmp_path):
    replay.add(rows(0, 7))
    state = replay.state()
    replay.add(rows(7, 2))
    replay.restore(state, tmp_path)
    assert replay.total == 7 and numbers(replay) == list(range(7))
    replay.add(rows(50, 1))
    assert numbers(replay) == [*range(7), 50]


def test_state_on_disk_may_keep_what_came_later(tmp_path):
    replay = Replay(FIELDS, 10, tmp_path)
    replay.add(rows(0, 4))
    state = replay.state()
    replay.add(rows(4, 2))
    later = Replay(FIELDS, 10, tmp_path)
    later.restore(state, tmp_path, keep_later=True)
    assert numbers(later) == list(range(6))
    later.add(rows(6, 8))
    with pytest.warns(RuntimeWarning, match="not an exact repetition"):
        later.restore(state, tmp_path)
    assert numbers(later) == list(range(4, 14))


def test_state_that_does_not_fit_is_refused(tmp_path):
    memory, disk = Replay(FIELDS, 10), Replay(FIELDS, 10, tmp_path / "a")
    memory.add(rows(0, 12))
    disk.add(rows(0, 3))
    with pytest.raises(CheckpointError, match="on disk"):
        memory.restore(disk.state(), tmp_path)
    with pytest.raises(CheckpointError, match="needs 3 transitions"):
        Replay(FIELDS, 10, tmp_path / "b").restore(disk.state(), tmp_path)
    with pytest.raises(CheckpointError, match="capacity"):
        Replay(FIELDS, 11).restore(memory.state(), tmp_path)
    fresh = Replay(FIELDS, 10, tmp_path / "c")
    fresh.restore(memory.state(), tmp_path)  # from memory to disk
    assert numbers(fresh) == list(range(2, 12))


def test_layout_of_transitions():
    fields = transition_fields(4, 2)
    assert list(fields) == [
        "observation", "next_observation", "action", "reward", "weight", "terminated", "truncated", "source",
    ]  # fmt: skip
    assert transition_fields(4, 2, 3)["privileged"] == Field((3,), "float32")
    assert json.loads(json.dumps(Replay(fields, 1).layout())) == Replay(fields, 1).layout()
