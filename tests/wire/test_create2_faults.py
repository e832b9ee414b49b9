"""The fault matrix of the Create 2."""

from __future__ import annotations

import pytest
from base_bench import run_cell
from create2_cells import CELLS

pytestmark = [pytest.mark.wire, pytest.mark.slow]


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.__name__)
def test_fault(cell, tmp_path):
    run_cell(cell, str(tmp_path / "port"))
