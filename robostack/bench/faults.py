"""The fault matrix: every cell of every robot, once."""

from __future__ import annotations

import itertools
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from hardware.errors import MissingExtraError, RobostackError
from robostack.bench.bench import BenchEntry, Measured
from robostack.bench.fault_cells.cell import CELL_SETS, Cell

QUICK_ROBOTS = ("ur5e",)
"""What the reduced form runs."""

_serials = itertools.count()


@contextmanager
def fresh_place(kind: Literal["host", "path"]) -> Iterator[str]:
    """A place for one virtual device: an address of 127/8, or a path in a folder that is removed afterwards."""
    if kind == "host":
        serial, process = next(_serials), os.getpid()
        yield f"127.{100 + process % 100}.{process // 100 % 250}.{1 + serial % 250}"
        return
    with tempfile.TemporaryDirectory(prefix="robostack-faults-") as folder:
        yield str(Path(folder) / "port")


def failure_of(cell: Cell, kind: Literal["host", "path"]) -> str:
    """Run one cell; "" where it passes, else what went wrong.

    Raises:
        MissingExtraError: an optional package of the robot is not installed.
    """
    try:
        with fresh_place(kind) as place:
            cell.run(place)
    except MissingExtraError:
        raise
    except RobostackError as error:
        return f"{type(error).__name__}: {error}"
    return ""


def run(quick: bool) -> Measured:
    """Run the benchmark; `cells` counts all that were run."""
    figures: dict[str, float] = {"cells": 0.0, "passed": 0.0}
    notes: list[str] = []
    robots = [name for name in CELL_SETS.names() if not quick or name in QUICK_ROBOTS]
    for robot in robots:
        try:
            cells = CELL_SETS.load(robot)
            for cell in cells.cells:
                failure = failure_of(cell, cells.place)
                key = f"{robot}/{cell.fault}"
                sys.stderr.write(f"{key}: {failure or 'passed'}\n")
                figures[key] = 0.0 if failure else 1.0
                figures["cells"] += 1.0
                figures["passed"] += figures[key]
                if failure:
                    notes.append(f"{key} failed: {failure}")
        except MissingExtraError as error:
            notes.append(f"{robot} is left out: {error}")
    return Measured(figures, 0.0 < figures["cells"] == figures["passed"], notes=tuple(notes))


BENCH = BenchEntry(
    summary="the fault matrix: what every driver and every device do when something breaks",
    run=run,
    aims={"passed": "= cells"},
)
