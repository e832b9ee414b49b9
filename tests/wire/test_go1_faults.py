"""The fault matrix of the Go1, cell by cell."""

from __future__ import annotations

import pytest

from robostack.bench.fault_cells.cell import CELL_SETS, Cell

pytestmark = pytest.mark.wire


@pytest.mark.parametrize("cell", CELL_SETS.load("go1").cells, ids=lambda cell: cell.fault)
def test_fault(cell: Cell, loopback_host: str) -> None:
    cell.run(loopback_host)
