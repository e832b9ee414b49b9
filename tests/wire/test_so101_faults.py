"""The fault matrix of the SO-101, cell by cell, for both families of servos."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from so101_cells import CELLS

pytestmark = pytest.mark.wire


@pytest.mark.parametrize("servos", ["feetech", "dynamixel"])
@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.__name__)
def test_fault(cell: Callable[[str, str], None], servos: str, tmp_path: Path) -> None:
    cell(str(tmp_path / "bus"), servos)
