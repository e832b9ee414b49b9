"""The control loop of a UR5e against a bare loop: what tracking, safety filter and bookkeeping cost.

Both drive the same virtual arm, which runs in a process of its own, with the same driver at 500 Hz. They take turns in
short blocks, so that whatever else the machine does falls on both.
"""

from __future__ import annotations

import math
import statistics
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from types import TracebackType

import numpy as np

from controllers.histogram import DurationHistogram
from controllers.kinematics import SerialChain
from controllers.loop import ControlLoop
from controllers.pacing import Pacer
from controllers.reference import JointReference
from controllers.safety import SafetyFilter
from controllers.tracking import JointTrackingController
from hardware.clock import SystemClock
from hardware.errors import DeviceError
from hardware.records import JointCommand
from hardware.ur5e import MODEL, UR5E
from hardware.ur5e.config import UR5eConfig
from hardware.ur5e.driver import UR5eRobot
from robostack.bench.bench import BenchEntry, Measured

HOST = "127.0.0.231"
"""Where the virtual arm of this benchmark listens."""
BLOCK_S = 5.0
"""Length of one turn [s]."""
BLOCKS = 12
"""Turns of each kind: a minute in all."""
RATIO = 1.5
"""What the full loop may take of the bare one's lateness and round trip."""


class VirtualArm:
    """The virtual arm as a process; a context manager."""

    def __init__(self, host: str = HOST) -> None:
        self.host = host

    def __enter__(self) -> VirtualArm:
        command = [sys.executable, "-m", "sim.devices.run", "ur5e", "--host", self.host]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        line = self._process.stdout.readline() if self._process.stdout is not None else ""
        if not line.startswith("ready ur5e"):
            self._end()
            raise DeviceError(f"the virtual arm at {self.host} did not start: {line.strip() or 'see its error above'}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def _end(self) -> None:
        self._process.terminate()
        self._process.wait(10.0)


@dataclass
class Blocks:
    """Figures per turn [ms], and the overruns of all."""

    lateness_p50_ms: list[float] = field(default_factory=list)
    lateness_p99_ms: list[float] = field(default_factory=list)
    lateness_max_ms: list[float] = field(default_factory=list)
    round_trip_p50_ms: list[float] = field(default_factory=list)
    round_trip_p99_ms: list[float] = field(default_factory=list)
    overruns: int = 0
    cycles: int = 0

    def add(self, p50_ms: float, p99_ms: float, max_ms: float) -> None:
        """Note one turn."""
        self.lateness_p50_ms.append(p50_ms)
        self.lateness_p99_ms.append(p99_ms)
        self.lateness_max_ms.append(max_ms)

    def figures(self, prefix: str) -> dict[str, float]:
        """Median over the turns of each percentile, and the largest lateness of all."""
        return {
            f"{prefix}lateness_p50_ms": statistics.median(self.lateness_p50_ms),
            f"{prefix}lateness_p99_ms": statistics.median(self.lateness_p99_ms),
            f"{prefix}lateness_max_ms": max(self.lateness_max_ms),
            f"{prefix}round_trip_p50_ms": statistics.median(self.round_trip_p50_ms),
            f"{prefix}round_trip_p99_ms": statistics.median(self.round_trip_p99_ms),
        }


def full_block(robot: UR5eRobot, duration_s: float, blocks: Blocks) -> None:
    """One turn of the full loop, with a policy's worth of references: 25 per second, a slow sway of every joint."""
    chain = SerialChain.from_mjcf(MODEL, UR5E.joint_names, str(UR5E.tool_frame), UR5E.base_frame)
    loop = ControlLoop(robot, JointTrackingController(UR5E), SafetyFilter(UR5E, chain))
    clock = loop.clock
    loop.start()
    try:
        began_s = clock.now()
        while clock.now() < began_s + duration_s:
            now_s = clock.now()
            speed = np.full(len(UR5E.joints), 0.05 * np.cos(2.0 * np.pi * (now_s - began_s)))
            loop.set_reference(JointReference("velocity", speed, 0.04, created_s=now_s))
            loop.run_until(now_s + 0.04)
            if loop.fault is not None:
                raise DeviceError(f"the loop stopped the arm: {loop.fault}")
        found = loop.statistics()
    finally:
        loop.stop()
    blocks.add(found.lateness_p50_ms, found.lateness_p99_ms, found.lateness_max_ms)
    blocks.round_trip_p50_ms.append(found.round_trip_p50_ms or 0.0)
    blocks.round_trip_p99_ms.append(found.round_trip_p99_ms or 0.0)
    blocks.overruns += found.overruns
    blocks.cycles += found.cycles


def bare_block(robot: UR5eRobot, duration_s: float, blocks: Blocks) -> None:
    """One turn of the bare loop, in a thread as well: read and send at the same pace, nothing else."""
    failures: list[Exception] = []

    def run() -> None:
        try:
            _bare_loop(robot, duration_s, blocks)
        except DeviceError as error:
            failures.append(error)

    thread = threading.Thread(target=run, name="bare")
    thread.start()
    thread.join()
    if failures:
        raise failures[0]


def _bare_loop(robot: UR5eRobot, duration_s: float, blocks: Blocks) -> None:
    clock, trips = SystemClock(), DurationHistogram()
    command = JointCommand(position=np.array(robot.read().joint_position))
    seen: float | None = None
    pacer = Pacer(1.0 / UR5E.control_rate_hz, clock)
    pacer.restart()
    end_s = clock.now() + duration_s
    while clock.now() < end_s:
        pacer.wait()
        robot.read()
        robot.send(command)
        trip = robot.last_round_trip_s
        if trip is not None and trip != seen:
            trips.add(trip)
            seen = trip
        blocks.cycles += 1
    late = pacer.lateness
    blocks.add(1e3 * late.percentile(0.5), 1e3 * late.percentile(0.99), 1e3 * late.max_s)
    blocks.round_trip_p50_ms.append(1e3 * trips.percentile(0.5))
    blocks.round_trip_p99_ms.append(1e3 * trips.percentile(0.99))
    blocks.overruns += pacer.overruns


def wait_for_phase(phase: float) -> None:
    """Return when the monotonic clock is at `phase`, 0 to 1, of a period.

    A round trip is a whole number of periods and depends on where in the arm's cycle a command arrives. Going through
    all phases, the same for both loops, takes that luck out of the comparison.
    """
    clock, period_s = SystemClock(), 1.0 / UR5E.control_rate_hz
    now_s = clock.now()
    clock.sleep_until((math.floor(now_s / period_s) + 1.0 + phase) * period_s)


def run(quick: bool) -> Measured:
    """Run the benchmark.

    Raises:
        DeviceError: the virtual arm does not start, or a loop lost it.
    """
    duration_s, turns = (2.5, 2) if quick else (BLOCK_S, BLOCKS)
    full, bare = Blocks(), Blocks()
    with VirtualArm() as arm:
        for turn in range(2 * turns):
            robot = UR5eRobot(UR5eConfig(host=arm.host))
            robot.connect()
            wait_for_phase((turn // 2 + 0.5) / turns)
            try:
                if turn % 2:
                    full_block(robot, duration_s, full)
                else:
                    bare_block(robot, duration_s, bare)
            finally:
                robot.disconnect()
    figures = full.figures("") | bare.figures("bare_") | {"overruns": float(full.overruns)}
    figures |= {"bare_overruns": float(bare.overruns), "cycles": float(full.cycles)}
    met = all(figures[key] <= RATIO * figures[f"bare_{key}"] for key in ("lateness_p99_ms", "round_trip_p50_ms"))
    notes = (
        f"percentiles are the median over {turns} turns of {duration_s:g} s each, which alternate; max is over all",
        "both loops run with normal priority, and begin each turn at the same phase of the arm's own cycle",
    )
    return Measured(figures, met, notes=notes)


BENCH = BenchEntry(
    summary="lateness and round trip of the 500 Hz loop of a UR5e, against a bare loop",
    run=run,
    aims={
        "lateness_p99_ms": f"<= {RATIO} x bare_lateness_p99_ms",
        "round_trip_p50_ms": f"<= {RATIO} x bare_round_trip_p50_ms",
    },
)
