"""The fault matrix of the Create 2, cell by cell."""

from __future__ import annotations

from pathlib import Path

import pytest

from robostack.bench.fault_cells.cell import CELL_SETS, Cell

pytestmark = [pytest.mark.wire, pytest.mark.slow]


@pytest.mark.parametrize("cell", CELL_SETS.load("create2").cells, ids=lambda cell: cell.fault)
def test_fault(cell: Cell, tmp_path: Path) -> None:
    cell.run(str(tmp_path / "port"))
