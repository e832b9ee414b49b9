"""How every verb reads its flags: a frozen dataclass whose field docstrings are the help text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import tyro

T = TypeVar("T")


def parse_options(cls: type[T], verb: str, arguments: Sequence[str]) -> T:
    """Read `arguments`, what follows `robostack <verb>`, as `cls`.

    On wrong usage or `--help` this writes the message and exits (2 and 0). A switch that is off by default has no
    `--no-...` twin. Positional fields are annotated `Annotated[str, tyro.conf.Positional]`.
    """
    return tyro.cli(cls, args=list(arguments), prog=f"robostack {verb}", config=(tyro.conf.FlagCreatePairsOff,))
