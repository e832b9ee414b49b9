"""Which dynamics each engine can vary: what `robostack list dynamics` and the page about engines show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sim.dynamics_table import ROWS
from sim.engine import ENGINES


@dataclass(frozen=True)
class Variable:
    """One kind of dynamics parameter and the engines."""

    pattern: str
    """Its name, with NAME for that of an object ("link:NAME/mass")."""
    unit: str
    """SI unit, or "1" for a factor."""
    summary: str
    """What it is."""
    lacks: Mapping[str, str]
    """Engine that cannot vary it -> why."""


def variables() -> list[Variable]:
    """Every kind of dynamics parameter."""
    lacks = {name: ENGINES.load(name).lacks for name in ENGINES.names()}
    found = []
    for row in ROWS:
        key = f"{row.kind}/{row.quantity}"
        pattern = f"{row.kind}:NAME/{row.quantity}" if row.each else key
        without = {name: known[key] for name, known in lacks.items() if key in known}
        found.append(Variable(pattern, row.unit, row.summary, without))
    return found


def markdown() -> str:
    """The table of all of them, as the page about engines has it."""
    names = ENGINES.names()
    lines = ["| Parameter | Unit | What it is | " + " | ".join(names) + " |", "|---" * (3 + len(names)) + "|"]
    for each in variables():
        cells = [f"no: {each.lacks[name]}" if name in each.lacks else "yes" for name in names]
        lines.append(f"| `{each.pattern}` | {each.unit} | {each.summary} | " + " | ".join(cells) + " |")
    return "\n".join(lines)
