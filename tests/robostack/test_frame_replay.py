"""Frames stored once: pairs that belong together, breaks in time, the ring, crashes, damaged rows, exact resume."""

from __future__ import annotations

import json

import numpy as np
import pytest

from hardware.errors import CheckpointError, ConfigError
from robostack.learning.frame_replay import FrameReplay
from robostack.learning.replay import Field, transition_fields

FIELDS, FRAME = transition_fields(2, 1), Field((2, 3), "uint8")


def frame(moment: int) -> np.ndarray:
    return np.full((2, 3), moment % 250, dtype=np.uint8)


def steps(first: int, count: int, ended: bool = False) -> dict:
    """Transitions from moment `first` on; observation = moment, next = moment + 1."""
    moments = np.arange(first, first + count)
    ends = np.zeros(count, dtype=np.uint8)
    ends[-1] = ended
    return {
        "observation": np.stack([moments, moments], axis=1),
        "next_observation": np.stack([moments, moments], axis=1) + 1,
        "action": np.zeros((count, 1)),
        "reward": moments,
        "weight": np.ones(count),
        "terminated": ends,
        "truncated": np.zeros(count),
        "source": np.zeros(count),
        "frames": np.stack([frame(moment) for moment in moments]),
        "next_frames": np.stack([frame(moment + 1) for moment in moments]),
    }


def replay(capacity: int = 100, folder=None) -> FrameReplay:
    return FrameReplay(FIELDS, FRAME, capacity, folder)


def drawn(made: FrameReplay, count: int = 400) -> set[int]:
    """The moments drawn; each must come with its own frames."""
    rows = made.sample(np.random.default_rng(0), count)
    moments = rows["reward"].astype(int)
    np.testing.assert_array_equal(rows["frames"], [frame(moment) for moment in moments])
    np.testing.assert_array_equal(rows["next_frames"], [frame(moment + 1) for moment in moments])
    assert "number" not in rows and rows["observation"].shape == (count, 2)
    return set(moments.tolist())


def test_each_moment_is_stored_once_and_drawn_with_the_next():
    made = replay()
    for moment in range(5):
        assert made.add(steps(moment, 1)) == 1
    assert made.total == 5 and len(made) == 4  # what came after the newest step is not stored yet
    assert drawn(made) == {0, 1, 2, 3}
    made.add(steps(5, 1, ended=True))
    assert made.total == 7 and len(made) == 6 and drawn(made) == set(range(6))


def test_time_breaks_off_at_ends_and_where_frames_do_not_fit():
    made = replay()
    made.add(steps(0, 3, ended=True))
    made.add(steps(10, 2))
    made.add(steps(30, 2))  # begins elsewhere: the open transition gets its last frames
    made.add(steps(50, 1, ended=True))
    assert drawn(made) == {0, 1, 2, 10, 11, 30, 31, 50} and len(made) == 8
    assert made.total == 3 + 1 + 2 + 1 + 2 + 1 + 1 + 1
    np.testing.assert_array_equal(made.newest(3)["reward"], [30, 31, 50])


def test_the_ring_forgets_the_oldest_and_never_pairs_over_the_seam():
    made = replay(10)
    for episode in range(20):
        made.add(steps(10 * episode, 4, ended=True))  # five rows
        assert len(made) == min(4 * (episode + 1), 8)
    assert drawn(made) == {180, 181, 182, 183, 190, 191, 192, 193}
    made.add(steps(200, 3))
    assert len(made) == 7 and drawn(made) == {183, 190, 191, 192, 193, 200, 201}  # 202 waits for what follows
    for moment in range(203, 240):
        made.add(steps(moment, 1))
        whole = moment >= 209  # only rows of this episode are left
        assert not whole or (len(made) == 9 and drawn(made) == set(range(moment - 9, moment)))


def test_empty_and_too_small_are_refused():
    with pytest.raises(ConfigError, match="empty"):
        replay().sample(np.random.default_rng(0), 1)
    with pytest.raises(ConfigError, match="at least 2"):
        replay(1)


def test_a_crash_costs_only_the_newest_transition(tmp_path):
    made = replay(folder=tmp_path)
    made.add(steps(0, 4, ended=True))
    made.add(steps(10, 4))
    again = replay(folder=tmp_path)  # without closing the first one
    assert drawn(again) == {0, 1, 2, 3, 10, 11, 12}
    again.add(steps(14, 2, ended=True))  # does not follow 13 for all that anybody knows
    assert drawn(again) == {0, 1, 2, 3, 10, 11, 12, 14, 15}


def test_a_damaged_row_takes_only_its_own_transition_and_the_one_before(tmp_path):
    made = replay(folder=tmp_path)
    made.add(steps(0, 6, ended=True))
    made.close()
    stride = (tmp_path / "rows.bin").stat().st_size // 100
    with (tmp_path / "rows.bin").open("r+b") as file:
        file.seek(2 * stride + 3)
        file.write(b"\xff\xee")
    with pytest.warns(RuntimeWarning, match="1 damaged"):
        again = replay(folder=tmp_path)
    assert drawn(again) == {0, 3, 4, 5}


@pytest.mark.parametrize("where", ["memory", "disk"])
def test_restored_it_goes_on_from_the_open_transition(tmp_path, where):
    folder = tmp_path / "rows" if where == "disk" else None
    made = replay(folder=folder)
    made.add(steps(0, 3, ended=True))
    made.add(steps(10, 3))
    state = {name: array.copy() for name, array in made.state().items()}
    made.add(steps(13, 2, ended=True))
    expected = made.sample(np.random.default_rng(1), 50)
    again = replay(folder=folder)
    again.restore(state, tmp_path)
    assert again.total == 7 and len(again) == 5
    again.add(steps(13, 2, ended=True))
    for name, array in again.sample(np.random.default_rng(1), 50).items():
        np.testing.assert_array_equal(array, expected[name])


def test_later_rows_can_be_kept_and_then_nothing_follows_the_checkpoint(tmp_path):
    made = replay(folder=tmp_path)
    made.add(steps(0, 3))
    state = made.state()
    made.add(steps(3, 2))
    again = replay(folder=tmp_path)
    again.restore(state, tmp_path, keep_later=True)
    assert drawn(again) == {0, 1, 2, 3}
    again.add(steps(5, 1, ended=True))
    assert drawn(again) == {0, 1, 2, 3, 5}


def test_a_state_without_frames_and_another_layout_are_refused(tmp_path):
    made = replay(folder=tmp_path)
    state = {name: array for name, array in made.state().items() if name != "open"}
    with pytest.raises(CheckpointError, match="no images"):
        made.restore(state, tmp_path)
    made.close()
    with pytest.raises(CheckpointError, match="another kind"):
        FrameReplay(FIELDS, Field((2, 4), "uint8"), 100, tmp_path)
    head = json.loads((tmp_path / "head.json").read_text())
    assert head["layout"]["frames"] == [[2, 3], "uint8"]
