"""A killed run continues bit for bit from its last durable state, and the benchmark would see it if it did not."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest

from hardware.errors import CheckpointError
from robostack.bench import avg_kill
from robostack.bench.avg_kill import Victim, endure_kills, kill_one, state
from robostack.checkpoint import checkpoints
from robostack.learning.training import train

SMALL = Victim(checkpoint_every=10, settings={"hidden": (8, 8)}, delay_max_s=0.2)


@pytest.mark.timeout(600)  # starts processes, which a busy machine delays
def test_continues_bit_for_bit_after_each_kill(tmp_path):
    figures = endure_kills(SMALL, tmp_path, 2, np.random.default_rng(1))
    assert figures["kills"] == figures["bit_equal"] == 2.0
    assert figures["steps"] == int(checkpoints(tmp_path / "killed")[-1].name) >= 50
    leftovers = [*(tmp_path / "killed").glob("checkpoints/.*"), *(tmp_path / "killed").glob(".*.part")]
    assert not leftovers  # what the kills left half written is gone after the last resume


def test_every_part_of_the_state_counts(tmp_path):
    folder = train(SMALL.config(tmp_path / "run", 20))
    same = train(SMALL.config(tmp_path / "same", 20))
    assert state(folder) == state(same)
    document = json.loads((same / "learner.json").read_text())
    document["scalars"]["rng"]["state"]["inc"] += 1
    (same / "learner.json").write_text(json.dumps(document))
    assert state(folder) != state(same)
    other = train(SMALL.config(tmp_path / "other", 30))
    assert {key for key, value in state(folder).items() if state(other)[key] == value} == set()


def test_a_continuation_that_differs_is_not_counted(tmp_path, monkeypatch):
    monkeypatch.setattr(avg_kill, "kill_one", lambda victim, folder, delay: clean_stop(victim, folder))
    monkeypatch.setattr(avg_kill, "state", lambda folder: (folder.parent.parent.name, folder.name))
    figures = endure_kills(SMALL, tmp_path, 2, np.random.default_rng(0))
    assert figures["kills"] == 2.0 and figures["bit_equal"] == 0.0


def clean_stop(victim: Victim, folder) -> bool:
    found = checkpoints(folder)
    train(victim.config(folder, (int(found[-1].name) if found else 0) + 10), resume=bool(found))
    return False


def test_a_run_that_fails_is_an_error(tmp_path, monkeypatch):
    code = [sys.executable, "-c", "import sys; sys.exit('no such luck')"]
    monkeypatch.setattr(Victim, "command", lambda self, folder, resume: code)
    with pytest.raises(CheckpointError, match="no such luck"):
        kill_one(SMALL, tmp_path / "run", 0.0)


def test_the_command_is_what_a_user_types(tmp_path):
    command = Victim(checkpoint_every=5, settings={"hidden": (8, 8)}).command(tmp_path, resume=True)
    assert command[1:5] == ["-m", "robostack", "train", "ur5e-reach"]
    assert command[-3:] == ["--resume", "--set", "hidden=(8, 8)"]
