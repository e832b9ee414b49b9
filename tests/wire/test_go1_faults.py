"""The fault matrix of the Go1, cell by cell."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from go1_cells import CELLS, run_cell

pytestmark = pytest.mark.wire


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.__name__)
def test_fault(cell: Callable[[str], None], loopback_host: str) -> None:
    run_cell(cell, loopback_host)
