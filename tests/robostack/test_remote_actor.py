"""A robot's side of the remote learner: what it imports, its session, the loop in simulation, the command line."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("zmq")
pytest.importorskip("msgpack")

from remote_bench import contract, policy_arrays, transition

from hardware.clock import VirtualClock
from hardware.errors import ConfigError, ProtocolError
from robostack.cli.main import run
from robostack.contract import contract_of
from robostack.learning.replay import transition_fields
from robostack.make import make_env
from robostack.remote.acting import ActingLoop
from robostack.remote.actor_link import LinkConfig
from robostack.remote.keys import make_keys
from robostack.remote.remote_actor import RemoteActor
from robostack.remote.session import RemoteSession, SessionConfig
from robostack.remote.weights import packed, unpacked
from robostack.runner import EpisodeRecord
from robostack.tasks.ur5e_reach import Ur5eReach

LAYOUT = {name: [list(field.shape), field.dtype] for name, field in transition_fields(3, 2).items()}
WELCOME = {"version": 1, "run": "run", "learner": "toy", "layout": LAYOUT}


@pytest.fixture
def keys(tmp_path):
    make_keys(tmp_path / "keys")
    return tmp_path / "keys"


@pytest.fixture
def actor(tmp_path, keys):
    """One whose thread never runs: the test says what the learner said."""
    made = RemoteActor(contract(), LinkConfig("127.0.0.1:1", keys, tmp_path / "spool"), 0, clock=VirtualClock(100.0))
    yield made
    made.link._port.close()


def test_the_robot_needs_no_deep_learning_framework_and_names_the_extra_it_does_need():
    code = (
        "import sys; import robostack.remote.session, robostack.remote.acting, robostack.nodes.learning;"
        "assert 'torch' not in sys.modules and 'rclpy' not in sys.modules;"
        "[sys.modules.pop(name) for name in list(sys.modules) if name.startswith('robostack.remote')];"
        "sys.modules['zmq'] = None; import robostack.remote.session"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert "MissingExtraError" in found.stderr and "robostack-learning[remote]" in found.stderr


def test_exploration_is_uniform_until_the_learner_learns(actor):
    with pytest.raises(ProtocolError, match="no weights"):
        actor.act(np.zeros(3))
    arrays, config = policy_arrays()
    arrays["spread.kernel"][:], arrays["spread.bias"][:] = 0.0, -20.0
    actor.link._on_message("weights", packed(3, arrays, config, contract()))
    policy = unpacked(packed(3, arrays, config, contract()), contract())
    observation = np.array([0.1, 0.2, 0.3])
    actor.link._on_message("status", {"values": {"uniform": True}})
    assert np.ptp([actor.act(observation)[0] for _ in range(50)]) > 1.0
    actor.link._on_message("status", {"values": {"uniform": False}})
    np.testing.assert_allclose(actor.act(observation), policy.act(observation), atol=1e-6)
    assert actor.figures()["weights_version"] == 3


def test_what_may_not_begin_says_why_and_the_control_cycle_never_waits(actor):
    assert not actor.may_begin() and actor.waits_for == "the learner at 127.0.0.1:1"
    with pytest.raises(ProtocolError, match="no learner yet"):
        actor.experience(transition(1.0), 0.0)
    actor.link._on_message("welcome", WELCOME)
    assert actor.waits_for == "the learner's first weights"
    actor.link._on_message("weights", packed(1, *policy_arrays(), contract()))
    assert actor.may_begin()
    actor.clock.advance(61.0)
    assert actor.waits_for == "the learner, which has been silent for 61 s"
    actor.link.heard_s = actor.clock.now()
    actor.experience(transition(np.inf), 0.0)
    for number in range(2100):
        actor.experience(transition(number), 0.0)  # the thread, or the disk, hangs
    assert (actor.link.rejected, actor.link.queued, actor.link.lost) == (1, 2000, 100)
    assert actor.waits_for.startswith("room: 2000 transitions are not acknowledged")
    actor.link._on_message("refusal", {"reason": "malformed"})
    with pytest.raises(ProtocolError, match=r"refuses: malformed"):
        actor.may_begin()


def test_another_run_at_the_same_address_gets_nothing(actor):
    actor.link._on_message("welcome", WELCOME)
    with pytest.raises(ProtocolError, match="another run"):
        actor.link._on_message("welcome", {**WELCOME, "run": "second"})
    with pytest.raises(ProtocolError, match="version 2"):
        actor.link._on_message("welcome", {**WELCOME, "version": 2})


def test_a_layout_of_another_task_is_refused(actor):
    wrong = {name: [list(field.shape), field.dtype] for name, field in transition_fields(4, 2).items()}
    with pytest.raises(ProtocolError, match=r"observation of shape \(4,\)"):
        actor.link._on_message("welcome", {**WELCOME, "layout": wrong})


def test_a_session_goes_on_counting_where_the_last_start_stopped(tmp_path, keys):
    config = SessionConfig("127.0.0.1:1", keys, tmp_path / "robot")
    session = RemoteSession(config, Ur5eReach(), seed=0)
    try:
        assert session.before.episodes == 0
        for number, reason in enumerate(("time limit", "aborted: x", "success")):
            record = EpisodeRecord(number, reason == "success", reason, total_reward=float(number), duration_s=1.5)
            session.ended(record, None)
        figures = session.figures()
        assert (figures["episodes"], figures["successes"], figures["return_first_tenth"]) == (3, 1, 0.0)
        assert session.policy.link.says == {"episodes": 3, "successes": 1, "return": 2.0}
        assert "0 of 0 transitions acknowledged" in session.summary()
        assert not session.ready() and session.waits_for
    finally:
        session.policy.close(0.0)
    path = tmp_path / "robot" / "episodes.jsonl"
    path.write_text(path.read_text() + '{"episode": 3, "dura')  # torn by a power cut
    again = RemoteSession(config, Ur5eReach(), seed=0)
    again.policy.close(0.0)
    assert (again.before.episodes, again.before.acted_s) == (3, 4.5)
    with pytest.raises(ConfigError, match="address"):
        RemoteSession(SessionConfig("", keys, tmp_path), Ur5eReach(), seed=0)


def test_a_simulation_waits_for_the_learner_and_never_runs_ahead(tmp_path, keys):
    env = make_env("ur5e-reach", seed=0)
    made = contract_of(env.task)
    actor = RemoteActor(made, LinkConfig("127.0.0.1:1", keys, tmp_path / "spool"), 0, clock=VirtualClock())
    fields = transition_fields(made.num_observations, made.num_actions)
    layout = {name: [list(field.shape), field.dtype] for name, field in fields.items()}
    loop = ActingLoop(env, actor, ahead=150)
    loop.turn()
    assert loop.steps == 0
    actor.link._on_message("welcome", {**WELCOME, "layout": layout})
    arrays, config = policy_arrays()
    rng = np.random.default_rng(0)
    arrays["layer0.weight"] = rng.standard_normal((4, made.num_observations)).astype(np.float32)
    arrays |= {"layer1.weight": np.zeros((3, 4)), "layer1.bias": np.zeros(3), "spread.kernel": np.zeros((3, 4))}
    arrays |= {"spread.bias": np.zeros(3), "observation_mean": np.zeros(made.num_observations)}
    arrays |= {"observation_scale": np.ones(made.num_observations)}
    arrays |= {
        f"action_{name}": np.full(3, value) for name, value in (("center", 0), ("half", 1), ("low", -1), ("high", 1))
    }
    actor.link._on_message("weights", packed(1, arrays, config, made))
    for _ in range(400):
        loop.turn()
    assert loop.steps == 150 == actor.link.queued  # nothing is acknowledged
    assert loop.episodes == 1 and loop.figures()["return"] < 0.0
    row = actor.link._queue[99]
    assert row["truncated"] == 1 and row["source"] == 0
    actor.link._port.close()


def test_the_command_line_makes_keys_and_says_what_is_missing(tmp_path, capsys):
    assert run(["learn", "keys", str(tmp_path / "keys")]) == 0
    made = capsys.readouterr().out.split()
    assert len(made) == 4 and made[0].endswith("learner.secret")
    assert run(["learn", "ur5e-reach", "--keys", str(tmp_path / "none"), "--dir", str(tmp_path / "run")]) == 1
    assert "robostack learn keys" in capsys.readouterr().err
    assert not (tmp_path / "run").exists() or not (tmp_path / "run" / "config.yaml").exists()
    assert run(["act", "ur5e-reach", "--keys", str(tmp_path / "keys"), "--address", "nowhere"]) == 1
    assert "host:port" in capsys.readouterr().err
    assert json.loads((tmp_path / "keys" / "robot" / "learner.public").read_text())["public"]
