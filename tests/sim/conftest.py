"""What several tests of engines need."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sim.isaacgym_process import PYTHON_VARIABLE


@pytest.fixture(scope="module")
def isaacgym_stand_in(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A package isaacgym on the path of the process that is to run it: `fake_isaacgym`."""
    folder = tmp_path_factory.mktemp("isaacgym")
    (folder / "isaacgym").mkdir()
    (folder / "isaacgym" / "__init__.py").touch()
    (folder / "isaacgym" / "gymapi.py").write_text("from fake_isaacgym import *\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", f"{folder}:{Path(__file__).parent}")
        patch.setenv(PYTHON_VARIABLE, sys.executable)
        yield
