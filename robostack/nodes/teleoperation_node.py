"""The teleoperation node: an operator's device moves a robot through its driver node, and says when episodes are.

It runs in the process that owns the operator's terminal. Whatever ends it, the robot holds: the last thing it says is a
trajectory without points. Its emergency stop is the driver's service `~/stop`, asked for until it is confirmed.

Subscribes `joint_states` or `odom`, `diagnostics`, `robot_spec`, `recorder_status` and, for a device that can show
them, `<camera>/image_raw/compressed`; publishes `joint_trajectory` or `cmd_vel`, and `episode_events` (JSON).
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sensor_msgs.msg import CompressedImage
from std_msgs.msg import String

from controllers.histogram import DurationHistogram
from hardware.errors import ConfigError
from hardware.robot import RobotEntry
from hardware.teleoperator import OperatorDisplay, OperatorEvent
from robostack.nodes.driver_link import DriverLink
from robostack.nodes.lifecycle import ManagedNode
from robostack.nodes.messages import stamp_to_ns
from robostack.nodes.qos import qos
from robostack.teleoperation.episodes import EpisodeChange, Episodes, Phase
from robostack.teleoperation.session import OperatorSession, SessionStep

_STATUS_PERIOD_S = 0.2
_SAVING_LIMIT_S = 120.0
"""Longest time for the recorder to write its last episode [s]."""


@dataclass(frozen=True)
class TeleoperationSetup:
    """What a teleoperation node runs."""

    entry: RobotEntry
    """The robot."""
    session: OperatorSession
    """Device and coupling, not yet connected."""
    episodes: Episodes | None = None
    """When to record; None: only teleoperate."""
    task: str = ""
    """What is demonstrated, in words."""
    cameras: tuple[str, ...] = ()
    """Names of the cameras whose images are shown to the operator, where the device can."""
    wait_limit_s: float = 30.0
    """Longest wait for the robot, and for the recorder, at the beginning [s]."""
    state_age_max_s: float = 0.2
    """A measurement older than this lets the robot hold [s]."""
    say: Callable[[str], None] = lambda line: None
    """Takes a line for the operator."""
    show: Callable[[Mapping[str, object]], None] = lambda status: None
    """Takes the status, a few times per second."""
    ended: Callable[[], str] = lambda: ""
    """Which process that this one needs has ended; "" while all run."""


class TeleoperationNode(ManagedNode):
    """See the module.

    Args:
        setup: what to run.
        overrides: parameter values, for tests.
    """

    def __init__(self, setup: TeleoperationSetup, overrides: Sequence[Any] = ()) -> None:
        super().__init__("teleoperation", overrides)
        self.setup = setup
        self.lateness = DurationHistogram()
        """How late the periods began."""
        self._period_s = 1.0 / setup.session.coupling.config.rate_hz
        self._link: DriverLink | None = None
        self._entities: list[tuple[Any, Any]] = []
        self._opened_s = self._next_s = self._shown_s = 0.0
        self._periods = 0
        self._was_ready = False
        self._message = ""
        self._enabled = False
        self._unsaved: set[int] = set()
        self._saving_since_s: float | None = None
        self._number = 0
        self._recorder_ready = False

    def configure(self) -> None:
        """Open the device, unless it is open, and the topics.

        Raises:
            DeviceError: the device is not there.
        """
        self.setup.session.connect()
        self._link = DriverLink(self, self.setup.entry.spec, self.setup.state_age_max_s)
        self._events = self.create_publisher(String, "episode_events", qos("events", "publisher"))
        self._entities.append((self.destroy_publisher, self._events))
        if self.setup.episodes is not None:
            self._listen(String, "recorder_status", "events", self._on_recorder)
        self._listen_for_stop()
        display = self.setup.session.device
        if isinstance(display, OperatorDisplay):
            for camera in self.setup.cameras:
                take = _shower(display, camera, self._link)
                self._listen(CompressedImage, f"{camera}/image_raw/compressed", "image", take)
        self._entities.append((self.destroy_timer, self.create_timer(self._period_s, self._tick)))

    def _listen_for_stop(self) -> None:
        """A device that can tell at once that its emergency stop was pressed makes the next period begin now."""
        device: Any = self.setup.session.device
        if hasattr(device, "on_stop"):
            device.on_stop = self._begin_period
        url = getattr(device, "url", "")
        if url:
            self.setup.say(f"open {url}")

    def _begin_period(self) -> None:
        """Serve a period as soon as the executor is free; from any thread."""
        executor = self.executor
        if executor is not None:  # else the session is ending, and the robot holds
            executor.create_task(self._tick)

    def activate(self) -> None:
        """Begin."""
        self._opened_s = time.monotonic()

    def deactivate(self) -> None:
        """Let the robot hold, and end a running episode."""
        if self._link is None:
            return
        if self.setup.episodes is not None:
            self._announce(self.setup.episodes.close(time.monotonic()))
        for _ in range(3):
            self._link.hold()

    def cleanup(self) -> None:
        """Close the topics and the device."""
        for destroy, entity in reversed(self._entities):
            destroy(entity)
        self._entities.clear()
        link, self._link = self._link, None
        if link is not None:
            link.close()
        self.setup.session.disconnect()

    def _listen(self, kind: Any, topic: str, channel: str, take: Callable[[Any], None]) -> None:
        subscription = self.create_subscription(kind, topic, take, qos(channel, "subscription"))
        self._entities.append((self.destroy_subscription, subscription))

    def _tick(self) -> None:
        link = self._link
        if link is None or not self.active or self.finished:
            return
        now_s = time.monotonic()
        self._note_lateness(now_s)
        obstacle = self._obstacle(link, now_s)
        try:
            step = self.setup.session.step(None if obstacle else link.state, now_s)
        except ConfigError as error:
            self._fail(str(error))
            return
        self._act(link, step, now_s)
        self._direct(link, step, obstacle, now_s)
        self._enabled = step.enabled
        self._message = step.message or obstacle
        if now_s - self._shown_s >= _STATUS_PERIOD_S:
            self._shown_s = now_s
            self._show(link, now_s)

    def _act(self, link: DriverLink, step: SessionStep, now_s: float) -> None:
        """What reaches the robot."""
        link.serve(now_s)
        if step.stop:
            link.stop(now_s)
            self.setup.say(f"STOP: {step.message or 'the operator stopped the robot'}. Press reset when it is safe")
        if step.reference is not None:
            link.send(step.reference)
        else:
            link.hold()
        if OperatorEvent.RESET in step.events and not step.stop:
            link.reset()

    def _direct(self, link: DriverLink, step: SessionStep, obstacle: str, now_s: float) -> None:
        """Episodes, and the end of the session."""
        episodes = self.setup.episodes
        if episodes is not None:
            blocked = "the operator stopped the robot" if step.stop else obstacle
            self._announce(episodes.step(now_s, step.events, blocked))
        elif OperatorEvent.FINISH in step.events:
            self.finish(0)
        if episodes is not None and episodes.phase is Phase.DONE:
            self._await_saving(now_s)
        gone = self.setup.ended()
        if gone:
            self._fail(f"{gone} has ended; see its output above")

    def _obstacle(self, link: DriverLink, now_s: float) -> str:
        """Why the robot cannot be moved or recorded; fails once the wait at the beginning is too long."""
        obstacle = link.obstacle()
        if not obstacle and self.setup.episodes is not None and not self._recorder_ready:
            obstacle = "no recorder yet (topic recorder_status)"
        if not obstacle and not self._was_ready:
            self._was_ready = True
            self.setup.say(f"{self.setup.entry.spec.name} is ready")
        if link.mismatch:
            self._fail(link.mismatch)
        elif obstacle and not self._was_ready and now_s - self._opened_s > self.setup.wait_limit_s:
            self._fail(f"gave up after {self.setup.wait_limit_s:g} s: {obstacle}")
        return obstacle

    def _announce(self, changes: Sequence[EpisodeChange]) -> None:
        for change in changes:
            stamp_ns = stamp_to_ns(self.get_clock().now().to_msg())
            values: dict[str, object] = {
                "event": "begin" if change.begins else "end",
                "episode": change.episode,
                "task": self.setup.task,
                "sender": self._link.sender if self._link is not None else "",
                "stamp_ns": stamp_ns,
                "number": self._number,
            }
            if not change.begins:
                values |= {"reason": change.reason, "success": change.success, "keep": change.keep}
                self._unsaved.add(self._number)
                self._number += 1
            self._events.publish(String(data=json.dumps(values)))
            verb = "begins" if change.begins else f"ended: {change.reason}"
            self.setup.say(f"episode {change.episode} {verb}")

    def _on_recorder(self, message: String) -> None:
        """The recorder has kept or dropped an episode, or could not."""
        try:
            report = json.loads(message.data)
            if report.get("ready"):
                self._recorder_ready = True
                return
            number, text, failed = int(report["number"]), str(report["text"]), bool(report["failed"])
        except (ValueError, KeyError, TypeError, AttributeError):
            self.get_logger().error("recorder_status carries something else than this node expects")
            return
        self._unsaved.discard(number)
        self.setup.say(text)
        if failed:
            self._fail(text)

    def _await_saving(self, now_s: float) -> None:
        self._saving_since_s = now_s if self._saving_since_s is None else self._saving_since_s
        if not self._unsaved:
            self.finish(0)
        elif now_s - self._saving_since_s > _SAVING_LIMIT_S:
            self._fail(f"the recorder did not write its last episode within {_SAVING_LIMIT_S:g} s")

    def _note_lateness(self, now_s: float) -> None:
        self._periods += 1
        if self._periods > 1:
            self.lateness.add(max(now_s - self._next_s, 0.0))
        # The schedule is kept where possible, and begun anew after a gap.
        on_time = self._periods > 1 and now_s < self._next_s + self._period_s
        self._next_s = (self._next_s if on_time else now_s) + self._period_s

    def _show(self, link: DriverLink, now_s: float) -> None:
        episodes = self.setup.episodes
        recording = episodes is not None and episodes.phase is Phase.RECORD
        status: dict[str, object] = {
            "robot": self.setup.entry.spec.name,
            "enabled": self._enabled,
            "safety": link.text,
            "stopped": link.stopped,
            "state_age_s": link.age_s,
            "rate_hz": self._periods / max(now_s - self._opened_s, 1e-3),
            "lateness_ms": 1e3 * self.lateness.percentile(0.99),
            "phase": "operate" if episodes is None else episodes.phase.value,
            "recording": recording,
            "episode": episodes.episode if episodes is not None else 0,
            "episodes": episodes.config.num_episodes if episodes is not None else 0,
            "episode_time_s": episodes.elapsed_s(now_s) if episodes is not None and recording else 0.0,
            "message": self._message,
        }
        self.setup.show(status)
        if isinstance(self.setup.session.device, OperatorDisplay):
            self.setup.session.device.show_status(status)

    def _fail(self, reason: str) -> None:
        self.failure = reason
        self.get_logger().error(reason)
        self.finish(1)


def _shower(display: OperatorDisplay, camera: str, link: DriverLink) -> Callable[[CompressedImage], None]:
    """Hands the images of one camera to a display."""

    def take(message: CompressedImage) -> None:
        display.show_frame(camera, bytes(message.data), link.bridge.monotonic(message.header.stamp))

    return take
