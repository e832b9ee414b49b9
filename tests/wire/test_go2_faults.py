"""The fault matrix of the Go2, cell by cell."""

from __future__ import annotations

import pytest

from robostack.bench.fault_cells.cell import CELL_SETS, Cell
from robostack.bench.faults import fresh_place

pytest.importorskip("cyclonedds", reason="the extra go2 is not installed")

pytestmark = pytest.mark.wire


@pytest.mark.parametrize("cell", CELL_SETS.load("go2").cells, ids=lambda cell: cell.fault)
def test_fault(cell: Cell) -> None:
    with fresh_place("domain") as domain:
        cell.run(domain)
