"""Every driver against its virtual device in another process: rate, round trip, losses, processor time per cycle."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from controllers.pacing import Pacer
from hardware.clock import Clock, SystemClock
from hardware.config import load_config
from hardware.errors import DeviceError, MissingExtraError, RobostackError, StaleDataError
from hardware.records import BaseCommand, JointCommand, RobotState
from hardware.robot import ROBOTS, Robot
from robostack.bench.bench import BenchEntry, Measured
from robostack.bench.codecs.codec import CODECS, cycle_us
from robostack.bench.device_process import device_somewhere
from sim.devices.device import DEVICES

HOST = "127.0.0.232"
"""Where virtual devices on a network listen, one after the other."""
DOMAIN = 101
"""DDS domain of virtual devices that speak DDS."""
DURATION_S = 30.0
QUICK_S = 3.0
WARM_UP_S = 1.0
ATTEMPTS = 3
"""How often a robot is tried; a machine that stands still for longer than a robot's watchdog ends an attempt."""
COUNTERS = ("lost_packets", "bad_packets", "bad_frames")
"""Names under which drivers count what was lost or damaged on the way."""
AIMS: dict[str, float] = {"go1_round_trip_p50_ms": 0.3, "go2_codec_us": 50.0}
"""Figure -> the largest value that meets the aim."""
_FIRST_STATE_S = 2.0
_NOT_INSTALLED = "which is not installed"


@dataclass
class Turn:
    """What a loop on one driver found."""

    cycles: int = 0
    """Cycles run."""
    elapsed_s: float = 0.0
    """Their duration [s]."""
    cpu_s: float = 0.0
    """Processor time of the driver in all of them [s]: in `read` and `send`, and in threads of its own."""
    trips_s: list[float] = field(default_factory=list)
    """Round trips [s], as far as the driver measures them."""
    stale: int = 0
    """Cycles in which the newest state was too old."""
    lost: int | None = None
    """What was lost or damaged on the way; None where the driver does not count it."""


@dataclass
class Findings:
    """Figures and notes of all robots."""

    figures: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)


def pairs() -> list[tuple[str, str]]:
    """Robot and virtual device, by registry name, of every robot that has one."""
    robots = set(ROBOTS.names())
    found = [(DEVICES.load(device).robot, device) for device in DEVICES.names()]
    return sorted(pair for pair in found if pair[0] in robots)


def turn(robot: Robot, duration_s: float, clock: Clock | None = None) -> Turn:
    """Read and send at the robot's rate for `duration_s` [s]; joints hold where they are, a base rests.

    Raises:
        DeviceError: the device cannot be read, or refuses a command.
    """
    clock = clock if clock is not None else SystemClock()
    found, command = Turn(), rest_command(robot, first_state(robot, clock))
    lost_before, seen = lost_of(robot), getattr(robot, "last_round_trip_s", None)
    pacer = Pacer(1.0 / robot.spec.control_rate_hz, clock)
    pacer.restart()
    process_s, thread_s = time.process_time(), time.thread_time()
    begin_s = clock.now()
    while clock.now() < begin_s + duration_s:
        pacer.wait()
        cpu_s = time.thread_time()
        try:
            robot.read()
        except StaleDataError:
            found.stale += 1
        robot.send(command)
        found.cpu_s += time.thread_time() - cpu_s
        trip: float | None = getattr(robot, "last_round_trip_s", None)
        if trip is not None and trip != seen:
            found.trips_s.append(trip)
            seen = trip
        found.cycles += 1
    found.elapsed_s = clock.now() - begin_s
    others_s = (time.process_time() - process_s) - (time.thread_time() - thread_s)
    found.cpu_s += max(others_s, 0.0)
    lost = lost_of(robot)
    found.lost = lost - lost_before if lost is not None and lost_before is not None else None
    return found


def first_state(robot: Robot, clock: Clock) -> RobotState:
    """The first measurement that is fresh.

    Raises:
        DeviceError: none comes.
    """
    deadline_s = clock.now() + _FIRST_STATE_S
    while True:
        try:
            return robot.read()
        except StaleDataError:
            if clock.now() > deadline_s:
                raise
            clock.sleep_until(clock.now() + 1.0 / robot.spec.control_rate_hz)


def rest_command(robot: Robot, state: RobotState) -> JointCommand | BaseCommand:
    """The command that keeps `robot` where `state` says that it is."""
    if robot.spec.base is not None:
        return BaseCommand(np.zeros(2), np.float64(0.0))
    return JointCommand(position=np.array(state.joint_position))


def lost_of(robot: Robot) -> int | None:
    """What the driver has counted as lost or damaged; None where it counts nothing."""
    counts = [int(getattr(robot, name)) for name in COUNTERS if hasattr(robot, name)]
    return sum(counts) if counts else None


def measure(name: str, device: str, duration_s: float, findings: Findings) -> None:
    """One robot, by registry name; what it is missing or fails at is noted."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            found = _connected_turn(name, device, duration_s)
        except RobostackError as error:
            # A device whose package is missing ends its process with the text of the same error.
            if isinstance(error, MissingExtraError) or _NOT_INSTALLED in str(error):
                findings.notes.append(f"{name} is left out: {error}")
                return
            findings.notes.append(f"{name}, attempt {attempt} of {ATTEMPTS}: {error}")
        else:
            _note(name, found, findings)
            return
    findings.failed.append(name)


def _connected_turn(name: str, device: str, duration_s: float) -> Turn:
    entry = ROBOTS.load(name)
    with device_somewhere(device, HOST, DOMAIN) as process:
        config: Any = load_config(entry.config_type(), process.driver_config)
        robot = entry.open(config)
        robot.connect()
        try:
            turn(robot, min(WARM_UP_S, duration_s))
            return turn(robot, duration_s)
        finally:
            robot.disconnect()


def _note(name: str, found: Turn, findings: Findings) -> None:
    """Turn one robot's findings into figures and notes."""
    if found.cycles == 0:
        raise DeviceError(f"{name}: not one cycle was run")
    key, figures = name.replace("-", "_"), findings.figures
    figures[f"{key}_rate_hz"] = found.cycles / found.elapsed_s
    if found.trips_s:
        p50_s, p99_s = np.percentile(found.trips_s, (50, 99))
        figures[f"{key}_round_trip_p50_ms"], figures[f"{key}_round_trip_p99_ms"] = 1e3 * p50_s, 1e3 * p99_s
    else:
        findings.notes.append(f"{name}: its driver does not measure round trips")
    if found.lost is not None:
        figures[f"{key}_lost"] = float(found.lost)
    else:
        findings.notes.append(f"{name}: its driver has no counter of what was lost or damaged on the way")
    if found.stale:
        findings.notes.append(f"{name}: {found.stale} of {found.cycles} cycles had a state that was too old")
    figures[f"{key}_cpu_us"] = 1e6 * found.cpu_s / found.cycles
    if name in CODECS.names():
        figures[f"{key}_codec_us"] = cycle_us(CODECS.load(name))
    else:
        figures[f"{key}_codec_us"] = figures[f"{key}_cpu_us"]
        findings.notes.append(f"{name}: its codec has no entry of its own, so that codec is cpu")


def run(quick: bool) -> Measured:
    """Run the benchmark."""
    duration_s, findings = QUICK_S if quick else DURATION_S, Findings()
    for name, device in pairs():
        sys.stderr.write(f"{name}: {duration_s:g} s against the virtual {device}\n")
        measure(name, device, duration_s, findings)
    figures = findings.figures
    missing = [key for key in AIMS if key not in figures]
    notes = [
        f"each driver read and sent at its robot's nominal rate for {duration_s:g} s; joints hold, a base rests",
        "cpu: processor time of the driver per cycle, all of read and send, system calls included, and of its own "
        "threads; codec: that of serialising one command and parsing one state alone",
        "lost: packets that the driver counts as lost or damaged",
        *findings.notes,
        *(f"no figure for the aim on {key}" for key in missing),
    ]
    held = all(figures[key] <= limit for key, limit in AIMS.items() if key in figures)
    return Measured(figures, held and not missing and not findings.failed, notes=tuple(notes))


BENCH = BenchEntry(
    summary="rate, round trip, losses and processor time of every driver against its virtual device",
    run=run,
    aims={key: f"<= {limit:g}" for key, limit in AIMS.items()},
)
