"""The fault matrix of the SO-101, cell by cell, for both families of servos."""

from __future__ import annotations

from pathlib import Path

import pytest

from robostack.bench.fault_cells.cell import CELL_SETS, Cell

pytestmark = pytest.mark.wire


@pytest.mark.parametrize("cell", CELL_SETS.load("so101").cells, ids=lambda cell: cell.fault)
def test_fault(cell: Cell, tmp_path: Path) -> None:
    cell.run(str(tmp_path / "bus"))
