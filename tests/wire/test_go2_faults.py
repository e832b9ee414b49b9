"""The fault matrix of the Go2, cell by cell."""

from __future__ import annotations

from collections.abc import Callable

import pytest

pytest.importorskip("cyclonedds", reason="the extra go2 is not installed")

from go2_cells import CELLS, fresh_domain

pytestmark = pytest.mark.wire


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.__name__)
def test_fault(cell: Callable[[int], None]) -> None:
    cell(fresh_domain())
