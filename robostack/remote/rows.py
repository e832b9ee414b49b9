"""Transitions as rows of fixed size: the same bytes in the actor's queue, in its spool, and on the wire."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardware.errors import NonFiniteError, ProtocolError
from robostack.learning.learner import Transition
from robostack.learning.replay import SOURCES

Layout = Mapping[str, Sequence[Any]]
"""Name -> [shape, numpy type] of each array of a transition, as `robostack.learning.replay.Replay.layout` says it."""
ROW_BYTES_MAX = 4 * 2**20
"""Largest transition [byte]."""
FLAGS = ("terminated", "truncated")
REQUIRED = {"observation", "next_observation", "action", "reward", "weight", "source", *FLAGS}


def row_type(layout: Layout) -> np.dtype[Any]:
    """The structured type of a row, packed and little-endian.

    Raises:
        ProtocolError: the layout is not one of transitions.
    """
    if set(layout) != REQUIRED:
        raise ProtocolError(f"transitions of {sorted(map(str, layout))}, wanted {sorted(REQUIRED)}")
    try:
        fields = [(name, np.dtype(kind).newbyteorder("<"), tuple(shape)) for name, (shape, kind) in layout.items()]
        made = np.dtype([(name, kind, shape) for name, kind, shape in fields if kind in (np.float32, np.uint8)])
    except (TypeError, ValueError) as error:
        raise ProtocolError(f"a layout that cannot be read: {error}") from error
    if set(made.names or ()) != REQUIRED or not 0 < made.itemsize <= ROW_BYTES_MAX:
        raise ProtocolError(f"transitions of {made.itemsize} bytes and {made.names} are not taken")
    return made


def row_of(transition: Transition, kind: np.dtype[Any]) -> NDArray[Any]:
    """One transition as a row, shape ().

    Raises:
        NonFiniteError: a number is not finite.
        ProtocolError: an array has another shape.
    """
    row = np.zeros((), dtype=kind)
    try:
        for name in kind.names or ():
            row[name] = (
                SOURCES.index(transition.source)
                if name == "source"
                else np.asarray(getattr(transition, name)).reshape(kind[name].shape)
            )
    except ValueError as error:
        raise ProtocolError(f"a transition that is not of this task: {error}") from error
    if not finite(row):
        raise NonFiniteError("a transition with a number that is not finite")
    return row


def rows_from(data: bytes, count: int, kind: np.dtype[Any]) -> NDArray[Any]:
    """Rows from the wire, (count,).

    Raises:
        ProtocolError: the size does not fit, a number is not finite, or a flag or source is none.
    """
    if count < 1 or len(data) != count * kind.itemsize:
        raise ProtocolError(f"{len(data)} bytes for {count} transitions of {kind.itemsize} bytes")
    rows = np.frombuffer(data, dtype=kind)
    if not finite(rows):
        raise ProtocolError("a transition has a number that is not finite")
    if rows["source"].max() >= len(SOURCES) or max(int(rows[name].max()) for name in FLAGS) > 1:
        raise ProtocolError("a transition has an unknown source or flag")
    return rows


def finite(rows: NDArray[Any]) -> bool:
    """Whether every number is."""
    names = rows.dtype.names or ()
    return all(bool(np.all(np.isfinite(rows[name]))) for name in names if rows.dtype[name].base == np.float32)


def batches(rows: NDArray[Any]) -> Iterator[Transition]:
    """Rows as batches of one source and weight each, in order."""
    changes = (rows["source"][1:] != rows["source"][:-1]) | (rows["weight"][1:] != rows["weight"][:-1])
    for part in np.split(rows, np.flatnonzero(changes) + 1):
        yield Transition(
            observation=part["observation"],
            action=part["action"],
            reward=part["reward"],
            next_observation=part["next_observation"],
            terminated=part["terminated"].astype(bool),
            truncated=part["truncated"].astype(bool),
            source=SOURCES[int(part["source"][0])],  # type: ignore[arg-type]
            weight=float(part["weight"][0]),
        )
