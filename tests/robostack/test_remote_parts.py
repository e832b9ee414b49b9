"""The parts of the remote learner without sockets: keys, messages, rows, spool, ledger, weights."""

from __future__ import annotations

import dataclasses
import json
import os
import stat

import numpy as np
import pytest

pytest.importorskip("zmq")
pytest.importorskip("msgpack")

from hypothesis import given
from hypothesis import strategies as some
from remote_bench import Keeper, contract, policy_arrays, transition

from hardware.errors import (
    CheckpointError,
    ConfigError,
    ContractMismatchError,
    DatasetError,
    NonFiniteError,
    ProtocolError,
)
from robostack.learning.replay import transition_fields
from robostack.policies.exploring import ExploringPolicy
from robostack.remote import spool as spool_module
from robostack.remote.keys import learner_keys, make_keys, robot_keys
from robostack.remote.ledger import Ledger
from robostack.remote.protocol import pack, unpack
from robostack.remote.rows import batches, row_of, row_type, rows_from
from robostack.remote.spool import Spool, SpoolHead, left_behind
from robostack.remote.weights import packed, unpacked

LAYOUT = {name: [list(field.shape), field.dtype] for name, field in transition_fields(3, 2).items()}
KIND = row_type(LAYOUT)


VECTORS = ("observation", "action", "reward", "next_observation", "terminated", "truncated")


def rows(first, count, source="real"):
    return np.array([row_of(transition(first + k, source), KIND) for k in range(count)], dtype=KIND)


# keys


def test_keys_are_made_for_both_sides_and_secrets_are_secret(tmp_path):
    made = make_keys(tmp_path)
    assert {stat.S_IMODE(path.stat().st_mode) for path in made if path.suffix == ".secret"} == {0o600}
    learner, robot = learner_keys(tmp_path), robot_keys(tmp_path)
    assert learner.robots == {robot.own.public: "robot"} and robot.learner == learner.own.public
    assert robot_keys(tmp_path / "robot") == robot and learner_keys(tmp_path / "learner") == learner
    make_keys(tmp_path, "second")
    assert sorted(learner_keys(tmp_path).robots.values()) == ["robot", "second"]
    assert learner_keys(tmp_path).own == learner.own  # who had keys before keeps them
    with pytest.raises(ConfigError, match="keys of 2 robots"):
        robot_keys(tmp_path)
    with pytest.raises(ConfigError, match="already holds keys of 'robot'"):
        make_keys(tmp_path)
    with pytest.raises(ConfigError, match="letters"):
        make_keys(tmp_path, "../x")


def test_keys_that_are_missing_public_or_nonsense_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="robostack learn keys"):
        learner_keys(tmp_path)
    with pytest.raises(ConfigError, match="robostack learn keys"):
        robot_keys(tmp_path)
    make_keys(tmp_path)
    secret = tmp_path / "robot" / "robot.secret"
    secret.chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        robot_keys(tmp_path)
    secret.chmod(0o600)
    for nonsense in ("", "[]", '{"public": "short", "secret": "short"}'):
        secret.write_text(nonsense)
        with pytest.raises(ConfigError, match="no key file"):
            robot_keys(tmp_path)
    (tmp_path / "learner" / "robots" / "robot.public").unlink()
    with pytest.raises(ConfigError, match="names no robot"):
        learner_keys(tmp_path)


# messages and rows


def test_a_message_comes_back_as_it_was():
    values = {"actor": "a", "first": 7, "count": 2, "rows": b"\x00\x01"}
    assert unpack(pack("transitions", **values)) == ("transitions", values)
    with pytest.raises(ProtocolError, match="wanted"):
        pack("transitions", actor="a")
    with pytest.raises(ProtocolError, match="first is bool"):
        pack("transitions", **{**values, "first": True})
    with pytest.raises(ProtocolError, match="a name of 65 characters"):
        pack("transitions", **{**values, "actor": "a" * 65})
    with pytest.raises(ProtocolError, match="too long"):
        pack("status", values={"waits_for": "x" * 2001})
    with pytest.raises(ProtocolError, match="out of range"):
        pack("transitions", **{**values, "first": -1})


@given(some.binary(max_size=300))
def test_whatever_comes_is_a_message_or_one_clear_error(data):
    try:
        kind, values = unpack(data)
    except ProtocolError as error:
        assert str(error)
    else:
        assert pack(kind, **values)


def test_rows_carry_a_transition_exactly_and_split_by_source():
    sent = np.concatenate([rows(1, 2), rows(3, 1, "intervention"), rows(4, 2)])
    taken = rows_from(sent.tobytes(), 5, KIND)
    parts = list(batches(taken))
    assert [(part.source, part.reward.tolist()) for part in parts] == [
        ("real", [1.0, 2.0]),
        ("intervention", [3.0]),
        ("real", [4.0, 5.0]),
    ]
    np.testing.assert_array_equal(parts[0].observation, np.full((2, 3), 0.5, dtype=np.float32))
    assert parts[0].terminated.dtype == bool
    with pytest.raises(NonFiniteError):
        row_of(transition(np.nan), KIND)
    with pytest.raises(ProtocolError, match="not of this task"):
        row_of(dataclasses.replace(transition(1.0), action=np.zeros(5)), KIND)
    damaged = sent.copy()
    damaged["source"][0] = 9
    with pytest.raises(ProtocolError, match="unknown source"):
        rows_from(damaged.tobytes(), 5, KIND)
    damaged = sent.copy()
    damaged["reward"][4] = np.nan
    with pytest.raises(ProtocolError, match="not finite"):
        rows_from(damaged.tobytes(), 5, KIND)
    with pytest.raises(ProtocolError, match="bytes for"):
        rows_from(sent.tobytes()[:-1], 5, KIND)


@pytest.mark.parametrize(
    "wrong", [{}, {**LAYOUT, "reward": [[], "object"]}, {**LAYOUT, "action": [[2**40], "float32"]}]
)
def test_a_layout_that_is_none_is_refused(wrong):
    with pytest.raises(ProtocolError):
        row_type(wrong)


# spool


def head(actor="a"):
    return SpoolHead(actor, "run", "digest", LAYOUT)


def test_a_spool_survives_a_kill_and_forgets_what_is_acknowledged(tmp_path):
    spool = Spool(tmp_path / "a.spool", head())
    spool.append(rows(1, 5))
    spool.append(rows(6, 5))
    first, found = spool.read(0, 4)
    assert (first, found["reward"].tolist()) == (1, [1, 2, 3, 4])
    spool.acknowledge(3)
    assert len(spool) == 7 and spool.read(3, 100)[1]["reward"].tolist() == list(range(4, 11))
    with pytest.raises(DatasetError, match="cannot be opened"):
        Spool(tmp_path / "a.spool")  # its actor lives
    os.close(spool._descriptor)  # a kill
    again = Spool(tmp_path / "a.spool")
    assert (again.head, len(again), again.last, again.damaged) == (head(), 10, 10, 0)
    again.acknowledge(10)
    assert len(again) == 0 and again.read(0, 5)[0] == 0
    again.append(rows(11, 1))
    assert again.read(10, 5)[0] == 11
    again.acknowledge(11)
    again.close()
    assert left_behind(tmp_path) == []


def test_torn_and_damaged_records_are_left_out(tmp_path):
    path = tmp_path / "a.spool"
    spool = Spool(path, head())
    spool.append(rows(1, 10))
    size, begin = spool._record.itemsize, spool._begin
    os.close(spool._descriptor)
    data = bytearray(path.read_bytes())
    data[begin + 3 * size + 40] ^= 1
    path.write_bytes(data[: begin + 9 * size + 7])
    again = Spool(path)
    assert again.damaged == 2
    assert [again.read(0, 100)[0], again.read(3, 100)[0]] == [1, 5]
    assert again.read(0, 100)[1]["reward"].tolist() == [1, 2, 3]
    assert again.read(3, 100)[1]["reward"].tolist() == [5, 6, 7, 8, 9]
    again.append(rows(10, 1))
    assert again.read(9, 100)[1]["reward"].tolist() == [10]
    path.write_bytes(b"{}\n")
    os.close(again._descriptor)
    with pytest.raises(DatasetError, match="no readable spool"):
        Spool(path)


def test_a_long_spool_is_rewritten_without_what_is_acknowledged(tmp_path, monkeypatch):
    monkeypatch.setattr(spool_module, "FORGET_ROWS", 4)
    spool = Spool(tmp_path / "a.spool", head())
    spool.append(rows(1, 10))
    before = spool.path.stat().st_size
    spool.acknowledge(8)
    assert spool.path.stat().st_size < before
    spool.append(rows(11, 2))
    assert spool.read(8, 10)[1]["reward"].tolist() == [9, 10, 11, 12]
    os.close(spool._descriptor)
    assert Spool(tmp_path / "a.spool").read(0, 10)[1]["reward"].tolist() == [9, 10, 11, 12]


def test_a_full_disk_at_the_robot_is_an_error_that_keeps_the_rows(tmp_path, monkeypatch):
    spool = Spool(tmp_path / "a.spool", head())

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "pwrite", full)
        with pytest.raises(DatasetError, match="No space left"):
            spool.append(rows(1, 3))
    assert len(spool) == 0
    spool.append(rows(1, 3))
    assert spool.read(0, 9)[1]["reward"].tolist() == [1, 2, 3]


# ledger


def test_a_batch_counts_once_and_a_gap_is_counted(tmp_path):
    keeper, ledger = Keeper(tmp_path), Ledger(tmp_path, print)
    assert ledger.take(keeper, "a", 1, rows(1, 5)) == 5
    assert ledger.take(keeper, "a", 3, rows(3, 5)) == 7
    assert ledger.take(keeper, "a", 1, rows(1, 5)) == 7
    assert ledger.take(keeper, "b", 1, rows(100, 1)) == 1
    assert ledger.take(keeper, "a", 10, rows(10, 1)) == 10
    assert keeper.rewards() == [1, 2, 3, 4, 5, 6, 7, 100, 10]
    assert (ledger.duplicates, ledger.missing) == (8, 2)
    again = Ledger(tmp_path, print)
    again.recover(keeper)
    assert again.received.actors == {"a": 10, "b": 1}


@pytest.mark.parametrize("rows_written", [0, 2, 4])
def test_a_kill_within_a_batch_takes_the_batch_back_or_keeps_it_whole(tmp_path, rows_written):
    keeper, ledger = Keeper(tmp_path), Ledger(tmp_path, print)
    ledger.take(keeper, "a", 1, rows(1, 3))
    observe = keeper.observe

    def killed(part):
        if rows_written:
            observe(dataclasses.replace(part, **{name: getattr(part, name)[:rows_written] for name in VECTORS}))
        raise KeyboardInterrupt

    keeper.observe = killed
    with pytest.raises(KeyboardInterrupt):
        ledger.take(keeper, "a", 4, rows(4, 4))
    keeper, said = Keeper(tmp_path), []
    ledger = Ledger(tmp_path, said.append)
    ledger.recover(keeper)
    whole = rows_written == 4
    assert ledger.received.actors == {"a": 7 if whole else 3} and len(said) == (not whole)
    assert ledger.take(keeper, "a", 4, rows(4, 4)) == 7
    assert keeper.rewards() == list(range(1, 8))


def test_damage_elsewhere_is_not_taken_for_a_batch_that_did_not_arrive(tmp_path):
    keeper, ledger = Keeper(tmp_path), Ledger(tmp_path, print)
    for first in (1, 4, 7):
        ledger.take(keeper, "a", first, rows(first, 3))
    path = tmp_path / "online" / "rows.bin"
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // keeper.online.capacity + 8)  # the second row
        file.write(b"\xff\xff")
    with pytest.warns(RuntimeWarning, match="1 damaged"):
        keeper = Keeper(tmp_path)
    ledger = Ledger(tmp_path, print)
    ledger.recover(keeper)
    assert keeper.rewards() == [1, 3, 4, 5, 6, 7, 8, 9] and ledger.received.actors == {"a": 9}


def test_a_disk_that_fails_between_two_replays_leaves_none_of_the_batch(tmp_path, monkeypatch):
    keeper, ledger = Keeper(tmp_path), Ledger(tmp_path, print)
    ledger.take(keeper, "a", 1, rows(1, 2))

    def full(values):
        raise CheckpointError("full")

    with monkeypatch.context() as patched:
        patched.setattr(keeper.online, "add", full)
        with pytest.raises(CheckpointError):
            ledger.take(keeper, "a", 3, rows(3, 2, "intervention"))
    assert (len(keeper.online), len(keeper.demos)) == (2, 0)
    assert ledger.take(keeper, "a", 3, rows(3, 2, "intervention")) == 4
    assert (keeper.rewards(), len(keeper.demos)) == ([1, 2, 3, 4], 2)


def test_a_version_is_never_used_twice_and_a_damaged_ledger_says_so(tmp_path):
    ledger = Ledger(tmp_path, print)
    ledger.published(3)
    assert Ledger(tmp_path, print).received.version == 3
    ledger.path.write_text("{")
    with pytest.raises(CheckpointError, match="is damaged"):
        Ledger(tmp_path, print)


# weights and exploration


def test_weights_arrive_to_the_bit_and_damage_is_seen():
    arrays, config = policy_arrays()
    sent = packed(4, arrays, config, contract())
    policy = unpacked(sent, contract())
    for name, array in arrays.items():
        if name.startswith("layer"):
            index, part = int(name[5]), name.endswith("bias")
            np.testing.assert_array_equal(policy.mean.layers[index][int(part)], array)
    with pytest.raises(ProtocolError, match="damaged"):
        unpacked({**sent, "tensors": sent["tensors"][:-1] + b"\x01"}, contract())
    with pytest.raises(ContractMismatchError, match="stiffness"):
        unpacked(sent, contract(stiffness=(9.0,)))
    with pytest.raises(ProtocolError, match="cannot be read"):
        unpacked({**sent, "policy": json.dumps({"config": {}})}, contract())
    arrays["layer0.bias"][0] = np.nan
    with pytest.raises(CheckpointError, match="not finite"):
        unpacked(packed(5, arrays, config, contract()), contract())
    del arrays["spread.kernel"]
    with pytest.raises(CheckpointError, match="cannot explore"):
        unpacked(packed(5, arrays, config, contract()), contract())


def test_exploration_is_the_squashed_gaussian_of_both_heads():
    """Mean and spread of atanh of the draws against the heads, computed here by hand."""
    arrays, config = policy_arrays(seed=3)
    arrays["spread.kernel"] *= 0.1
    policy: ExploringPolicy = unpacked(packed(1, arrays, config, contract()), contract())
    observation = np.array([0.2, -0.4, 0.1])
    hidden = np.maximum(arrays["layer0.weight"] @ observation + arrays["layer0.bias"], 0.0)
    mean = arrays["layer1.weight"] @ hidden + arrays["layer1.bias"]
    deviation = np.exp(arrays["spread.kernel"] @ hidden + arrays["spread.bias"])
    rng = np.random.default_rng(0)
    drawn = np.array([policy.explore(observation, rng) for _ in range(4000)])
    normal = np.arctanh(np.clip((drawn - 1.0) / 2.0, -1.0 + 1e-12, 1.0 - 1e-12))
    tolerance = 5.0 * deviation / np.sqrt(len(drawn))
    assert np.all(np.abs(np.median(normal, axis=0) - mean) < 1.3 * tolerance)
    quartiles = np.diff(np.quantile(normal, [0.25, 0.75], axis=0), axis=0)[0]
    np.testing.assert_allclose(quartiles, 1.349 * deviation, rtol=0.1)
    np.testing.assert_allclose(policy.act(observation), 1.0 + 2.0 * np.tanh(mean), atol=1e-6)
    flat = np.array([policy.uniform(rng) for _ in range(2000)])
    assert flat.min() >= -1.0 and flat.max() <= 3.0
    np.testing.assert_allclose(flat.mean(axis=0), 1.0, atol=0.15)
