"""The policy node: waits for the robot, runs a policy for a number of episodes, writes each down, and ends.

It steps when a measurement arrives and a control period has passed, so that the policy always acts on fresh data; a
timer only watches that measurements do arrive. It needs no deep-learning framework. With `learn.learner` the policy
learns while it acts.

Subscribes `joint_states`, or `odom` and `contacts`, and `diagnostics`, `robot_spec`, and for a policy with cameras
`<camera>/image_raw/compressed`; publishes `joint_trajectory` or `cmd_vel`, latched `episode_events` (JSON), and
`diagnostics` of what it learns. Everything is relative to the node's namespace, as in the driver node.
"""

from __future__ import annotations

import json
import sys
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from std_msgs.msg import String
from std_srvs.srv import Trigger

from controllers.histogram import DurationHistogram
from hardware.errors import ContractMismatchError, NonFiniteError, ProtocolError, RobostackError
from hardware.records import RobotState
from robostack.files import write_text
from robostack.nodes.clock_bridge import ClockBridge
from robostack.nodes.guard import Guard
from robostack.nodes.learning import LearnConfig, Session, open_session
from robostack.nodes.lifecycle import ManagedNode
from robostack.nodes.messages import diagnostics_message
from robostack.nodes.parameters import configuration_from, refuse_unknown
from robostack.nodes.person import Person, person_at
from robostack.nodes.policy_images import PolicyImages, SeeingPolicy, images_for
from robostack.nodes.qos import qos
from robostack.nodes.robot_link import RobotLink, open_link
from robostack.nodes.run_node import run_node
from robostack.nodes.same_robot import require_same_spec
from robostack.policies.opening import policy_for
from robostack.runner import ABORTS_MAX, EpisodeRecord, EpisodeRunner, Phase, Reference, RunnerConfig, append_result
from robostack.tasks.task import Task
from robostack.tasks.with_history import open_task

RESET_PERIOD_S = 2.0
"""Time between two attempts to clear a fault [s]."""
FIGURES_PERIOD_S = 1.0
"""Time between two diagnostics of what is learned [s]."""


@dataclass(frozen=True)
class PolicyNodeConfig:
    """Parameters of the policy node."""

    task: str = "ur5e-reach"
    """Registry name of the task, or "module:Class"."""
    policy: str = "scripted"
    """Checkpoint folder, ONNX file, or "scripted" for the task's hand-written policy; unused while learning."""
    episodes: int = 10
    """Number of episodes; 0 runs none."""
    seed: int = 0
    """Seed of start poses and goals."""
    pause_s: float = 0.5
    """Rest before each episode [s]."""
    to_start: bool = True
    """Whether each episode begins with a slow motion to a start pose of the task."""
    start_speed_fraction: float = 0.15
    """Top speed of that motion, as a fraction of each joint's speed limit."""
    start_tolerance_rad: float = 0.02
    """The start pose counts as reached when every joint is this close to it [rad]."""
    start_limit_s: float = 5.0
    """Time the robot has to settle at the start pose after the motion should have ended [s]."""
    results_path: str = ""
    """File that gets one line of JSON per episode; empty: none."""
    report_path: str = ""
    """File for a JSON report of the time that task and policy take, written at the end; empty: none."""
    wait_limit_s: float = 20.0
    """Longest wait for the driver at the beginning [s]."""
    recovery_limit_s: float = 60.0
    """Longest wait for a person to clear a fault of the robot [s]."""
    state_age_max_s: float = 0.15
    """A measurement older than this aborts the episode [s]."""
    image_age_max_s: float = 0.2
    """An image may be this much older than the measurement that the policy acts on [s]; else the robot holds."""
    person: str = ""
    """Teleoperation device of this computer that takes over while its dead-man switch is held; empty: none."""
    judge: Literal["task", "person"] = "task"
    """Who says whether an episode succeeded: the task, or the person, by the keys for success and failure."""
    resets_max: int = 0
    """Faults of the robot that the node clears itself, by the driver's service reset. Only for virtual robots: at a
    physical one a person has to see to the cause first."""


class PolicyNode(ManagedNode):
    """See the module.

    Args:
        overrides: parameter values, for tests.
    """

    def __init__(self, overrides: Sequence[Any] = ()) -> None:
        super().__init__("policy", overrides)
        self.config = configuration_from(self, PolicyNodeConfig)
        self.learn_config = configuration_from(self, LearnConfig, "learn.")
        refuse_unknown(self)
        self.sender = f"{self.get_name()}-{uuid.uuid4().hex[:8]}"
        self.bridge = ClockBridge(self.get_clock())
        self._runner: EpisodeRunner | None = None
        self._learning: Session | None = None
        self._waits = False
        self._images: PolicyImages | None = None
        self._person = Person(self)
        self._link: RobotLink | None = None
        self._state: RobotState | None = None
        self._stamp = Time()
        self._same_robot = False
        self._driver_level: bytes | None = None
        self._driver_text = ""
        self._waiting_since_s: float | None = None
        self._wait_limit_s = self.config.wait_limit_s
        self._said_s = 0.0
        self._next_s = 0.0
        self._phase = Phase.PAUSE
        self._step_time, self._lateness = DurationHistogram(), DurationHistogram()
        self._missed = self._ended = self._succeeded = self._aborted = self._resets = 0
        self._figures_s = self._reset_s = 0.0
        self._entities: list[tuple[Any, Any]] = []

    def configure(self) -> None:
        """Load task and policy and compare their contracts.

        Raises:
            ContractMismatchError: the policy was trained for something else.
            CheckpointError: the policy cannot be read.
            UnknownNameError: no such task or learner.
            ConfigError: the run folder of a learner holds a run already, or a setting is wrong.
        """
        task = open_task(self.config.task)
        learning = open_session(self.learn_config, task, self.config.seed) if self.learn_config.learner else None
        runner_config = RunnerConfig(
            episodes=self.config.episodes,
            acting_limit_s=60.0 * self.learn_config.minutes if learning is not None else 0.0,
            pause_s=self.config.pause_s,
            to_start=self.config.to_start,
            start_speed_fraction=self.config.start_speed_fraction,
            start_tolerance_rad=self.config.start_tolerance_rad,
            start_limit_s=self.config.start_limit_s,
            judge=self.config.judge,
        )
        self._person = person_at(self, self.config.person, task)
        self._entities += self._person.entities
        person = self._person.operator
        if learning is None:
            policy = policy_for(self.config.policy, task)
            self._images = images_for(self, policy, self.bridge, self.config.image_age_max_s)
            seeing = policy if self._images is None else SeeingPolicy(policy, self._images)
            self._runner = EpisodeRunner(task, seeing, self.config.seed, runner_config, corrector=person)
        else:
            before = learning.before
            self._runner = EpisodeRunner(
                task, learning.policy, learning.seed, runner_config, before.episodes, before.acted_s, person
            )
            self._runner.ready = learning.ready
        self._learning = learning
        self._open_topics(task)

    def activate(self) -> None:
        """Begin to wait for the driver, then run."""
        self._waiting_since_s = self._said_s = time.monotonic()

    def deactivate(self) -> None:
        """Abort what runs and let the robot hold its pose."""
        runner = self._runner
        if runner is not None and self.active and self._waiting_since_s is None and not runner.done:
            runner.abort("the policy node was stopped", time.monotonic())
            self._report()
            self._release()
        self._waiting_since_s = None
        if self._learning is not None:
            self._learning.close()
        if self.config.report_path and self._step_time.count:
            self._write_report()

    def _write_report(self) -> None:
        times, late = self._step_time, self._lateness
        shares = {"p50_ms": times.percentile(0.5), "p99_ms": times.percentile(0.99), "max_ms": times.max_s}
        shares |= {"lateness_p50_ms": late.percentile(0.5), "lateness_p99_ms": late.percentile(0.99)}
        shares |= {"lateness_max_ms": late.max_s}
        report: dict[str, Any] = {"steps": times.count, **{name: 1e3 * value for name, value in shares.items()}}
        report |= {"missed_cycles": self._missed, "episodes": self._ended, "succeeded": self._succeeded}
        report |= {"aborted": self._aborted, "resets": self._resets}
        if self._learning is not None:
            report["learning"] = self._learning.figures()
        try:
            write_text(Path(self.config.report_path), json.dumps(report, indent=2))
        except OSError as error:
            self.get_logger().error(f"report {self.config.report_path} cannot be written: {error}")

    def cleanup(self) -> None:
        """Close the topics."""
        for destroy, entity in reversed(self._entities):
            destroy(entity)
        self._entities.clear()
        self._runner = self._learning = self._link = self._images = None
        self._person = Person(self)

    def _open_topics(self, task: Task) -> None:
        self._link = open_link(self, task.spec, self.sender, self.bridge, self)
        self._events = self.create_publisher(String, "episode_events", qos("events", "publisher"))
        self._figures = self.create_publisher(DiagnosticArray, "diagnostics", qos("status", "publisher"))
        self._entities += [*self._link.entities, (self.destroy_publisher, self._events)]
        self._entities += self._images.entities if self._images is not None else []
        self._entities.append((self.destroy_publisher, self._figures))
        self._reset = self.create_client(Trigger, "driver/reset")
        self._entities.append((self.destroy_client, self._reset))
        for kind, topic, channel, callback in (
            (DiagnosticArray, "diagnostics", "status", self._on_diagnostics),
            (String, "robot_spec", "description", self._on_spec),
        ):
            subscription = self.create_subscription(kind, topic, callback, qos(channel, "subscription"))
            self._entities.append((self.destroy_subscription, subscription))
        timer = self.create_timer(min(task.control_period_s, 0.05), self._watch)
        self._entities.append((self.destroy_timer, timer))

    def _on_spec(self, message: String) -> None:
        if self._runner is None:
            return
        try:
            require_same_spec(message.data, self._runner.task.spec, f"task {self._runner.task.name}")
        except (ContractMismatchError, ProtocolError) as error:
            self._fail(str(error))
            return
        self._same_robot = True

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if status.name.endswith(": control loop"):
                self._driver_level, self._driver_text = status.level, status.message

    def on_nonsense(self, reason: str) -> None:
        """A message that is not of this robot."""
        if self._runner is not None and self.active and not self._runner.done and self._same_robot:
            self._fail(reason)

    def on_state(self, state: RobotState, stamp: Time) -> None:
        """One measurement: step, if a control period has passed."""
        runner = self._runner
        if runner is None or not self.active or self.finished or runner.done or not self._same_robot:
            return
        now_s = time.monotonic()
        self._state, self._stamp = state, stamp
        self._attend(runner, now_s)
        period_s = runner.task.control_period_s
        if self._waiting_since_s is not None or now_s < self._next_s - 0.25 * period_s:
            return
        unseen = self._images.missing(float(state.capture_time_s)) if self._images is not None else ""
        if unseen:
            self._interrupt(runner, f"the policy waits for {unseen}", now_s)
            self._release()
            return
        late_s = now_s - self._next_s
        if runner.phase is Phase.RUN:
            self._lateness.add(max(0.0, late_s))
            self._missed += int(max(0.0, late_s) / period_s)
        # The schedule is kept where possible and begun anew after a gap.
        self._next_s = self._next_s + period_s if late_s < period_s else now_s + period_s
        with Guard(self, runner):
            self._step(runner, state, now_s)

    def _step(self, runner: EpisodeRunner, state: RobotState, now_s: float) -> None:
        reference: Reference | None
        try:
            reference = runner.step(state, now_s, self._next_s)
            self._step_time.add(time.monotonic() - now_s)
        except NonFiniteError as error:
            self.get_logger().error(f"episode aborted: {error}")
            reference = runner.hold(now_s)
        if reference is not None and self._link is not None:
            self._link.send(reference, self._stamp)
        self._report()
        if runner.done:
            self._release()  # the timer finishes the node, so that this message gets away

    def _summary(self) -> str:
        late = self._lateness
        text = f"{self._ended} episodes have ended: {self._succeeded} succeeded, {self._aborted} aborted"
        if self._learning is not None:
            text += (
                f"; cycles late by p50 {1e3 * late.percentile(0.5):.1f} ms, p99 {1e3 * late.percentile(0.99):.1f} ms, "
                f"{self._missed} missed; {self._learning.summary()}"
            )
        return text

    def _release(self) -> None:
        """Let the robot hold its pose or stand, and others command it."""
        if self._link is not None:
            self._link.release(self._stamp)

    def broken(self, error: BaseException, runner: EpisodeRunner) -> None:
        """Something in task, policy or learner went wrong: the robot holds, and the node ends with the reason."""
        reason = str(error) if isinstance(error, RobostackError | OSError) else f"{type(error).__name__}: {error}"
        self._release()
        runner.abort(reason, time.monotonic())
        for record in runner.finished:
            self._note(record)
        runner.finished.clear()
        self._fail(f"stopped: {reason}")

    def _report(self) -> None:
        """Publish and write down what has changed."""
        runner = self._runner
        if runner is None:
            return
        if runner.phase is not self._phase:
            self._phase = runner.phase
            if runner.phase is Phase.RUN:
                self._event(event="begin", episode=runner.episode)
        while runner.finished:
            record = runner.finished.pop(0)
            if self.config.results_path:
                append_result(Path(self.config.results_path), record)
            self._note(record)
            if self._learning is not None:
                self._learning.ended(record, runner)

    def _note(self, record: EpisodeRecord) -> None:
        """Count an ended episode and tell of it."""
        self._ended += 1
        self._succeeded += record.success
        self._aborted += record.reason.startswith("aborted")
        self._event(
            event="end",
            episode=record.episode,
            success=record.success,
            reason=record.reason,
            duration_s=record.duration_s,
            total_reward=record.total_reward,
            corrected=record.corrected,
        )
        returned = f", return {record.total_reward:.4g}" if self._learning is not None else ""
        self.get_logger().info(f"episode {record.episode}: {record.reason} after {record.duration_s:.2f} s{returned}")

    def _event(self, **values: object) -> None:
        self._events.publish(String(data=json.dumps({**values, "task": self.config.task, "sender": self.sender})))

    def _watch(self) -> None:
        """The timer: waits for the driver, and notices when measurements cease or the driver reports a fault."""
        runner = self._runner
        if runner is None or not self.active or self.finished:
            return
        now_s = time.monotonic()
        self._attend(runner, now_s)
        self._publish_figures(now_s)
        if runner.done:
            self.get_logger().info(self._summary())
            if runner.gave_up:
                self._fail(f"gave up: {ABORTS_MAX} episodes in a row were aborted")
                return
            # Nothing to show for it is a failure; an episode that merely did not succeed is a result.
            self.finish(1 if self._ended and self._aborted == self._ended else 0)
        elif self._waiting_since_s is not None:
            self._wait(runner, now_s)
        elif self._state is not None:
            age_s = now_s - float(self._state.capture_time_s)
            if self._driver_level == DiagnosticStatus.ERROR:
                self._interrupt(runner, f"the driver reports: {self._driver_text}", now_s)
            elif age_s > self.config.state_age_max_s:
                limit_ms = self.config.state_age_max_s * 1e3
                topic = self._link.state_topic if self._link is not None else "measurements"
                self._interrupt(runner, f"{topic} are {age_s * 1e3:.0f} ms old, limit {limit_ms:.0f} ms", now_s)

    def _publish_figures(self, now_s: float) -> None:
        """What is learned, as diagnostics."""
        if self._learning is None or now_s - self._figures_s < FIGURES_PERIOD_S:
            return
        self._figures_s = now_s
        self._tell_of_learner(self._learning)
        name = f"{self.get_fully_qualified_name()}: learning"
        summary = f"episode {self._runner.episode}" if self._runner is not None else ""
        figures = self._learning.figures() | {"lateness_p99_ms": 1e3 * self._lateness.percentile(0.99)}
        stamp = self.get_clock().now().to_msg()
        self._figures.publish(diagnostics_message(stamp, name, "ok", summary, figures, self.config.task))

    def _tell_of_learner(self, learning: Session) -> None:
        for note in learning.notes():
            self.get_logger().info(note)
        if bool(learning.waits_for) != self._waits:
            self._waits = bool(learning.waits_for)
            text = f"no episode begins: waiting for {learning.waits_for}" if self._waits else "the learner is there"
            self.get_logger().info(text)

    def _attend(self, runner: EpisodeRunner, now_s: float) -> None:
        """Listen to the person; a stop interrupts whatever is going on, and nothing begins before RESET."""
        self._person.attend(now_s)
        self._person.show(now_s, lambda: self._status(runner, now_s))
        if self._person.stopped and self._waiting_since_s is None:
            self._interrupt(runner, "the operator stopped the robot; press reset when it is safe", now_s)
            self._release()

    def _status(self, runner: EpisodeRunner, now_s: float) -> dict[str, object]:
        """How things are, for the person's device; see `hardware.teleoperator.OperatorDisplay`."""
        captured_s = None if self._state is None else float(self._state.capture_time_s)
        return {
            "robot": runner.task.spec.name,
            "enabled": False,  # it follows the policy
            "safety": self._driver_text,
            "stopped": self._driver_level == DiagnosticStatus.ERROR,
            "state_age_s": None if captured_s is None else now_s - captured_s,
            "rate_hz": 1.0 / runner.task.control_period_s,
            "lateness_ms": 1e3 * self._lateness.percentile(0.99),
            "phase": "wait" if self._waiting_since_s is not None else "operate",
            "recording": self.config.judge == "person" and runner.phase is Phase.RUN,  # lets the person judge
            "episode": runner.episode,
            "episodes": self.config.episodes,
            "episode_time_s": None,
            "message": "press reset when it is safe" if self._person.stopped else "the policy acts; you may take over",
        }

    def _interrupt(self, runner: EpisodeRunner, reason: str, now_s: float) -> None:
        self.get_logger().error(f"episode interrupted: {reason}")
        with Guard(self, runner):
            if self._state is not None and now_s - float(self._state.capture_time_s) <= self.config.state_age_max_s:
                runner.interrupt(reason, self._state, now_s)
            else:
                runner.abort(reason, now_s)
            self._report()
        self._waiting_since_s, self._wait_limit_s = now_s, self.config.recovery_limit_s
        self._said_s = now_s

    def _wait(self, runner: EpisodeRunner, now_s: float) -> None:
        since_s = self._waiting_since_s if self._waiting_since_s is not None else now_s
        missing = [name for name, holds in self._conditions(now_s) if not holds()]
        if not missing:
            self._waiting_since_s, self._next_s = None, now_s
            what = f"learning with {self.learn_config.learner}" if self._learning is not None else self.config.policy
            self.get_logger().info(f"the robot is ready; running {self.config.task} with {what}")
        elif now_s - since_s > self._wait_limit_s:
            self._fail(f"gave up after {self._wait_limit_s:g} s waiting for {', '.join(missing)}")
        elif self._person.stopped:
            self._waiting_since_s = now_s  # as long as the person wants
        elif self._driver_level == DiagnosticStatus.ERROR and self._resets < self.config.resets_max:
            self._clear_fault(now_s)
        elif now_s - self._said_s > 2.0:
            self._said_s = now_s
            self.get_logger().info(
                f"waiting for {', '.join(missing)}; {self._wait_limit_s - now_s + since_s:.0f} s left"
            )

    def _clear_fault(self, now_s: float) -> None:
        """Ask the driver to take commands again, now and then."""
        if now_s - self._reset_s > RESET_PERIOD_S and self._reset.service_is_ready():
            self._reset_s = now_s
            self._resets += 1
            self.get_logger().warning(f"clearing the fault, {self._resets} of at most {self.config.resets_max} times")
            self._reset.call_async(Trigger.Request())

    def _conditions(self, now_s: float) -> list[tuple[str, Callable[[], bool]]]:
        """What must hold before the policy may act: name -> whether it does."""
        state, link, images = self._state, self._link, self._images
        unseen = images.missing(float(state.capture_time_s)) if images is not None and state is not None else ""
        topics = (link.state_topic, link.command_topic) if link is not None else ("", "")
        return [
            (
                "the description of the robot (topic robot_spec; is the driver node running?)",
                lambda: self._same_robot,
            ),
            (
                f"fresh measurements (topic {topics[0]})",
                lambda: state is not None and now_s - float(state.capture_time_s) <= self.config.state_age_max_s,
            ),
            (
                f"a driver that takes commands (topic {topics[1]})",
                lambda: link is not None and link.commands.get_subscription_count() > 0,
            ),
            (
                f"a driver without fault (topic diagnostics{': ' + self._driver_text if self._driver_text else ''})",
                lambda: self._driver_level in (DiagnosticStatus.OK, DiagnosticStatus.WARN),
            ),
            (unseen, lambda: not unseen),
            ("the operator, who stopped the robot, to press reset", lambda: not self._person.stopped),
        ]

    def _fail(self, reason: str) -> None:
        self.failure = reason
        self.get_logger().error(reason)
        self.finish(1)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the policy node with the parameters given by `--ros-args`."""
    return run_node(PolicyNode, arguments)


if __name__ == "__main__":
    sys.exit(main())
