"""The learner as a service: ratio, restart, kill, damaged and full disks, demonstrations, and the policy to the bit."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("zmq")
pytest.importorskip("torch")

from remote_bench import until

from hardware.errors import CheckpointError, ConfigError, ContractMismatchError, DatasetError
from robostack.checkpoint import latest_checkpoint
from robostack.contract import contract_of
from robostack.data.features import ACTION, STATE, vector_feature
from robostack.data.writer import DatasetWriter
from robostack.learning.learn_service import LearnService, LearnServiceConfig
from robostack.learning.learner import Transition
from robostack.learning.replay import Replay, transition_fields
from robostack.policies.mlp import load_policy
from robostack.remote import actor_link
from robostack.remote.actor_link import LinkConfig
from robostack.remote.keys import make_keys
from robostack.remote.learner_port import LearnerPort
from robostack.remote.remote_actor import RemoteActor
from robostack.tasks.ur5e_reach import Ur5eReach

pytestmark = pytest.mark.wire

SETTINGS = {"critics": 2, "hidden": [8, 8], "batch_size": 8, "replay_size": 2000, "demo_size": 100}
SETTINGS |= {"learning_starts": 20, "updates_per_step": 0.5, "critic_steps_per_actor_step": 2}
TASK = Ur5eReach()
CONTRACT = contract_of(TASK)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(actor_link, "ANSWER_S", 1.0)
    monkeypatch.setattr(actor_link, "ALIVE_S", 0.1)
    monkeypatch.setattr(actor_link, "RETRY_S", 0.1)


@pytest.fixture
def keys(tmp_path):
    make_keys(tmp_path / "keys")
    return tmp_path / "keys"


@pytest.fixture
def serve(tmp_path, keys, loopback_host):
    """Opens the run of the test."""
    opened = []

    def open_service(resume=False, port=0, **settings):
        config = LearnServiceConfig("ur5e-reach", settings=SETTINGS, **{"publish_every": 10, **settings})
        said = []
        made = LearnService(
            tmp_path / "run", config, lambda: LearnerPort(loopback_host, port, keys), resume=resume, say=said.append
        )
        made.said = said
        opened.append(made)
        return made

    yield open_service
    for service in opened:
        if not service.end.port._socket.closed:
            service.end.port.close()


@pytest.fixture
def actor(tmp_path, keys):
    made = []

    def make(address):
        link = LinkConfig(address, keys, tmp_path / "spool", batch_period_s=0.02)
        made.append(RemoteActor(CONTRACT, link, seed=0, connect_limit_s=0.0))
        made[-1].start()
        return made[-1]

    yield make
    for one in made:
        one.close(0.0)


def step(number):
    observation = np.full(CONTRACT.num_observations, 0.01 * (number % 50))
    return Transition(observation, np.array([0.1, -0.2, 0.3]), float(number), observation + 0.01, False, False, "real")


def send(actor, first, count):
    for number in range(first, first + count):
        actor.experience(step(number), 0.0)


def rewards(run):
    replay = Replay(transition_fields(CONTRACT.num_observations, 3), SETTINGS["replay_size"], run / "replay" / "online")
    found = replay.newest(len(replay))["reward"].tolist()
    replay.close()
    return found


def test_updates_follow_the_steps_received_exactly_also_over_a_restart(serve, actor, tmp_path):
    service = serve()
    robot = actor(service.end.port.address)
    until(lambda: service.turn() or robot.may_begin())
    assert service.waits_for == "the actor's first transitions: 0 of 20"
    assert service.status()["uniform"]
    send(robot, 1, 30)
    until(lambda: service.turn() or (robot.link.acknowledged == 30 and service.idle))
    assert service.learner.updates == 4  # half of 10, in groups of 2
    send(robot, 31, 50)
    until(lambda: service.end.serve(0.02) or robot.link.acknowledged == 80)
    owed = service.learner.pending
    service.checkpoint()
    send(robot, 81, 40)  # on disk, but in no checkpoint
    until(lambda: service.end.serve(0.02) or robot.link.acknowledged == 120)
    assert service.learner.updates == 4 and owed == 26
    service.end.port.close()
    version = service.ledger.received.version
    again = serve(resume=True, port=int(service.end.port.address.rpartition(":")[2]))
    assert again.learner.steps == 120
    until(lambda: again.turn() or again.idle)
    assert again.learner.updates == 50 and again.figures()["update_to_data"] == 0.5
    until(lambda: again.turn() or robot.link.version > version)
    assert not again.status()["uniform"] and rewards(tmp_path / "run") == list(range(1, 121))


def test_the_policy_is_the_same_to_the_bit_at_the_learner_s_disk_and_at_the_robot(serve, actor):
    service = serve()
    robot = actor(service.end.port.address)
    until(lambda: service.turn() or robot.may_begin())
    send(robot, 1, 60)
    until(lambda: service.turn() or (robot.link.acknowledged == 60 and service.idle))
    service._publish()
    until(lambda: service.turn() or robot.link.version == service.ledger.received.version)
    checkpoint = service.checkpoint()
    stored, received = load_policy(checkpoint), robot.link.policy
    observations = np.random.default_rng(0).standard_normal((100, CONTRACT.num_observations))
    acted = np.array([received.act(observation) for observation in observations])
    np.testing.assert_array_equal(acted, [stored.act(observation) for observation in observations])
    # torch and numpy add in another order; the weights are the same.
    np.testing.assert_allclose(acted, service.learner.act(observations, explore=False), atol=1e-6)
    learned = service.learner.act(observations, explore=False)
    service.end.port.close()
    again = serve(resume=True)
    np.testing.assert_array_equal(again.learner.act(observations, explore=False), learned)


def test_a_full_disk_stops_neither_end_and_loses_nothing(serve, actor, tmp_path, monkeypatch):
    service = serve()
    robot = actor(service.end.port.address)
    until(lambda: service.turn() or robot.may_begin())
    send(robot, 1, 30)
    until(lambda: service.turn() or robot.link.acknowledged == 30)
    write, full = os.pwrite, [True]

    def pwrite(descriptor, data, at):
        if full and Path(f"/proc/self/fd/{descriptor}").readlink().name == "rows.bin":
            raise OSError(28, "No space left on device")
        return write(descriptor, data, at)

    monkeypatch.setattr(os, "pwrite", pwrite)
    send(robot, 31, 30)
    until(lambda: service.turn() or "No space left" in robot.link.problem)
    assert "a disk that can be written" in service.waits_for and robot.link.acknowledged == 30
    assert any("Free some room" in line for line in service.said)
    full.clear()
    until(lambda: service.turn() or robot.link.acknowledged == 60)
    assert service.problem == service.end.problem == "" and rewards(tmp_path / "run") == list(range(1, 61))


def test_a_checkpoint_that_cannot_be_written_is_said_and_tried_again(serve, monkeypatch):
    service = serve()

    def fails():
        raise OSError(28, "No space left on device")

    service._guarded(fails)
    assert "No space left" in service.problem and "No space left" in service.waits_for
    assert any("cannot write" in line for line in service.said)
    service._guarded(lambda: None)
    assert service.problem == ""


def test_a_damaged_replay_is_said_and_the_rest_is_kept(serve, actor, tmp_path):
    service = serve()
    robot = actor(service.end.port.address)
    until(lambda: service.turn() or robot.may_begin())
    send(robot, 1, 40)
    until(lambda: service.turn() or (robot.link.acknowledged == 40 and service.idle))
    service.checkpoint()
    service.end.port.close()
    path = tmp_path / "run" / "replay" / "online" / "rows.bin"
    with path.open("r+b") as file:
        file.seek(10 * (path.stat().st_size // SETTINGS["replay_size"]) + 5)
        file.write(b"\xff\xfe")
    with pytest.warns(RuntimeWarning, match="damaged or torn"):
        again = serve(resume=True)
    assert any("1 transitions of the replay were damaged" in line for line in again.said)
    assert rewards(tmp_path / "run") == [number for number in range(1, 41) if number != 11]
    again.turn()
    (tmp_path / "run" / "replay" / "online" / "head.json").write_text("{")
    again.end.port.close()
    with pytest.raises(CheckpointError, match=r"head\.json is damaged"):
        serve(resume=True)


def test_demonstrations_are_there_before_the_first_step_and_once(serve, tmp_path):
    from robostack.learning.imitation.recording import RecordingConfig, record_scripted

    record_scripted(TASK, tmp_path / "shown", RecordingConfig(episodes=1))
    service = serve(demos=str(tmp_path / "shown"))
    count = len(service.learner.demos)
    assert count > 20 and service.said == [f"{count} demonstrated transitions"]
    assert len(service.learner.online) == 0 and service.idle
    service.end.port.close()
    assert len(serve(resume=True).learner.demos) == count


def test_demonstrations_that_are_none_leave_no_run_behind(serve, tmp_path):
    with pytest.raises(DatasetError):
        serve(demos=str(tmp_path / "nothing"))
    features = {STATE: vector_feature(*"abc"), ACTION: vector_feature(*"xyz")}
    DatasetWriter(tmp_path / "empty", fps=25, features=features, robot_type="ur5e").close()
    with pytest.raises(DatasetError, match="no transitions"):
        serve(demos=str(tmp_path / "empty"))
    other = dataclasses.replace(CONTRACT, task="ur5e-push")
    DatasetWriter(tmp_path / "push", fps=25, features=features, robot_type="ur5e", contract=other).close()
    with pytest.raises(ContractMismatchError, match="task: trained with"):
        serve(demos=str(tmp_path / "push"))
    assert not (tmp_path / "run" / "config.yaml").exists()


def test_what_cannot_learn_from_afar_is_refused(serve, tmp_path):
    with pytest.raises(ConfigError, match="keeps no replay"):
        LearnService(tmp_path / "run", LearnServiceConfig("ur5e-reach", "avg"), lambda: None)
    with pytest.raises(CheckpointError, match="no run to resume"):
        serve(resume=True)
    serve().end.port.close()
    with pytest.raises(ConfigError, match="already holds a run"):
        serve()
    with pytest.raises(ConfigError, match="is a run of rlpd on ur5e-reach"):
        LearnService(tmp_path / "run", LearnServiceConfig("ur5e-reach", "sac"), lambda: None, resume=True)


def start(*arguments):
    command = [sys.executable, "-c", "import sys; from robostack.cli.main import main; sys.exit(main())", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def line_with(process, text):
    seen = ""
    for line in process.stdout:
        seen += line
        if text in line:
            return line
    raise AssertionError(f"{process.args} ended without '{text}':\n{seen}")


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_both_ends_can_be_killed_and_nothing_acknowledged_is_lost(tmp_path, keys, loopback_host):
    """Real processes: the learner is killed while it takes transitions, then the actor; both start again."""
    run, spool = tmp_path / "run", tmp_path / "spool"
    flags = [part for name, value in SETTINGS.items() for part in ("--set", f"{name}={value}")]
    common = ["learn", "ur5e-reach", "--keys", str(keys), "--dir", str(run), "--host", loopback_host, *flags]
    learner = start(*common, "--port", "0", "--checkpoint-every-s", "1000")
    address = line_with(learner, "ready: rlpd").split(" at ")[1].split(",")[0]
    acting = ["act", "ur5e-reach", "--keys", str(keys), "--address", address, "--spool", str(spool), "--ahead", "100"]
    robot = start(*acting)
    line_with(learner, "has joined")

    def taken():
        """Transitions on the disk: a file that is not whole speaks of a batch that is still to come."""
        found = json.loads((run / "received.json").read_text())
        return sum(found["actors"].values()) if found["whole"] else 0

    until(lambda: taken() >= 60)
    learner.send_signal(signal.SIGKILL)
    learner.wait()
    before = rewards(run)
    robot.send_signal(signal.SIGKILL)
    robot.wait()
    left = sum(path.stat().st_size for path in spool.iterdir())
    learner = start(*common, "--port", address.rpartition(":")[2], "--resume", "--steps", str(len(before) + 200))
    line_with(learner, "ready: rlpd")
    robot = start(*acting, "--steps", "220")
    assert learner.wait(100) == 0, learner.stdout.read()
    assert robot.wait(100) == 0, robot.stdout.read()
    after = rewards(run)
    assert left > 0 and len(before) >= 60
    assert after[: len(before)] == before and len(after) >= len(before) + 200
    assert latest_checkpoint(run).name == f"{len(after):09d}"
