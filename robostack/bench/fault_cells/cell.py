"""What a cell of the fault matrix is, and how the cells of one robot are registered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from hardware.errors import RobostackError
from hardware.registry import Registry

MATRIX = (
    "unplugged",
    "frozen",
    "late",
    "corrupted_bytes",
    "wrong_checksum",
    "out_of_range",
    "driver_killed",
    "reference_stops",
    "operator_stop",
)
"""Faults that every robot has a cell for; a robot may have more of its own."""


Place = Literal["host", "path", "domain"]
"""What cells are given: an address of 127/8 that nobody else uses, a path that does not exist yet, or a DDS domain."""


class CellFailedError(RobostackError):
    """A driver or a device did something else than it should under a fault; says what."""


@dataclass(frozen=True)
class Cell:
    """One robot under one fault: what the driver reports, what the device does, and how both go on."""

    fault: str
    """Name of the fault: one of `MATRIX`, or the robot's own."""
    run: Callable[[str], None]
    """Starts a virtual device at the place it is given, and drives it through the fault.

    Raises:
        CellFailedError: something else happens than should.
        RobostackError: an error of the tree that the cell does not expect, which is a failure as well.
    """


@dataclass(frozen=True)
class CellSet:
    """How the cells of a robot register: `CELLS = CellSet(...)`, in a module named as the robot."""

    place: Place
    """What the cells are given."""
    cells: tuple[Cell, ...]
    """The cells."""


def cells_of(*functions: Callable[[str], None]) -> tuple[Cell, ...]:
    """One cell per function, under the function's name."""
    return tuple(Cell(function.__name__, function) for function in functions)


CELL_SETS: Registry[CellSet] = Registry(
    "fault cell set", "robostack.bench.fault_cells", "CELLS", plural="fault_cell_sets"
)
"""Every robot's cells: modules of this package, and entry points of the group `robostack.fault_cell_sets`."""
