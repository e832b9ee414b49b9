"""What a benchmark is, and how one is registered."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from hardware.registry import Registry


@dataclass(frozen=True)
class Measured:
    """What a benchmark found."""

    figures: Mapping[str, float]
    """Flat, unit in the key."""
    met: bool
    """Whether every aim holds."""
    seeds: tuple[int, ...] = ()
    """Seeds used."""
    notes: tuple[str, ...] = ()
    """What a reader must know to read the figures."""


@dataclass(frozen=True)
class BenchEntry:
    """How a benchmark registers: `BENCH = BenchEntry(...)` at the top level of its module in `robostack.bench`."""

    summary: str
    """One line for `robostack list benches`."""
    run: Callable[..., Measured]
    """Called with `quick`: True runs a reduced form whose figures are no result; and with the options, if there are."""
    options: type[Any] | None = None
    """Options of its own on the command line: a frozen dataclass with defaults; its field docstrings are the help."""
    aims: Mapping[str, str] = field(default_factory=dict)
    """Figure -> the aim in words ("<= 1.5 x bare_lateness_p99_ms")."""


BENCHES: Registry[BenchEntry] = Registry("bench", "robostack.bench", "BENCH", plural="benches")
"""Every benchmark: modules of this package, and entry points of the group `robostack.benches`."""
