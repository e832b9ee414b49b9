"""The thread that owns a servo bus: it reads all servos in every cycle, and writes goals as soon as they come."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from hardware.arrays import FloatArray
from hardware.clock import Clock
from hardware.errors import DeviceError, DeviceNotConnectedError
from hardware.servo_bus.bus import ServoBus
from hardware.servo_bus.servo_model import ServoModel, ServoReading

_HOLD_REPEATS = 3
"""Nobody confirms a sync write, so that a stop is written in this many cycles."""
_JOIN_TIMEOUT_S = 1.0
_HOLD_STEP_TICKS = 256
"""A reading farther from the last goal than this (0.39 rad) is not believed: the safety filter keeps goals nearer."""


@dataclass(frozen=True, slots=True)
class BusSnapshot:
    """All servos, read in one exchange. Arrays are in the order of the ids, (n,), in the servos' own directions."""

    capture_time_s: float
    """Monotonic time of the request [s]; each servo measured at most the time of the answers later."""
    tick: FloatArray
    """Positions [1/4096 turn]."""
    velocity: FloatArray
    """Velocities [rad/s]."""
    effort: FloatArray
    """Torques [Nm]."""
    temperature: FloatArray
    """Temperatures [degree Celsius]."""
    faults: tuple[tuple[str, ...], ...]
    """What each servo complains of."""


@dataclass(frozen=True, slots=True)
class _Hold:
    share: float
    why: str


class BusWorker:
    """Reads at a fixed rate in an own thread; goals and stops reach it through a mailbox, where the newest counts.

    A cycle in which one servo's answer is missing or damaged is not published: `newest` grows older instead.

    Args:
        bus: the bus; from `start` on only the worker uses it.
        model: the model of all its servos.
        ids: the servos.
        period_s: time between two readings [s].
        clock: time of capture.
        goal_timeout_s: the arm is held after this time without a goal, once one came [s]; None: never.
        silent_share: share of the power that is left then.
    """

    def __init__(
        self,
        bus: ServoBus,
        model: ServoModel,
        ids: Sequence[int],
        period_s: float,
        clock: Clock,
        goal_timeout_s: float | None = None,
        silent_share: float = 1.0,
    ) -> None:
        self.bus, self.ids, self.period_s = bus, tuple(ids), period_s
        self.newest: BusSnapshot | None = None
        self.failure: DeviceError | None = None
        """Why the thread has ended; None while it runs."""
        self.held = ""
        """Why the arm is held; "" while it follows."""
        self.overruns = 0
        """Readings that began more than a period late."""
        self._model, self._clock = model, clock
        self._goal_timeout_s, self._silent_share = goal_timeout_s, silent_share
        self._mail = threading.Condition()
        self._goal: list[int] | None = None
        self._hold: _Hold | None = None
        self._goal_tick: list[int] = []
        self._hold_writes = 0
        self._goal_s: float | None = None
        self._ending = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Run in an own thread until `end`."""
        self._thread = threading.Thread(target=self._run, name="servo-bus", daemon=True)
        self._thread.start()

    def put(self, ticks: list[int]) -> None:
        """Goals of all servos, for the next free moment on the bus. From any thread; waits for nothing."""
        with self._mail:
            self._goal = ticks
            self._mail.notify()

    def hold(self, share: float, why: str) -> None:
        """Hold the measured position with `share` of the power; goals are ignored from now on. From any thread."""
        with self._mail:
            if self._hold is None:
                self._hold = _Hold(share, why)
                self.held = why
            self._mail.notify()

    def wait_held(self, timeout_s: float) -> bool:
        """Whether the hold is written, at the latest after `timeout_s` [s]."""
        with self._mail:
            return self._mail.wait_for(lambda: self._hold_writes > 0 or self.failure is not None, timeout_s)

    def end(self) -> None:
        """End the thread; the servos keep their last goal. The bus is free then. Idempotent."""
        with self._mail:
            self._ending = True
            self._mail.notify()
        if self._thread is not None:
            self._thread.join(_JOIN_TIMEOUT_S)
            self._thread = None
        with contextlib.suppress(DeviceError):
            while self._hold is not None and self.failure is None and self._hold_writes < _HOLD_REPEATS:
                self._write_hold()

    def cycle(self) -> None:
        """Read all servos once, and hold the arm where its host fell silent.

        Raises:
            DeviceNotConnectedError: the port is gone.
        """
        now_s = self._clock.now()
        feedback = self._model.feedback
        replies = self.bus.sync_read_cyclic(self.ids, feedback.address, feedback.size)
        if len(replies) == len(self.ids):
            self.newest = snapshot(now_s, [self._explain(i, self._model.decode(replies[i])) for i in self.ids])
            self._goal_tick = self._goal_tick or hold_goal(self.newest.tick, [])
        timeout_s, goal_s = self._goal_timeout_s, self._goal_s
        if timeout_s is not None and goal_s is not None and now_s - goal_s > timeout_s and self._hold is None:
            self.hold(self._silent_share, f"no command came for {timeout_s:g} s")
        self._write_hold()

    def serve(self) -> None:
        """Write what is in the mailbox.

        Raises:
            DeviceNotConnectedError: the port is gone.
        """
        with self._mail:
            goal, self._goal = self._goal, None
        if self._hold is not None:
            if self._hold_writes == 0:
                self._write_hold()
        elif goal is not None:
            self._goal_s, self._goal_tick = self._clock.now(), goal
            self._write_goal(goal)

    def _run(self) -> None:
        deadline_s = self._clock.now()
        try:
            while not self._ending:
                self.cycle()
                deadline_s += self.period_s
                if self._clock.now() > deadline_s:
                    self.overruns += 1
                    deadline_s = self._clock.now()
                self._until(deadline_s)
        except DeviceError as error:
            self._fail(error)
        finally:
            if not self._ending and self.failure is None:  # a defect; its traceback goes to threading.excepthook
                self._fail(DeviceNotConnectedError("servo bus", self.bus.port.path, "the program: its thread has died"))

    def _fail(self, error: DeviceError) -> None:
        with self._mail:
            self.failure = error
            self._mail.notify_all()

    def _until(self, deadline_s: float) -> None:
        """Serve the mailbox until `deadline_s`."""
        while not self._ending:
            with self._mail:
                remaining_s = deadline_s - self._clock.now()
                if remaining_s <= 0.0:
                    return
                if not self._pending():
                    self._mail.wait(remaining_s)
                if not self._pending():
                    continue
            self.serve()

    def _pending(self) -> bool:
        return self._goal is not None or (self._hold is not None and self._hold_writes == 0)

    def _write_goal(self, ticks: list[int]) -> None:
        register = self._model.goal_register
        values = {servo: register.bytes_of(tick) for servo, tick in zip(self.ids, ticks, strict=True)}
        self.bus.sync_write(register.address, values)

    def _write_hold(self) -> None:
        """The present position as goal, less power, and no watch over a bus that may fall silent now."""
        hold, newest = self._hold, self.newest
        if hold is None or self._hold_writes >= _HOLD_REPEATS:
            return
        if newest is not None:
            if self._hold_writes == 0:
                self._goal_tick = hold_goal(newest.tick, self._goal_tick)
            self._write_goal(self._goal_tick)
        limit, watchdog = self._model.limit_register, self._model.watchdog_register
        self.bus.sync_write(limit.address, dict.fromkeys(self.ids, limit.bytes_of(self._model.limit(hold.share))))
        if watchdog is not None:
            self.bus.sync_write(watchdog.address, dict.fromkeys(self.ids, watchdog.bytes_of(0)))
        with self._mail:
            self._hold_writes += 1
            self._mail.notify_all()

    def _explain(self, servo_id: int, reading: ServoReading) -> ServoReading:
        """The reading with the words of what the servo is alert about."""
        register = self._model.fault_register
        if not reading.alert or register is None:
            return reading
        status = self.bus.read(servo_id, register.address, register.size)
        words = self._model.fault_words(status.data[0]) if status is not None else ()
        return replace(reading, faults=(*reading.faults, *(words or ("hardware error",))))


def snapshot(time_s: float, readings: Sequence[ServoReading]) -> BusSnapshot:
    """Readings of all servos as arrays."""
    return BusSnapshot(
        time_s,
        np.array([reading.tick for reading in readings], dtype=np.float64),
        np.array([reading.velocity for reading in readings]),
        np.array([reading.effort for reading in readings]),
        np.array([reading.temperature for reading in readings]),
        tuple(reading.faults for reading in readings),
    )


def hold_goal(ticks: FloatArray, goal: list[int]) -> list[int]:
    """Goals that stop the arm where it is: the readings, but the last goal where a reading cannot be true.

    Args:
        ticks: what the servos read, (n,).
        goal: what they were last given; empty before the first.
    """
    present = [max(0, round(tick)) for tick in ticks.tolist()]
    pairs = zip(present, goal or present, strict=True)
    return [tick if abs(tick - last) <= _HOLD_STEP_TICKS else last for tick, last in pairs]
