"""The teleoperation node and the recorder node at the fake robot: commands, stops, silence, episodes on the disk."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from graph import FOLDER
from std_srvs.srv import Trigger

from robostack.data.check import check
from robostack.data.dataset import Dataset
from robostack.data.features import ACTION, CAPTURE_TIME, IS_INTERVENTION, STATE, SUCCESS
from robostack.data.raw_record import read_record

pytestmark = [pytest.mark.graph, pytest.mark.timeout(400)]


class Operator:
    """The node in a process, and what stands in its output."""

    def __init__(self, environment: dict[str, str], *arguments: str) -> None:
        path = f"{FOLDER}:{environment.get('PYTHONPATH', '')}"
        self.process = subprocess.Popen(
            [sys.executable, str(FOLDER / "graph_operator.py"), *arguments],
            env=environment | {"PYTHONPATH": path},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.lines: list[str] = []
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        for line in self.process.stdout:
            self.lines.append(line.strip())

    def do(self, *lines: str) -> None:
        self.process.stdin.write("".join(f"{line}\n" for line in lines))
        self.process.stdin.flush()

    def said(self, text: str, times: int = 1) -> bool:
        assert self.process.poll() is None or any(text in line for line in self.lines), "\n".join(self.lines)
        return sum(text in line for line in self.lines) >= times


@pytest.fixture
def operator(ros_environment):
    started = []

    def begin(*arguments: str) -> Operator:
        started.append(Operator(ros_environment, *arguments))
        return started[-1]

    yield begin
    for one in started:
        one.process.terminate()
        one.process.wait(10.0)


def first_joint(observer) -> float:
    """Newest position of the first joint [rad]; NaN, which is near nothing, before the first message."""
    return observer.states[-1].position[0] if observer.states else math.nan


def test_a_leader_moves_the_robot_while_enabled_and_the_robot_holds_otherwise(observer, operator, start_driver):
    _, log = start_driver()
    hand = operator()
    observer.until(lambda: hand.said("fake is ready"), 60.0)
    hand.do("joint 0.3", "enable")
    observer.until(lambda: abs(first_joint(observer) - 0.3) < 0.01, 60.0)
    observer.until(lambda: observer.says("follows commands"))
    hand.do("disable", "joint -0.5")
    observer.until(lambda: observer.says("no commands yet"), 60.0)
    assert abs(first_joint(observer) - 0.3) < 0.02
    hand.do("event FINISH")
    assert hand.process.wait(60.0) == 0
    assert '"stop"' not in log.read_text()


def test_stop_reaches_the_driver_and_reset_makes_it_ready_again(observer, operator, start_driver):
    _, log = start_driver()
    hand = operator()
    observer.until(lambda: hand.said("fake is ready"), 60.0)
    hand.do("joint 0.4", "enable")
    observer.until(lambda: first_joint(observer) > 0.1, 60.0)
    hand.do("event STOP")
    observer.until(lambda: observer.says("stopped by the service stop"))
    assert '"stop"' in log.read_text()
    held = first_joint(observer)
    hand.do("joint 0.1", "event RESET")
    observer.until(lambda: abs(first_joint(observer) - 0.1) < 0.02, 60.0)
    assert held > 0.1


def test_a_device_that_falls_silent_in_use_holds_the_robot_and_then_stops_it(observer, operator, start_driver):
    _, log = start_driver()
    hand = operator()
    observer.until(lambda: hand.said("fake is ready"), 60.0)
    hand.do("joint 0.4", "enable")
    observer.until(lambda: first_joint(observer) > 0.1, 60.0)
    hand.do("silent")
    observer.until(lambda: observer.says("stopped by the service stop"), 60.0)
    assert hand.said("STOP: the operator's device is silent")
    assert '"stop"' in log.read_text()


def begin_recording(observer, operator, start, start_driver, root: Path):
    start_driver()
    recorder = start("recorder_node", robot="graph_robot:ROBOT", root=str(root), fps=20)
    hand = operator("record")
    observer.until(lambda: hand.said("episode 0 begins"), 90.0)
    return recorder, hand


def test_episodes_reach_the_disk_as_the_operator_wants_them(observer, operator, start, start_driver, tmp_path):
    recorder, hand = begin_recording(observer, operator, start, start_driver, tmp_path / "set")
    hand.do("joint 0.3", "enable")
    observer.until(lambda: abs(first_joint(observer) - 0.3) < 0.01, 60.0)
    hand.do("event RERECORD")
    observer.until(lambda: hand.said("episode discarded (re-record)"), 60.0)
    observer.until(lambda: hand.said("episode 0 begins", 2), 60.0)
    hand.do("joint -0.1")
    observer.until(lambda: abs(first_joint(observer) + 0.1) < 0.01, 60.0)
    hand.do("event SUCCESS")
    observer.until(lambda: hand.said("episode 0 saved (success)"), 60.0)
    observer.until(lambda: hand.said("episode 1 begins"), 60.0)
    hand.do("disable")
    observer.until(lambda: observer.says("no commands yet"), 60.0)
    rest_begins = len(observer.states)
    observer.until(lambda: len(observer.states) > rest_begins + 50, 60.0)  # some time at rest gets into the episode
    hand.do("event FAILURE")
    assert hand.process.wait(60.0) == 0, hand.lines
    assert recorder.end()[0] == 0, recorder.output
    dataset = Dataset(tmp_path / "set")
    assert check(tmp_path / "set").ok
    assert dataset.num_episodes == 2
    moved, rested = dataset.episode(0), dataset.episode(1)
    assert moved[STATE][0, 0] > 0.2 > -0.05 > moved[STATE][-1, 0]
    assert (bool(moved[SUCCESS][-1]), bool(rested[SUCCESS][-1])) == (True, False)
    assert moved[IS_INTERVENTION].all()
    assert not rested[IS_INTERVENTION][-1]
    # The fake robot is where it was told one cycle (10 ms) before.
    assert np.max(np.abs(moved[ACTION] - moved[STATE])) < 0.1
    assert np.all(np.diff(moved[CAPTURE_TIME]) >= 0.0)
    (raw,) = (tmp_path / "set" / "raw").glob("*.mcap")
    messages = list(read_record(raw))
    assert {"/joint_states", "/executed_command", "/requested_command", "/episode_events", "/robot_spec"} <= {
        message.topic for message in messages
    }
    events = [json.loads(message.data[8:].rstrip(b"\0")) for message in messages if message.topic == "/episode_events"]
    assert [event["event"] for event in events] == ["begin", "end"] * 3


def test_a_stopped_robot_aborts_the_episode_and_it_is_recorded_again(observer, operator, start, start_driver, tmp_path):
    _, hand = begin_recording(observer, operator, start, start_driver, tmp_path / "set")
    observer.call(Trigger, "driver/stop", Trigger.Request())
    observer.until(lambda: hand.said("episode discarded (aborted: stopped by the service stop)"), 60.0)
    hand.do("event RESET")
    observer.until(lambda: hand.said("episode 0 begins", 2), 60.0)


def test_killing_the_recorder_loses_the_running_episode_only(observer, operator, start, start_driver, tmp_path):
    recorder, hand = begin_recording(observer, operator, start, start_driver, tmp_path / "set")
    hand.do("event SUCCESS")
    observer.until(lambda: hand.said("episode 0 saved"), 60.0)
    observer.until(lambda: hand.said("episode 1 begins"), 60.0)
    observer.until(lambda: hand.said("status record", 10), 60.0)
    recorder.kill()
    assert Dataset(tmp_path / "set").num_episodes == 1
    assert check(tmp_path / "set").ok


def test_without_a_driver_it_gives_up_in_words(start, ros_environment, tmp_path):
    recorder = start("recorder_node", robot="graph_robot:ROBOT")
    assert recorder.wait() == 1
    assert "root is empty; name the folder of the dataset" in recorder.output
