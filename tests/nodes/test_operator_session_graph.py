"""Whole sessions of an operator at the virtual SO-101: every device records, data check passes, replay reproduces.

A machine that stands still for half a second makes the driver stop the arm; the script then resets it, as a person
would, and the aborted episode is recorded again. A replay that such a stall broke off is begun again.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from operator_script import COMMAND, ESCAPE, HANDS, LEFT, RESET, RIGHT, STOP, Terminal, record

from hardware.so101 import SO101
from robostack.data.check import check
from robostack.data.dataset import Dataset
from robostack.data.features import ACTION, DONE, IS_INTERVENTION, REQUESTED_ACTION, STATE, SUCCESS
from robostack.data.raw_record import read_record

pytestmark = [pytest.mark.graph, pytest.mark.wire, pytest.mark.timeout(300)]


@pytest.fixture
def ros(ros_environment, domain_id):
    return {"ROS_DOMAIN_ID": str(domain_id), "OMP_NUM_THREADS": "1"}


@pytest.fixture
def session(tmp_path, ros):
    """Starts `robostack <verb> so101 --virtual` with one device; everything is ended afterwards."""
    opened = []

    def start(verb: str, device: str, *flags: str):
        hand = HANDS[device](tmp_path)
        opened.append(hand.put_down)
        arm = ("so101", "--virtual", "--port", str(tmp_path / "arm"))
        terminal = Terminal(verb, *arm, "--teleop.type", device, *hand.flags, *flags, environment=ros)
        opened.append(terminal.close)
        return terminal, hand

    yield start
    for end in reversed(opened):
        end()


def recording(tmp_path, *flags: str) -> tuple[str, ...]:
    return ("--dataset.root", str(tmp_path / "set"), "--dataset.single_task", "wave", "--json", *flags)


def replayed(tmp_path, ros, episode: int) -> dict:
    """Replay an episode; again where a stall of the machine broke it off."""
    arm = ("--virtual", "--port", str(tmp_path / "arm"))
    command = [*COMMAND, "replay", str(tmp_path / "set"), *arm, "--episode", str(episode), "--json"]
    for _ in range(4):
        done = subprocess.run(
            command, capture_output=True, text=True, env={**os.environ, **ros}, timeout=100.0, check=False
        )
        result = json.loads(done.stdout.splitlines()[-1])
        if result["status"] == 0 and result["compared"] >= 0.9 * result["steps"]:
            return {**result, "returncode": done.returncode}
    raise AssertionError(done.stderr)


@pytest.mark.parametrize("device", ["keyboard", "gamepad", "spacemouse", "leader-arm", "web"])
def test_a_device_records_episodes_that_pass_the_check_and_can_be_replayed(session, tmp_path, ros, device):
    terminal, hand = session("record", device, *recording(tmp_path, "--dataset.num_episodes", "2"))
    record(terminal, hand, 2, moves=2, move_s=0.5)
    assert terminal.wait() == 0, terminal.lines
    assert terminal.result()["total_episodes"] == 2
    report = check(tmp_path / "set")
    assert report.ok, report.findings
    dataset = Dataset(tmp_path / "set")
    assert dataset.contract.joint_names == SO101.joint_names
    for index, success in enumerate((True, False)):
        episode = dataset.episode(index)
        moved = np.ptp(episode[STATE], axis=0)
        assert np.max(moved) > 0.02, moved
        assert np.all(np.isfinite(episode[REQUESTED_ACTION]))
        # What was executed is what the arm followed: behind it by its servos' lag only.
        assert np.max(np.abs(episode[ACTION] - episode[STATE])) < 0.3
        assert episode[DONE].tolist() == [False] * (len(episode[DONE]) - 1) + [True]
        assert bool(episode[SUCCESS][-1]) is success
        assert episode[IS_INTERVENTION].any()
    result = replayed(tmp_path, ros, 0)
    assert result["returncode"] == 0, result
    assert result["rms_rad"] < 0.03


def test_record_again_finish_and_resume_and_the_raw_record_opens(session, tmp_path):
    terminal, hand = session("record", "keyboard", *recording(tmp_path))
    terminal.until(lambda: terminal.count(" begins") == 1)
    hand.move(terminal, b"w", 0.3)
    terminal.type(LEFT)
    terminal.until(lambda: terminal.count("episode discarded (re-record)") == 1)
    terminal.type(RIGHT)
    terminal.until(lambda: terminal.count("episode 0 begins") == 2)
    hand.move(terminal, b"s", 0.3)
    terminal.type(ESCAPE)
    assert terminal.wait() == 0, terminal.lines
    assert terminal.result()["total_episodes"] == 1
    (raw,) = (tmp_path / "set" / "raw").glob("*.mcap")
    topics = {message.topic for message in read_record(raw)}
    wanted = {"/joint_states", "/joint_trajectory", "/requested_command", "/executed_command", "/episode_events"}
    assert wanted <= topics
    refused = Terminal("record", "so101", "--virtual", *recording(tmp_path))
    assert refused.wait() == 1
    assert refused.count("add to it with --resume") == 1
    refused.close()
    terminal, hand = session("record", "keyboard", *recording(tmp_path, "--resume", "--dataset.num_episodes", "1"))
    record(terminal, hand, 1, moves=1, move_s=0.3)
    assert terminal.wait() == 0, terminal.lines
    assert Dataset(tmp_path / "set").num_episodes == 2
    assert check(tmp_path / "set").ok


def test_killing_everything_loses_only_the_running_episode(session, tmp_path):
    terminal, hand = session("record", "keyboard", *recording(tmp_path))
    record_one = terminal.count
    terminal.until(lambda: record_one("episode 0 begins") >= 1)
    hand.move(terminal, b"w", 0.4)
    terminal.type(RIGHT)
    terminal.until(lambda: record_one("episode 0 saved") + record_one("discarded") >= 1)
    time.sleep(0.6)  # sooner it would be meant for the episode, where a stall has aborted that
    terminal.type(RESET + RIGHT)
    terminal.until(lambda: record_one(" begins") >= 2)
    hand.move(terminal, b"s", 0.4)
    saved = record_one(" saved (")
    children = subprocess.run(
        ["pgrep", "-P", str(terminal.process.pid)], capture_output=True, text=True, check=True
    ).stdout.split()
    for process in (*map(int, children), terminal.process.pid):
        os.kill(process, signal.SIGKILL)
    assert Dataset(tmp_path / "set").num_episodes == saved
    assert check(tmp_path / "set").ok


def status_of(tmp_path) -> subprocess.Popen:
    """An own virtual arm, that can be asked what its servos do."""
    command = [sys.executable, "-m", "sim.devices.run", "so101", "--port", str(tmp_path / "own"), "--preset", "nominal"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline().startswith("ready so101")
    return process


def asked(arm) -> dict:
    arm.stdin.write("status\n")
    arm.stdin.flush()
    return json.loads(arm.stdout.readline())


def test_the_emergency_stop_reaches_the_servos_and_a_lost_device_does_in_the_end(tmp_path, ros):
    arm = status_of(tmp_path)
    hand = HANDS["gamepad"](tmp_path)
    flags = ("--port", str(tmp_path / "own"), "--teleop.type", "gamepad", *hand.flags)
    terminal = Terminal("teleoperate", "so101", *flags, environment=ros)
    closed = False
    try:
        terminal.until(lambda: terminal.count("so101 is ready") == 1)
        assert asked(arm)["power"] == [1.0] * 6
        before = asked(arm)["position"]
        hand.move(terminal, (0, -0.9), 1.0)
        assert np.max(np.abs(np.subtract(asked(arm)["position"], before))) > 0.01
        hand.say(terminal, STOP)
        began_s = time.monotonic()
        while asked(arm)["power"] != [0.6] * 6:  # the arm's own stop: holding with less torque
            assert time.monotonic() - began_s < 10.0, terminal.lines
        hand.say(terminal, RESET)
        while asked(arm)["power"] != [1.0] * 6:
            assert time.monotonic() - began_s < 20.0, terminal.lines
        # The operator's hand is on the dead-man switch when the device disappears.
        hand.event(2, 0, -20000)
        hand.event(1, 5, 1)
        speed = [abs(value) for value in asked(arm)["velocity"]]
        while max(speed) < 0.02:
            assert time.monotonic() - began_s < 30.0, terminal.lines
            hand.event(2, 0, -20000)
            speed = [abs(value) for value in asked(arm)["velocity"]]
        hand.put_down()
        closed = True
        terminal.until(lambda: terminal.count("STOP: the operator's device is silent") == 1)
        while asked(arm)["power"] != [0.6] * 6:
            assert time.monotonic() - began_s < 60.0, terminal.lines
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.wait() == 0, terminal.lines
    finally:
        terminal.close()
        if not closed:
            hand.put_down()
        arm.terminate()
        arm.wait(10.0)
