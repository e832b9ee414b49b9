"""The replay node: makes a robot do a recorded episode again, and measures how well it did.

Subscribes `joint_states`, `diagnostics`, `robot_spec`; publishes `joint_trajectory`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from builtin_interfaces.msg import Time

from hardware.records import RobotState
from hardware.spec import RobotSpec
from robostack.nodes.driver_link import DriverLink
from robostack.nodes.lifecycle import ManagedNode
from robostack.teleoperation.replay import Replay, ReplayPhase


@dataclass(frozen=True)
class ReplaySetup:
    """What a replay node runs."""

    spec: RobotSpec
    """The robot."""
    replay: Replay
    """The motion."""
    wait_limit_s: float = 30.0
    """Longest wait for the robot [s]."""
    state_age_max_s: float = 0.5
    """A measurement older than this ends the replay [s]."""
    say: Callable[[str], None] = lambda line: None
    """Takes a line for the person."""
    ended: Callable[[], str] = lambda: ""
    """Which process that this one needs has ended; "" while all run."""


class ReplayNode(ManagedNode):
    """See the module. Its exit status is 0 once the motion was done to its end, well or not.

    Args:
        setup: what to run.
        overrides: parameter values, for tests.
    """

    def __init__(self, setup: ReplaySetup, overrides: Sequence[Any] = ()) -> None:
        super().__init__("replay", overrides)
        self.setup = setup
        self._link: _Link | None = None
        self._timer: Any = None
        self._opened_s = 0.0
        self._begun = False
        self._phase: ReplayPhase | None = None

    def configure(self) -> None:
        """Open the topics."""
        self._link = _Link(self, self.setup)
        self._timer = self.create_timer(self.setup.replay.period_s, self._tick)

    def activate(self) -> None:
        """Begin to wait for the robot."""
        self._opened_s = time.monotonic()

    def deactivate(self) -> None:
        """Let the robot hold."""
        for _ in range(3):
            if self._link is not None:
                self._link.hold()

    def cleanup(self) -> None:
        """Close the topics."""
        link, self._link = self._link, None
        if link is not None:
            self.destroy_timer(self._timer)
            link.close()

    def _tick(self) -> None:
        link, replay = self._link, self.setup.replay
        if link is None or not self.active or self.finished:
            return
        now_s = time.monotonic()
        gone, obstacle = self.setup.ended(), link.obstacle()
        if gone:
            self._fail(f"{gone} has ended; see its output above")
        elif link.mismatch or (obstacle and (self._begun or link.stopped)):
            self._fail(f"the replay was broken off: {obstacle}")
        elif obstacle and now_s - self._opened_s > self.setup.wait_limit_s:
            self._fail(f"gave up after {self.setup.wait_limit_s:g} s: {obstacle}")
        elif not obstacle and link.state is not None:
            self._begun = True
            reference = replay.step(link.state, now_s)
            if reference is not None:
                link.send(reference)
            if replay.phase is not self._phase:
                self._phase = replay.phase
                self.setup.say(replay.phase.value)
            if replay.phase is ReplayPhase.DONE:
                link.hold()
                self.finish(0)

    def _fail(self, reason: str) -> None:
        self.failure = reason
        self.get_logger().error(reason)
        self.finish(1)


class _Link(DriverLink):
    """Hands every measurement to the replay."""

    def __init__(self, node: ReplayNode, setup: ReplaySetup) -> None:
        super().__init__(node, setup.spec, setup.state_age_max_s)
        self._replay = setup.replay

    def on_state(self, state: RobotState, stamp: Time) -> None:
        """A measurement."""
        super().on_state(state, stamp)
        self._replay.on_state(state)
