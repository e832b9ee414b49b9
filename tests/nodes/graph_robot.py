"""A robot of three joints that follows position commands at once and writes down what happens to it."""

from __future__ import annotations

import json
import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from controllers.reference import JointReference
from hardware.errors import DeviceNotConnectedError
from hardware.records import JointCommand, RobotState
from hardware.robot import RobotEntry
from hardware.spec import JointSpec, RobotSpec
from robostack.learning.avg import Avg
from robostack.learning.learner import LearnerEntry
from robostack.tasks.create2_mover import Create2Mover
from robostack.tasks.task import Outcome, Start, Task, Term

SPEC = RobotSpec(
    name="fake",
    joints=tuple(JointSpec(name, -3.0, 3.0, 2.0, 10.0, 200.0, 50.0) for name in ("base", "elbow", "wrist")),
    control_rate_hz=100.0,
    command_modes=("position",),
    base_frame="base_link",
    state_age_max_s=0.2,
)


@dataclass(frozen=True)
class FakeConfig:
    """Configuration of the driver."""

    host: str = "here"
    """"here" connects, anything else does not."""
    log: str = ""
    """File that gets one line per call of connect, stop and disconnect."""


class FakeRobot:
    def __init__(self, config: FakeConfig) -> None:
        self.config, self.spec = config, SPEC
        self._position = np.zeros(3)
        self._velocity = np.zeros(3)
        self._sent_s = time.monotonic()
        self._connected = False
        self._lock = threading.Lock()

    def connect(self) -> None:
        if self.config.host != "here":
            raise DeviceNotConnectedError("fake", self.config.host, "is its address 'here'?")
        self._connected = True
        self._note("connect")

    def read(self) -> RobotState:
        if not self._connected:
            raise DeviceNotConnectedError("fake", self.config.host, "connect first")
        return RobotState(time.monotonic(), self._position.copy(), self._velocity.copy())

    def send(self, command: JointCommand) -> None:
        now_s = time.monotonic()
        target = np.asarray(command.position, dtype=np.float64)
        self._velocity = (target - self._position) / max(now_s - self._sent_s, 1e-3)
        self._position, self._sent_s = target, now_s

    def stop(self) -> None:
        self._velocity = np.zeros(3)
        if self._connected:
            self._note("stop")

    def disconnect(self) -> None:
        if self._connected:
            self.stop()
            self._note("disconnect")
        self._connected = False

    def _note(self, what: str) -> None:
        if not self.config.log:
            return
        with self._lock, Path(self.config.log).open("a", encoding="utf-8") as file:
            file.write(json.dumps({"call": what, "pid": os.getpid(), "position": self._position.tolist()}) + "\n")


ROBOT = RobotEntry(SPEC, Path("none.xml"), "graph_robot:FakeRobot", "graph_robot:FakeConfig", "for tests")


class FakeTask(Task):
    """Move `base` to +0.2 rad from where the episode began."""

    def __init__(self) -> None:
        self.name, self.spec, self.model = "fake-move", SPEC, Path("none.xml")
        self.control_period_s, self.timestep_s, self.episode_s = 0.05, 0.01, 3.0
        self.ends_on_success = True
        self.observation = (Term("to_go", ("base",), "rad", "", -1.0, 1.0),)
        self.action = (Term("speed", ("base",), "rad/s", "", -1.0, 1.0),)

    def start(self, rng, count):
        return Start(rng.uniform(-0.1, 0.1, (count, 3)), np.zeros((count, 3)))

    def begin(self, rng, state):
        return {"target": state.joint_position[..., 0] + 0.2}

    def observe(self, state, episode):
        return np.array([episode["target"] - state.joint_position[0]])

    def reference(self, action, state, episode):
        value = np.array([action[0], 0.0, 0.0])
        return JointReference("velocity", value, self.control_period_s, created_s=state.capture_time_s)

    def judge(self, action, state, episode):
        error = abs(episode["target"] - state.joint_position[0])
        return Outcome(reward=-error, success=error < 0.02, terminated=np.asarray(False)), episode

    def scripted(self):
        return Proportional()


class SlowTask(FakeTask):
    """The same, with an episode that never ends by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.episode_s = 1000.0
        self.ends_on_success = False


class PersonTask(SlowTask):
    """The same, with an action that a person's device moves."""

    def __init__(self) -> None:
        super().__init__()
        self.action = (Term("speed", ("yaw",), "rad/s", SPEC.base_frame, -1.0, 1.0),)


class Proportional:
    def reset(self) -> None:
        pass

    def act(self, observation):
        return np.clip(3.0 * observation, -0.5, 0.5)


class ShortTask(FakeTask):
    """Episodes of half a second that nothing else ends."""

    def __init__(self) -> None:
        super().__init__()
        self.name = "fake-short"
        self.episode_s = 0.5
        self.ends_on_success = False


class ShortMover(Create2Mover):
    """Create-Mover with episodes of 1.5 s."""

    def __init__(self) -> None:
        super().__init__()
        self.episode_s = 1.5


class Broken(Avg):
    """Its third update is a defect, as in a kernel that was built wrongly."""

    def update(self):
        if self.steps >= 2:
            raise IndexError("the kernel wrote beyond its arrays")
        return super().update()


BROKEN = LearnerEntry("graph_robot:Broken", "robostack.learning.avg:AvgConfig", "for tests")
