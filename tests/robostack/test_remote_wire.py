"""Actor and learner over sockets: kills, cuts, keys, contracts, a full disk; everything arrives, once."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("zmq")
pytest.importorskip("msgpack")

import contextlib

from remote_bench import LearnerInHand, Proxy, contract, policy_arrays, transition, until

from hardware.errors import ConfigError, DatasetError, DeviceNotConnectedError, ProtocolError
from robostack.remote import actor_link, actor_port
from robostack.remote.actor_link import LinkConfig
from robostack.remote.backend import msgpack, zmq
from robostack.remote.keys import make_keys, robot_keys
from robostack.remote.protocol import VERSION, pack, unpack
from robostack.remote.remote_actor import RemoteActor
from robostack.remote.weights import packed

pytestmark = pytest.mark.wire


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Resend and renew soon."""
    monkeypatch.setattr(actor_link, "ANSWER_S", 0.5)
    monkeypatch.setattr(actor_link, "ALIVE_S", 0.1)
    monkeypatch.setattr(actor_link, "RETRY_S", 0.1)
    monkeypatch.setattr(actor_port, "RENEW_S", 1.0)


@pytest.fixture
def keys(tmp_path):
    make_keys(tmp_path / "keys")
    return tmp_path / "keys"


@pytest.fixture
def learner(tmp_path, keys, loopback_host):
    made = LearnerInHand(tmp_path / "run", keys, loopback_host, 0).start()
    yield made
    made.stop()


@pytest.fixture
def actors(tmp_path, keys):
    """Makes actors, and closes them."""
    made = []

    def make(address, made_contract=None, folder=keys, **settings):
        link = LinkConfig(address, folder, tmp_path / "spool", batch_period_s=0.02, **settings)
        actor = RemoteActor(made_contract or contract(), link, seed=0, connect_limit_s=0.0)
        actor.start()
        made.append(actor)
        return actor

    yield make
    for actor in made:
        actor.close(0.0)


def address(learner):
    return f"{learner.host}:{learner.port}"


def act(actor, first, count):
    for number in range(first, first + count):
        actor.experience(transition(number), 0.0)


def test_every_transition_arrives_once_and_the_newest_weights_act(learner, actors):
    actor = actors(address(learner))
    until(actor.may_begin)
    assert learner.said[0].startswith("robot (")
    act(actor, 1, 600)
    until(lambda: actor.link.acknowledged == 600)
    assert learner.keeper.rewards() == list(range(1, 601))
    assert actor.figures()["unacknowledged"] == 0
    observation = np.array([0.3, -0.2, 0.9])
    before = actor.link.policy.act(observation)
    learner.status["version"] = 2
    learner.publish(packed(2, *policy_arrays(seed=1), learner.contract))
    until(lambda: actor.link.version == 2)
    assert not np.array_equal(actor.link.policy.act(observation), before)
    drawn = np.array([actor.act(observation) for _ in range(200)])
    assert np.all((drawn >= -1.0) & (drawn <= 3.0)) and np.ptp(drawn[:, 0]) > 0.1


def test_a_learner_that_was_killed_and_started_again_has_everything_once(learner, actors):
    actor = actors(address(learner))
    until(actor.may_begin)
    act(actor, 1, 300)
    until(lambda: actor.link.acknowledged > 0)
    learner.stop()
    acknowledged = actor.link.acknowledged
    act(actor, 301, 300)  # the robot acts on
    actor.act(np.zeros(3))
    until(lambda: actor.link.recorded == 600)
    learner.start()
    assert learner.keeper.rewards()[:acknowledged] == list(range(1, acknowledged + 1))
    until(lambda: actor.link.acknowledged == 600)
    assert learner.keeper.rewards() == list(range(1, 601))


def test_an_actor_that_was_killed_leaves_its_transitions_to_the_next(learner, actors, tmp_path):
    actor = actors(address(learner))
    until(actor.may_begin)
    learner.stop()
    act(actor, 1, 50)
    until(lambda: actor.link.recorded == 50)
    actor.link.close(0.0)  # what is acknowledged is forgotten by the file, nothing else: as after a kill
    learner.start()
    again = actors(address(learner))
    until(again.may_begin)
    assert any("50 transitions of an earlier start" in note for note in again.link.notes)
    act(again, 51, 10)
    until(lambda: again.link.acknowledged == 10 and again.link.waiting == 0)
    assert sorted(learner.keeper.rewards()) == list(range(1, 61))
    assert len(list((tmp_path / "spool").iterdir())) == 1


def test_a_cut_cable_costs_nothing(learner, actors):
    proxy = Proxy(learner.host, (learner.host, learner.port))
    actor = actors(proxy.address)
    try:
        until(actor.may_begin)
        for start in (1, 101, 201):
            act(actor, start, 50)
            proxy.cut()
            act(actor, start + 50, 50)
            until(lambda: actor.link.problem != "")
            proxy.restore()
            until(lambda wanted=start + 99: actor.link.acknowledged == wanted)
        assert learner.keeper.rewards() == list(range(1, 301))
    finally:
        proxy.close()


def test_an_answer_that_was_lost_is_no_second_transition(learner, actors):
    """The batch arrives, its acknowledgement does not."""
    actor = actors(address(learner))
    until(actor.may_begin)
    send, lost = learner.end.port.send, []

    def losing(peer, kind, **values):
        if kind == "taken" and len(lost) < 2:
            lost.append(values)
        else:
            send(peer, kind, **values)

    learner.end.port.send = losing
    act(actor, 1, 20)
    until(lambda: actor.link.acknowledged == 20)
    assert len(lost) == 2 and learner.ledger.duplicates > 0
    assert learner.keeper.rewards() == list(range(1, 21))


def test_without_the_key_there_is_no_connection(learner, actors, tmp_path, keys):
    make_keys(tmp_path / "strange")
    stranger = tmp_path / "strange" / "robot"
    (stranger / "learner.public").write_text((keys / "robot" / "learner.public").read_text())
    actor = actors(address(learner), folder=stranger)
    until(lambda: actor.link.failure)
    assert "does not know this robot's key" in actor.link.failure and "learner/robots" in actor.link.failure
    with pytest.raises(ProtocolError, match="does not know"):
        actor.may_begin()


def test_a_wrong_learner_is_not_spoken_to(learner, actors, tmp_path):
    make_keys(tmp_path / "strange")
    actor = actors(address(learner), folder=tmp_path / "strange")
    until(lambda: actor.link.failure)
    assert "is not the learner whose key is in learner.public" in actor.link.failure


def test_without_encryption_nothing_gets_through(learner):
    with zmq.Context() as context, context.socket(zmq.DEALER) as socket:
        socket.linger, socket.immediate = 0, True
        socket.connect(f"tcp://{address(learner)}")
        events = socket.get_monitor_socket()
        with contextlib.suppress(zmq.Again):
            socket.send(pack("want_weights"), zmq.NOBLOCK)
        assert socket.poll(500) == 0
        socket.disable_monitor()
        events.close()
    assert learner.end.port.malformed == 0 and learner.end.actors == {}


def test_another_contract_is_refused_field_by_field(learner, actors):
    actor = actors(address(learner), contract(stiffness=(2.0,)))
    until(lambda: actor.link.failure)
    assert "stiffness: trained with (1.0,), offered (2.0,)" in actor.link.failure
    assert learner.end.actors == {} and learner.keeper.rewards() == []


def test_a_full_disk_is_said_and_waited_for(learner, actors, monkeypatch):
    actor = actors(address(learner))
    until(actor.may_begin)
    write, full = learner.keeper.online.add, [True]

    def add(rows):
        if full:
            from hardware.errors import CheckpointError

            raise CheckpointError("the replay cannot be written: No space left on device")
        return write(rows)

    monkeypatch.setattr(learner.keeper.online, "add", add)
    act(actor, 1, 10)
    until(lambda: "No space left" in actor.link.problem)
    assert actor.link.acknowledged == 0 and actor.link.failure == ""
    full.clear()
    until(lambda: actor.link.acknowledged == 10)
    assert learner.keeper.rewards() == list(range(1, 11))


def test_a_full_disk_at_the_robot_is_said_and_the_queue_keeps_the_transitions(learner, actors, monkeypatch):
    actor = actors(address(learner))
    until(actor.may_begin)
    append, full = actor.link._own.append, [True]

    def failing(rows):
        if full:
            raise DatasetError("the spool cannot be written: No space left on device")
        append(rows)

    monkeypatch.setattr(actor.link._own, "append", failing)
    act(actor, 1, 10)
    until(lambda: "spool cannot be written" in actor.figures()["problem"])
    assert actor.figures()["unacknowledged"] == 10 and actor.link.failure == ""
    full.clear()
    until(lambda: actor.link.acknowledged == 10)
    assert learner.keeper.rewards() == list(range(1, 11))


def test_no_learner_is_a_clear_error_and_no_hang(tmp_path, keys, loopback_host):
    link = LinkConfig(f"{loopback_host}:9", keys, tmp_path / "spool")
    actor = RemoteActor(contract(), link, seed=0, connect_limit_s=1.0)
    actor.start()

    def gave_up():
        try:
            return actor.may_begin()
        except DeviceNotConnectedError as error:
            assert "nothing answers" in str(error) and "robostack learn TASK" in str(error)
            return True

    until(gave_up)
    assert not actor.link.failure
    actor.close()
    assert not actor.link._thread.is_alive()


def test_silence_and_a_full_spool_let_no_episode_begin(learner, actors):
    actor = actors(address(learner), spool_limit=20)
    until(actor.may_begin)
    learner.status["hold"] = "the learner, which is 7 updates behind"
    until(lambda: not actor.may_begin())
    assert actor.waits_for == "the learner, which is 7 updates behind"
    learner.status["hold"] = ""
    until(actor.may_begin)
    learner.stop()
    actor.silence_limit_s = 0.3
    until(lambda: "silent" in actor.waits_for)
    assert not actor.may_begin()
    actor.silence_limit_s = 0.0  # no limit: on with the newest weights
    assert actor.may_begin()
    act(actor, 1, 20)
    assert not actor.may_begin() and "20 transitions are not acknowledged, the limit is 20" in actor.waits_for
    act(actor, 21, 5)  # the running episode goes on to its end
    learner.start()
    until(lambda: actor.link.acknowledged == 25)
    until(actor.may_begin)


def test_what_is_not_of_the_protocol_is_counted_and_answered(learner, keys):
    held = robot_keys(keys)
    nonsense = [
        b"",
        b"\xc1",
        b"\x80\x04K\x01.",  # a pickle
        msgpack.packb([1, 2]),
        msgpack.packb({"kind": "transitions", "actor": "a", "first": -1, "count": 1, "rows": b""}),
        msgpack.packb({"kind": "welcome", "version": 1, "run": "r", "learner": "l", "layout": {}}),
        msgpack.packb({"kind": "alive", "actor": "a", "status": {"x": float("nan")}}),
        b"\x81" * 5000,
    ]
    with zmq.Context() as context, context.socket(zmq.DEALER) as socket:
        socket.linger = 0
        socket.curve_serverkey = held.learner
        socket.curve_publickey, socket.curve_secretkey = held.own.public, held.own.secret
        socket.connect(f"tcp://{address(learner)}")

        def ask(*frames):
            socket.send_multipart(frames)
            assert socket.poll(20_000)
            return unpack(socket.recv())

        for data in nonsense:
            kind, values = ask(data)
            assert kind == "refusal" and values["reason"].startswith("malformed: "), data
        assert ask(b"one", b"two")[0] == "refusal"
        assert learner.end.port.malformed == len(nonsense) + 1
        assert ask(pack("want_weights"))[0] == "greet"
        hello = {"actor": "a", "task": "toy", "contract": contract().to_json()}
        assert ask(pack("hello", version=VERSION + 1, **hello))[0] == "refusal"
        assert ask(pack("hello", version=VERSION, **{**hello, "contract": "{}"}))[0] == "refusal"
        assert ask(pack("hello", version=VERSION, **hello))[0] == "welcome"
        assert unpack(socket.recv())[0] == "status"
        for rows in (b"123", np.full(learner.end._kind.itemsize, 255, dtype=np.uint8).tobytes()):
            kind, values = ask(pack("transitions", actor="a", first=1, count=1, rows=rows))
            assert kind == "refusal" and "malformed" in values["reason"]
    assert learner.keeper.rewards() == []


def test_settings_that_cannot_be_are_refused_at_once(tmp_path, keys):
    for wrong in ("localhost", ":5488", "host:port", "host:70000"):
        with pytest.raises(ConfigError, match="host:port"):
            RemoteActor(contract(), LinkConfig(wrong, keys, tmp_path), 0)
    with pytest.raises(ConfigError, match="spool_limit"):
        LinkConfig("h:1", keys, tmp_path, spool_limit=0)
