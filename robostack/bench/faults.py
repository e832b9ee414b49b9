"""The fault matrix: every cell of every robot, once; again only where the machine stood still meanwhile."""

from __future__ import annotations

import itertools
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from hardware.errors import MissingExtraError, RobostackError
from robostack.bench.bench import BenchEntry, Measured
from robostack.bench.fault_cells.cell import CELL_SETS, Cell, Place
from robostack.bench.fault_cells.stalls import run_cell

QUICK_ROBOTS = ("ur5e",)
"""What the reduced form runs."""

_DOMAIN_MIN, _DOMAIN_MAX = 2, 230
"""DDS domains; 0 and 1 are left to physical robots and to virtual ones that a person starts."""
_serials = itertools.count()


@contextmanager
def fresh_place(kind: Place) -> Iterator[str]:
    """A place for one virtual device that no other of this process has; a path lies in a folder that is removed."""
    serial, process = next(_serials), os.getpid()
    if kind == "host":
        yield f"127.{100 + process % 100}.{process // 100 % 250}.{1 + serial % 250}"
    elif kind == "domain":
        yield str(_DOMAIN_MIN + (31 * process + serial) % (_DOMAIN_MAX - _DOMAIN_MIN + 1))
    else:
        with tempfile.TemporaryDirectory(prefix="robostack-faults-") as folder:
            yield str(Path(folder) / "port")


@dataclass
class Findings:
    """Figures and notes of all cells."""

    figures: dict[str, float] = field(default_factory=lambda: {"cells": 0.0, "passed": 0.0})
    notes: list[str] = field(default_factory=list)

    def add(self, key: str, failure: str, repeats: int) -> None:
        """Note how one cell ended: `failure` is "" where it passed, after `repeats` attempts that a stall spoiled."""
        self.figures[key] = 0.0 if failure else 1.0
        self.figures["cells"] += 1.0
        self.figures["passed"] += self.figures[key]
        if failure:
            self.notes.append(f"{key} failed: {failure}")
        elif repeats:
            self.notes.append(f"{key} passed at attempt {repeats + 1}: the machine stood still in those before")
        sys.stderr.write(f"{key}: {failure or 'passed'}\n")


def run(quick: bool) -> Measured:
    """Run the benchmark; `cells` counts all that were run."""
    findings = Findings()
    for robot in [name for name in CELL_SETS.names() if not quick or name in QUICK_ROBOTS]:
        try:
            cells = CELL_SETS.load(robot)
            for cell in cells.cells:
                _run_one(f"{robot}/{cell.fault}", cell, cells.place, findings)
        except MissingExtraError as error:
            findings.notes.append(f"{robot} is left out from here on: {error}")
    figures = findings.figures
    return Measured(figures, 0.0 < figures["cells"] == figures["passed"], notes=tuple(findings.notes))


def _run_one(key: str, cell: Cell, kind: Place, findings: Findings) -> None:
    """Run one cell.

    Raises:
        MissingExtraError: an optional package of the robot is not installed.
    """
    try:
        with fresh_place(kind) as place:
            findings.add(key, "", run_cell(cell.run, place))
    except MissingExtraError:
        raise
    except RobostackError as error:
        findings.add(key, f"{type(error).__name__}: {error}", 0)


BENCH = BenchEntry(
    summary="the fault matrix: what every driver and every device do when something breaks",
    run=run,
    aims={"passed": "= cells"},
)
