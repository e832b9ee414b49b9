"""The crash benchmark in its reduced form, and that it would see a loss."""

from __future__ import annotations

import numpy as np
import pytest

from robostack.bench import crash
from robostack.data.dataset import Dataset
from robostack.data.features import ACTION, STATE
from robostack.data.writer import DatasetWriter


@pytest.fixture
def recorded(tmp_path):
    with DatasetWriter(tmp_path / "d", fps=crash.FPS, features=crash.FEATURES, robot_type="bench") as writer:
        for index, length in enumerate((4, 3)):
            for step in range(length):
                values = crash.expected(index, step)
                frame = {STATE: values, ACTION: -values, crash.CAMERA: crash.picture(index, step)}
                writer.add({**frame, "next.done": step == length - 1}, crash.TASK)
            writer.finish_episode()
    return tmp_path / "d"


@pytest.mark.slow
def test_five_kills_lose_nothing_that_was_finished():
    measured = crash.BENCH.run(True)
    figures = measured.figures
    assert figures["kills"] == 5
    assert figures["readable_episodes"] == figures["finished_episodes"]
    assert figures["worst_lost_episodes"] <= 1
    assert figures["check_failures"] == figures["repair_failures"] == 0
    assert measured.met and {"readable_episodes", "worst_lost_episodes"} <= set(crash.BENCH.aims)


def test_a_lost_or_wrong_episode_would_be_seen(recorded):
    assert crash._is_readable(recorded, 0, 4) and crash._is_readable(recorded, 1, 3)
    assert not crash._is_readable(recorded, 1, 4) and not crash._is_readable(recorded, 2, 1)
    videos = sorted(recorded.rglob("*.mp4"))
    videos[0].write_bytes(videos[1].read_bytes())  # the pictures of another episode
    assert not crash._is_readable(recorded, 0, 4) and crash._is_readable(recorded, 1, 3)
    np.testing.assert_array_equal(Dataset(recorded).episode(1)[STATE][0], crash.expected(1, 0))


def test_the_tally_counts_losses(tmp_path, monkeypatch, recorded):
    runs = iter([({0: 4, 1: 3}, [0, 1], [0, 1], True), ({2: 9, 3: 9}, [2], [2, 3], False)])
    monkeypatch.setattr(crash, "_one_kill", lambda root, after_s: next(runs))
    recorded.rename(tmp_path / "dataset-00")
    tally = crash.crash(2, tmp_path)
    assert (tally.kills, tally.finished, tally.readable, tally.worst_lost, tally.inside) == (2, 3, 2, 2, 1)
    assert tally.check_failures == tally.repair_failures == 0
