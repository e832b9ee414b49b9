"""Tells a failure of the code from a failure of the machine: was the machine itself too late while a test ran?

Tests marked `wire` or `graph` run drivers, virtual devices and nodes in real time, whose watchdogs stop a robot when it
is silent for some tens of milliseconds: on purpose. A shared machine that stands still that long makes them act, and
the test that meets it says nothing about the code. So a small process wakes up every few milliseconds and writes down
each time that it was late; a test that failed while it was late is run again. A test that fails on a machine that was
in time fails at once. Two more witnesses are heard, because a single process can be held up where another is not: this
process itself, and a driver whose own report, in the message of the failure, says how late its loop was.
The summary names every test that needed more than one attempt.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from _pytest.runner import runtestprotocol

from robostack.bench.fault_cells.stalls import ATTEMPTS, STALL_S, StallMeter

PERIOD_S = 0.005
REPORTED = re.compile(r"'lateness_max_ms': '([0-9.]+)'")
"""How the diagnostics of a driver say how late its loop was at most."""


class StallWatch:
    """The watching process, and what it wrote down."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="robostack-stalls-")
        self._log = Path(self._folder.name) / "stalls"
        self._process = subprocess.Popen([sys.executable, __file__, str(self._log)])

    def worst_since(self, begun_s: float) -> float:
        """Longest stall that ended after `begun_s` (monotonic) [s]; 0 if there was none."""
        time.sleep(4 * PERIOD_S)  # what just ended is written when the process wakes up
        lines = self._log.read_text().splitlines() if self._log.is_file() else []
        stalls = [tuple(map(float, line.split())) for line in lines]
        return max((stall for ended, stall in stalls if ended >= begun_s), default=0.0)

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        self._folder.cleanup()


class RunAgain:
    """The pytest plugin; the watch is made with the first test that needs it."""

    def __init__(self, make_watch: Callable[[], StallWatch] = StallWatch) -> None:
        self._make_watch = make_watch
        self.watch: StallWatch | None = None
        self.notes: list[str] = []

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
        if item.get_closest_marker("wire") is None and item.get_closest_marker("graph") is None:
            return None
        if self.watch is None:
            self.watch = self._make_watch()
        item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        for attempt in range(1, ATTEMPTS + 1):
            begun_s = time.monotonic()
            with StallMeter() as meter:
                reports = runtestprotocol(item, nextitem=nextitem, log=False)
            failures = [str(report.longrepr) for report in reports if report.failed]
            if not failures or attempt == ATTEMPTS:
                break
            told_s = [1e-3 * float(value) for text in failures for value in REPORTED.findall(text)]
            stall_s = max([self.watch.worst_since(begun_s), meter.longest_s, *told_s])
            if stall_s < STALL_S:
                break
            self.notes.append(f"{item.nodeid}: failed while something was held up for {1e3 * stall_s:.0f} ms")
            item.session._setupstate.teardown_exact(None)  # fixtures of the module may have met the stall as well
        for report in reports:
            item.ihook.pytest_runtest_logreport(report=report)
        item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
        return True

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self.notes:
            terminalreporter.section("run again because of stalls")
            for note in self.notes:
                terminalreporter.line(note)

    def pytest_unconfigure(self) -> None:
        if self.watch is not None:
            self.watch.close()


def watch(log: Path) -> None:
    """Write a line "time stall" for every wake-up that was late, until the parent is gone."""
    os.nice(5)  # feels a crowded machine before the tests do
    parent = os.getppid()
    due_s = time.monotonic() + PERIOD_S
    with log.open("a", buffering=1) as file:
        while os.getppid() == parent:
            time.sleep(max(0.0, due_s - time.monotonic()))
            now_s = time.monotonic()
            if now_s - due_s > STALL_S:
                file.write(f"{now_s} {now_s - due_s}\n")
            due_s = now_s + PERIOD_S


if __name__ == "__main__":
    watch(Path(sys.argv[1]))
