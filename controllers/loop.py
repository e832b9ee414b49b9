"""The fast loop of a robot's driver process: read, track, filter, send."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol

from controllers.histogram import DurationHistogram
from controllers.pacing import Pacer
from controllers.realtime import SPIN_S, RealtimeThread
from controllers.reference import BaseReference, JointReference
from controllers.safety import Filtered, SafetyAction, SafetyReason
from hardware.clock import Clock, SystemClock
from hardware.errors import DeviceError, DeviceFaultError, RobostackError
from hardware.records import RobotMode, RobotState
from hardware.robot import Robot

_JOIN_TIMEOUT_S = 2.0
_POLL_PERIODS = 5
"""How many periods a caller that waits for the loop sleeps at most before it looks for a fault."""


@dataclass(frozen=True)
class LoopConfig:
    """How the control loop runs."""

    rate_hz: float | None = None
    """Rate of the loop [Hz]; None: the robot's."""
    overrun: Literal["skip", "catch_up"] = "skip"
    """What happens to deadlines missed: skip them, or run their cycles late."""
    realtime_priority: int | None = None
    """SCHED_FIFO priority of the loop's thread, 1 to 99; None: the normal scheduler."""
    freeze_gc: bool = False
    """Whether to keep the objects that exist at the start out of garbage collection."""
    recorded_samples: int = 0
    """How many of the latest cycles are kept for `ControlLoop.recorded`."""


@dataclass(frozen=True, slots=True)
class LoopSample:
    """One cycle."""

    time_s: float
    """Monotonic time of the cycle [s]."""
    state: RobotState
    """The measurement it began with (the last one, where reading failed)."""
    requested: Any
    """What the controller asked for, a JointCommand or a BaseCommand; None where none was computed."""
    executed: Any
    """What the device was given, of the same kind; None where nothing was sent."""
    action: SafetyAction
    """What the safety filter did."""
    reasons: tuple[SafetyReason, ...]
    """Why."""
    lateness_s: float
    """How late the cycle began [s]."""


@dataclass(frozen=True)
class LoopStatistics:
    """Figures since the start of the loop."""

    cycles: int
    """Cycles run."""
    lateness_p50_ms: float
    """Median lateness of a cycle [ms]."""
    lateness_p99_ms: float
    """99th percentile of the lateness [ms]."""
    lateness_max_ms: float
    """Largest lateness [ms]."""
    overruns: int
    """Deadlines that passed unserved."""
    interventions: dict[str, int]
    """Cycles in which the safety filter did not pass a command, by reason."""
    round_trip_p50_ms: float | None
    """Median time from a command to its echo in a state [ms]; None where the driver does not measure it."""
    round_trip_p99_ms: float | None
    """99th percentile of the same [ms]."""
    realtime: bool
    """Whether the loop's thread has, or had, real-time priority."""
    realtime_refusal: str
    """Why not, where it was asked for."""


_AHEAD = frozenset({SafetyReason.TRACKING_ERROR, SafetyReason.WORKSPACE, SafetyReason.POSITION})
"""Limits in front of which set-points that integrate a velocity would run ever further ahead of the robot: pushed
against an obstacle or a wall for a while, it would begin to come back only after they had. So each new velocity goes on
from what is executed."""


class _Hold:
    """Put into the mailbox to drop the reference."""


class Controller(Protocol):
    """What the loop asks of a controller of joints (`TrackingController`) or of a base (`BaseTrackingController`)."""

    def reset(self, state: RobotState) -> None:
        """Forget the reference; begin at `state`, coming to rest from its velocity."""
        ...

    def check(self, reference: Any) -> None:
        """Refuse a reference that cannot be followed. May be called from any thread.

        Raises:
            ConfigError: wrong kind, mode or shape.
            NonFiniteError: it contains a number that is not finite.
        """
        ...

    def set_reference(self, reference: Any) -> None:
        """Follow `reference` from now on."""
        ...

    def update(self, state: RobotState, now_s: float) -> Any:
        """The command of the control cycle at `now_s` [s]."""
        ...


class Filter(Protocol):
    """What the loop asks of a safety filter, of joints (`SafetyFilter`) or of a base (`BaseSafetyFilter`)."""

    counts: dict[SafetyReason, int]

    def reset(self, state: RobotState | None = None) -> None:
        """Release a latched stop and begin at `state`."""
        ...

    def apply(self, command: Any, state: RobotState, reference_age_s: float, now_s: float) -> Filtered:
        """What to send, what was done and why."""
        ...

    def executed(self, state: RobotState) -> RobotState:
        """`state` as if the robot were exactly where it was told to be."""
        ...


class ControlLoop:
    """Runs a controller and the safety filter against one robot, in an own thread or step by step.

    Any typed error of the device, a stop by the filter, or a defect in the controller stops the robot by its own means
    and latches `fault`; the loop goes on reading, so that the state stays known. `reset_fault` begins anew at the
    measured state. Only the latest reference counts; giving one never waits for the loop.

    Args:
        robot: a connected robot.
        controller: makes commands of references.
        safety: bounds the commands.
        clock: paces the loop.
        config: rate, thread and records.
    """

    def __init__(
        self,
        robot: Robot,
        controller: Controller,
        safety: Filter,
        clock: Clock | None = None,
        config: LoopConfig | None = None,
    ) -> None:
        self.robot, self.controller, self.safety = robot, controller, safety
        self.clock: Clock = clock if clock is not None else SystemClock()
        self.config = config if config is not None else LoopConfig()
        self.period_s = 1.0 / (self.config.rate_hz or robot.spec.control_rate_hz)
        self._pacer = Pacer(self.period_s, self.clock, self.config.overrun)
        self._round_trip = DurationHistogram()
        self._round_trip_seen: float | None = None
        self._recorded: deque[LoopSample] = deque(maxlen=self.config.recorded_samples)
        self._realtime = RealtimeThread(None)
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()
        self._mailbox: JointReference | BaseReference | _Hold | None = None
        self._reference: JointReference | BaseReference | None = None
        self._restart = False
        self._fault: str | None = None
        self._latest: LoopSample | None = None
        self._cycles = 0

    @property
    def fault(self) -> str | None:
        """Why the robot was stopped; None while it follows."""
        return self._fault

    @property
    def running(self) -> bool:
        """Whether the loop's own thread is alive."""
        return self._thread is not None and self._thread.is_alive()

    def begin(self) -> RobotState:
        """Read the robot and begin at its measured state, without a thread: for callers of `step` and `run_until`.

        Raises:
            DeviceFaultError: the device does not follow commands now.
            DeviceError: it cannot be read.
        """
        state = self.robot.read()
        if state.mode is not RobotMode.RUNNING:
            raise DeviceFaultError(
                self.robot.spec.name,
                state.detail or state.mode.value,
                "clear the stop at the robot, connect again, then start the loop",
            )
        self.controller.reset(state)
        self.safety.reset(state)
        self._fault = self._reference = self._mailbox = None
        self._restart = False
        self._latest = LoopSample(self.clock.now(), state, None, None, SafetyAction.PASS, (), 0.0)
        self._pacer.restart()
        return state

    def start(self) -> None:
        """Begin at the measured state and run in an own thread.

        Raises:
            DeviceFaultError: the device does not follow commands now.
            DeviceError: it cannot be read, or the loop runs already.
        """
        if self.running:
            raise DeviceError(f"the control loop of {self.robot.spec.name} runs already; stop it first")
        self.begin()
        self._stopping.clear()
        self._thread = threading.Thread(target=self._run, name=f"{self.robot.spec.name}-control", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop the robot by its own means and end the thread. Idempotent."""
        self._stopping.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(_JOIN_TIMEOUT_S)
        self._thread = None
        self.robot.stop()

    def set_reference(self, reference: JointReference | BaseReference) -> None:
        """Follow `reference` from the next cycle on; replaces one not yet taken. From any thread, without waiting.

        A reference without a time of creation is stamped now. It is stale once its horizon has passed.

        Raises:
            ConfigError: wrong mode or shape.
            NonFiniteError: it contains a number that is not finite.
        """
        self.controller.check(reference)
        if reference.created_s == 0.0:
            reference = replace(reference, created_s=self.clock.now())
        self._mailbox = reference

    def hold(self) -> None:
        """Drop the reference: brake to rest and stay there, for any time. From any thread, without waiting."""
        self._mailbox = _Hold()

    def reset_fault(self) -> None:
        """Forget the fault and begin anew at the measured state, at the next cycle.

        What the device itself has latched must be cleared first, or the next cycle reports it again.
        """
        self._restart = True

    def latest(self) -> LoopSample:
        """The newest cycle.

        Raises:
            DeviceError: the loop was never started.
        """
        if self._latest is None:
            raise DeviceError("the control loop has not begun; call start() first")
        return self._latest

    def recorded(self) -> list[LoopSample]:
        """The latest cycles, oldest first, as many as the configuration keeps."""
        return list(self._recorded)

    def statistics(self) -> LoopStatistics:
        """Figures since the loop was made."""
        lateness, trips = self._pacer.lateness, self._round_trip
        return LoopStatistics(
            cycles=self._cycles,
            lateness_p50_ms=1e3 * lateness.percentile(0.5),
            lateness_p99_ms=1e3 * lateness.percentile(0.99),
            lateness_max_ms=1e3 * lateness.max_s,
            overruns=self._pacer.overruns,
            interventions={reason.value: count for reason, count in self.safety.counts.items() if count},
            round_trip_p50_ms=1e3 * trips.percentile(0.5) if trips.count else None,
            round_trip_p99_ms=1e3 * trips.percentile(0.99) if trips.count else None,
            realtime=self._realtime.granted,
            realtime_refusal=self._realtime.refusal,
        )

    def run_until(self, deadline_s: float) -> None:
        """Return at `deadline_s` [s] of the loop's clock, or as soon as there is a fault.

        Where the loop has no thread of its own, its cycles run here.
        """
        while self._fault is None and self.clock.now() < deadline_s:
            if self.running:
                self.clock.sleep_until(min(deadline_s, self.clock.now() + _POLL_PERIODS * self.period_s))
            else:
                self.step(self._pacer.wait())

    def step(self, lateness_s: float = 0.0) -> LoopSample:
        """One cycle, now.

        Raises:
            DeviceError: the loop was never begun.
        """
        now = self.clock.now()
        last = self.latest()
        requested: Any = None
        executed: Any = None
        action = SafetyAction.STOP
        reasons: tuple[SafetyReason, ...] = (SafetyReason.DEVICE_FAULT,)
        state = last.state
        try:
            state = self.robot.read()
            if self._restart:
                self._begin_anew(state)
            if self._fault is None:
                self._take_reference()
                requested = self.controller.update(state, now)
                filtered = self.safety.apply(requested, state, self._reference_age(now), now)
                executed, action, reasons = filtered.command, filtered.action, filtered.reasons
                if executed is not None:
                    self.robot.send(executed)
                else:
                    self._trip(_explain(reasons, state))
        except RobostackError as error:
            executed, action, reasons = None, SafetyAction.STOP, (SafetyReason.DEVICE_FAULT,)
            self._trip(str(error))
        if action in (SafetyAction.HOLD, SafetyAction.DAMP):
            self._follow_executed(state)
        self._note_round_trip()
        self._cycles += 1
        sample = LoopSample(now, state, requested, executed, action, reasons, lateness_s)
        self._latest = sample
        if self.config.recorded_samples:
            self._recorded.append(sample)
        return sample

    def _run(self) -> None:
        clean = False
        with RealtimeThread(self.config.realtime_priority, freeze_gc=self.config.freeze_gc) as realtime:
            self._realtime = realtime
            self._pacer.spin_s = SPIN_S if realtime.granted else 0.0
            try:
                while not self._stopping.is_set():
                    self.step(self._pacer.wait())
                clean = True
            finally:
                if not clean:  # a defect: the traceback goes to threading.excepthook, the robot must not go on
                    self._trip("the control loop ended by a defect in the program; see its traceback")

    def _begin_anew(self, state: RobotState) -> None:
        self._restart = False
        self.controller.reset(state)
        self.safety.reset(state)
        self._fault = self._reference = self._mailbox = None

    def _take_reference(self) -> None:
        """Hand the newest reference to the controller."""
        reference, self._mailbox = self._mailbox, None
        if isinstance(reference, _Hold):
            self._reference = None
            self._follow_executed(self.latest().state)
        elif reference is not None:
            if getattr(reference, "mode", "") == "velocity" and _AHEAD.intersection(self.latest().reasons):
                self._follow_executed(self.latest().state)
            self._reference = reference
            self.controller.set_reference(reference)

    def _follow_executed(self, state: RobotState) -> None:
        """Let the controller come to rest from what is executed, not from what it had planned."""
        self.controller.reset(self.safety.executed(state))

    def _reference_age(self, now: float) -> float:
        """Time since the reference's horizon ended [s]; without a reference the robot rests, and nothing is late."""
        reference = self._reference
        return now - reference.created_s - reference.horizon_s if reference is not None else 0.0

    def _trip(self, why: str) -> None:
        self.robot.stop()
        if self._fault is None:
            self._fault = why

    def _note_round_trip(self) -> None:
        trip: float | None = getattr(self.robot, "last_round_trip_s", None)
        if trip is not None and trip != self._round_trip_seen:
            self._round_trip.add(trip)
            self._round_trip_seen = trip


def _explain(reasons: tuple[SafetyReason, ...], state: RobotState) -> str:
    """Why the filter stopped the robot, in words."""
    text = ", ".join(reason.value for reason in reasons)
    if SafetyReason.DEVICE_FAULT in reasons:
        return f"{text}: {state.detail or state.mode.value}"
    return text
