"""Checkpoints: round trip, damage, and crashes at every point of replacing a folder."""

from __future__ import annotations

import json

import numpy as np
import pytest

from hardware.errors import CheckpointError
from robostack.checkpoint import atomic_folder, checkpoints, latest_checkpoint, load_policy, recover_folder, save_policy
from robostack.contract import Contract
from robostack.tasks.task import Term

CONTRACT = Contract(
    *("task", "robot", ("j",), (0.1,), (1.0,), (1.0,), "base", None, 0.04, 500.0),
    observation=(Term("o", ("x",), "1", "", -1.0, 1.0),),
    action=(Term("a", ("x",), "1", "", -1.0, 1.0),),
    history=1,
)
ARRAYS = {"weight": np.arange(6, dtype=np.float32).reshape(2, 3).T, "scale": np.array([1 / 3])}


def save(folder):
    save_policy(folder, ARRAYS, CONTRACT, {"kind": "mlp", "hidden": (3,)}, {"seed": 4})


def test_round_trip(tmp_path):
    save(tmp_path)
    saved = load_policy(tmp_path)
    assert saved.contract == CONTRACT
    assert saved.config == {"kind": "mlp", "hidden": [3]}
    assert saved.provenance["seed"] == 4 and saved.provenance["numpy"] == np.__version__
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(saved.arrays[name], array)
        assert saved.arrays[name].dtype == array.dtype
    assert len(saved.sha256) == 64


def flip(folder):
    blob = bytearray((folder / "policy.safetensors").read_bytes())
    blob[-1] ^= 1
    (folder / "policy.safetensors").write_bytes(blob)


def cut(folder):
    text = (folder / "policy.json").read_text()
    (folder / "policy.json").write_text(text[: len(text) // 2])


def without(key):
    def edit(folder):
        document = json.loads((folder / "policy.json").read_text())
        del document[key]
        (folder / "policy.json").write_text(json.dumps(document))

    return edit


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (flip, "damaged"),
        (cut, "cannot be read"),
        (without("contract"), "contract"),
        (without("format"), "version"),
        (lambda folder: (folder / "policy.safetensors").unlink(), "missing"),
        (lambda folder: (folder / "policy.json").write_text("[]"), "cannot be read"),
    ],
)
def test_damage_is_found_and_the_message_says_what_to_do(tmp_path, damage, said):
    save(tmp_path)
    damage(tmp_path)
    with pytest.raises(CheckpointError, match=rf"(?s){said}.*Use"):
        load_policy(tmp_path)


def test_a_folder_is_replaced_only_when_complete(tmp_path):
    target = tmp_path / "checkpoint"
    with atomic_folder(target) as fresh:
        (fresh / "file").write_text("old")
        assert not target.exists()
    with pytest.raises(RuntimeError), atomic_folder(target) as fresh:
        (fresh / "file").write_text("half")
        raise RuntimeError
    assert (target / "file").read_text() == "old"
    with atomic_folder(target) as fresh:
        (fresh / "file").write_text("new")
    assert (target / "file").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint"]


def test_a_crash_between_the_two_renames_is_recovered(tmp_path):
    target = tmp_path / "checkpoint"
    save(target)
    target.rename(tmp_path / ".checkpoint.previous")
    recover_folder(target)
    assert load_policy(target).contract == CONTRACT


def test_latest_checkpoint_of_a_run(tmp_path):
    with pytest.raises(CheckpointError, match="robostack train"):
        latest_checkpoint(tmp_path)
    for steps in (900, 10000, 2000):
        save(tmp_path / "checkpoints" / str(steps))
    assert [path.name for path in checkpoints(tmp_path)] == ["900", "2000", "10000"]
    assert latest_checkpoint(tmp_path).name == "10000"
    assert latest_checkpoint(tmp_path / "checkpoints" / "900").name == "900"
