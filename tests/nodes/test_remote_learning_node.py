"""A robot that learns elsewhere: the virtual UR5e under its nodes, and a learner that is killed in the middle."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys

import pytest

pytest.importorskip("zmq")
pytest.importorskip("torch")

from robostack.contract import contract_of
from robostack.learning.replay import Replay, transition_fields
from robostack.remote.keys import make_keys
from robostack.tasks.ur5e_reach import Ur5eReach

pytestmark = [pytest.mark.graph, pytest.mark.wire, pytest.mark.slow]

MAIN = [sys.executable, "-c", "import sys; from robostack.cli.main import main; sys.exit(main())"]
SETTINGS = ("critics=2", "hidden=[16,16]", "batch_size=16", "learning_starts=20", "updates_per_step=1.0")
SETTINGS += ("critic_steps_per_actor_step=1", "replay_size=20000", "demo_size=10")

FAULT = 2
"""Level of diagnostics that is an error."""


def begin(*arguments, env=None):
    return subprocess.Popen([*MAIN, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env)


def rewards(run):
    fields = transition_fields(contract_of(Ur5eReach()).num_observations, 3)
    replay = Replay(fields, 20_000, run / "replay" / "online")
    found = replay.newest(len(replay))["reward"].tolist()
    replay.close()
    return found


@pytest.mark.timeout(300)
def test_it_learns_while_it_moves_and_losing_the_learner_costs_nothing(observer, ros_environment, tmp_path):
    run, keys, robot = tmp_path / "run", tmp_path / "keys", tmp_path / "robot"
    make_keys(keys)
    host = f"127.0.{random.randint(10, 250)}.{random.randint(2, 250)}"
    learn = ["learn", "ur5e-reach", "--keys", str(keys), "--dir", str(run), "--host", host, "--publish-every", "20"]
    learn += [part for setting in SETTINGS for part in ("--set", setting)]
    learner = begin(*learn, "--port", "0")
    ready = learner.stdout.readline()
    assert "ready: rlpd for ur5e-reach" in ready, ready
    address = ready.split(" at ")[1].split(",")[0]
    launch = ["launch", "ur5e", "--virtual", "--host", host, "--learn", "remote", "--learn-address", address]
    launch += ["--learn-keys", str(keys / "robot"), "--learn-dir", str(robot), "--learn-silence-s", "2"]
    launch += ["--learn-minutes", "0", "--episodes", "1000", "--pause-s", "0.1"]
    launched = begin(*launch, "--ros.domain-id", ros_environment["ROS_DOMAIN_ID"], env=ros_environment)

    def newest(name):
        values = [values[name] for _, _, values in observer.status if name in values]
        return values[-1] if values else "0"

    def figure(name):
        return int(newest(name))

    def ended():
        return [event for event in observer.events if event["event"] == "end"]

    try:
        observer.until(lambda: figure("weights_version") >= 3 and figure("acknowledged") >= 100 and ended(), 60.0)
        begun = len([event for event in observer.events if event["event"] == "begin"])
        observer.until(lambda: len([e for e in observer.events if e["event"] == "begin"]) > begun, 30.0)
        heard = len(observer.status)
        learner.send_signal(signal.SIGKILL)  # in the middle of an episode
        learner.wait()
        acknowledged, before, episodes = figure("acknowledged"), rewards(run), len(ended())
        observer.until(lambda: len(ended()) > episodes, 30.0)
        assert not ended()[-1]["reason"].startswith("aborted"), ended()[-1]
        observer.until(lambda: "silent" in newest("waits_for"), 30.0)
        assert len(before) >= acknowledged > 0
        observer.until(lambda: max(abs(speed) for speed in observer.states[-1].velocity) < 0.02, 10.0)
        faults = [message for level, message, _ in observer.status[heard:] if level == FAULT]
        assert faults == []
        version, count = figure("weights_version"), figure("acknowledged")
        learner = begin(*learn, "--port", address.rpartition(":")[2], "--resume")
        observer.until(lambda: figure("weights_version") > version and figure("acknowledged") > count + 50, 60.0)
        observer.until(lambda: len(ended()) > episodes + 1, 60.0)
        launched.send_signal(signal.SIGINT)
        assert launched.wait(60.0) == 0, launched.stdout.read()
        learner.send_signal(signal.SIGINT)
        assert learner.wait(60.0) == 0, learner.stdout.read()
    finally:
        for process in (launched, learner):
            process.send_signal(signal.SIGINT) if process.poll() is None else None
            process.wait(30.0)
    after = rewards(run)
    assert after[: len(before)] == before
    records = [json.loads(line) for line in (robot / "episodes.jsonl").read_text().splitlines()]
    steps = sum(len(record["steps"].get("reward", [])) for record in records)
    assert len(after) == steps  # every step of every episode, once, across the kill
    assert list((robot / "spool").iterdir()) == []
