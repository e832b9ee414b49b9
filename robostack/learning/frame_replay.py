"""A replay whose transitions share their images: each moment's are stored once, not again for the next step.

Rows are numbered along time. A transition's images after the step are those of the next row, if that carries the next
number; where time breaks off (an end of an episode, another source) one more row carries only the last images, and the
numbers leave a gap. A row that was damaged on disk leaves a gap as well, so that the one before it is not drawn with
images of another moment.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardware.errors import CheckpointError, ConfigError
from robostack.learning.replay import Field, Replay

FRAMES, NEXT_FRAMES, NUMBER = "frames", "next_frames", "number"
"""Fields: images before and after the step, or what was computed from them; and the place in time."""
GAP = 2
"""Difference of the numbers of rows that do not follow each other."""


class FrameReplay:
    """The newest transitions of one stream of experience; drawn as from `Replay`, with `frames` and `next_frames`.

    The newest transition can be drawn as soon as the next one, or the end of its episode, is added.

    Args:
        fields: name -> layout of each other array of a transition; has `terminated` and `truncated`.
        frames: layout of what is stored once per moment.
        capacity: rows kept: one per transition, and one per episode.
        folder: keeps them on disk; None: memory.

    Raises:
        ConfigError: there is no room for a transition and its end.
        CheckpointError: the folder holds transitions of another layout or capacity, or cannot be written.
    """

    def __init__(self, fields: Mapping[str, Field], frames: Field, capacity: int, folder: Path | None = None) -> None:
        if capacity < 2:
            raise ConfigError(
                f"a replay of {capacity} rows holds no transition with images; give it room for at least 2"
            )
        self._fields, self._frames = dict(fields), frames
        self._replay = Replay({**fields, FRAMES: frames, NUMBER: Field((), "int32")}, capacity, folder)
        self._open: NDArray[Any] | None = None
        self._number = 0
        self._numbers = np.full(capacity, -1, dtype=np.int64)
        self._usable = np.zeros(capacity, dtype=np.bool_)
        self._index()

    @property
    def total(self) -> int:
        """Rows ever added."""
        return self._replay.total

    @property
    def row_bytes(self) -> int:
        """Size of a row [bytes]."""
        return self._replay.row_bytes

    def __len__(self) -> int:
        """Transitions that can be drawn."""
        return self._count

    def layout(self) -> dict[str, Any]:
        """The fields as JSON can hold them."""
        return self._replay.layout()

    def add(self, values: Mapping[str, Any]) -> int:
        """Append transitions that follow each other in time; each array (n, *shape of its field); returns n.

        Raises:
            CheckpointError: the disk is full or broken; nothing of this call counts as stored.
        """
        count = len(values["reward"])
        rows: list[dict[str, Any]] = []
        number, pending = self._number, self._open
        for index in range(count):
            before, after = np.asarray(values[FRAMES][index]), np.asarray(values[NEXT_FRAMES][index])
            if pending is None or not np.array_equal(pending, before):
                number = self._end(rows, number, pending)
            number += 1
            rows.append({**{name: values[name][index] for name in self._fields}, FRAMES: before, NUMBER: number})
            pending = after
            if values["terminated"][index] or values["truncated"][index]:
                number, pending = self._end(rows, number, pending), None
        if rows:
            stored = self._replay.fields
            self._replay.add({name: np.stack([np.asarray(row[name]) for row in rows]) for name in stored})
            self._note([row[NUMBER] for row in rows])
        self._number, self._open = number, None if pending is None else pending.copy()
        return count

    def _end(self, rows: list[dict[str, Any]], number: int, pending: NDArray[Any] | None) -> int:
        """End what goes on in time: a row with the last images; the number after which the next one leaves a gap."""
        if pending is None:
            return number
        blank = {name: np.zeros(field.shape, dtype=field.dtype) for name, field in self._fields.items()}
        rows.append({**blank, FRAMES: pending, NUMBER: number + 1})
        return number + GAP

    def sample(self, rng: np.random.Generator, count: int) -> dict[str, NDArray[Any]]:
        """Draw `count` transitions uniformly with replacement; name -> (count, *shape of the field).

        Raises:
            ConfigError: there is none to draw.
        """
        if self._count == 0:
            raise ConfigError("the replay is empty: observe transitions before drawing from it")
        rows = len(self._replay)
        at = rng.integers(rows, size=count)
        while not (usable := self._usable[at]).all():
            at[~usable] = rng.integers(rows, size=int(np.count_nonzero(~usable)))
        return self._read(at)

    def newest(self, count: int) -> dict[str, NDArray[Any]]:
        """The last `count` transitions (fewer if there are fewer), oldest first."""
        at = np.arange(self.total - len(self._replay), self.total) % self._replay.capacity
        return self._read(at[self._usable[at]][-count:])

    def _read(self, at: NDArray[np.integer[Any]]) -> dict[str, NDArray[Any]]:
        found = self._replay.read(at)
        found[NEXT_FRAMES] = self._replay.column(FRAMES, (at + 1) % self._replay.capacity)
        del found[NUMBER]
        return found

    def _note(self, numbers: list[int]) -> None:
        """Enter the rows that were just added, and which transitions can be drawn now."""
        capacity = self._replay.capacity
        for place, number in enumerate(numbers, start=self.total - len(numbers)):
            at, previous = place % capacity, (place - 1) % capacity
            follows = bool(place > 0 and self._numbers[previous] + 1 == number)
            self._count += int(follows) - int(self._usable[previous]) - int(self._usable[at])
            self._usable[previous], self._usable[at], self._numbers[at] = follows, False, number

    def _index(self) -> None:
        """Find out from the stored rows which transitions can be drawn; what comes next does not follow them."""
        capacity, rows = self._replay.capacity, len(self._replay)
        at = np.arange(self.total - rows, self.total) % capacity
        self._numbers[:], self._usable[:] = -1, False
        self._numbers[at] = self._replay.column(NUMBER, at)
        self._usable[at[:-1]] = np.diff(self._numbers[at]) == 1
        self._count = int(np.count_nonzero(self._usable))
        self._number = int(self._numbers.max(initial=0)) + GAP
        self._open = None

    def flush(self) -> None:
        """Wait until all rows are on the disk. In memory there is nothing to wait for."""
        self._replay.flush()

    def close(self) -> None:
        """Flush, and let go of the file."""
        self._replay.close()

    def state(self) -> dict[str, NDArray[Any]]:
        """What a checkpoint keeps: as `Replay.state`, and the images that the next transition goes on from."""
        pending = np.zeros((0, *self._frames.shape), self._frames.dtype) if self._open is None else self._open[None]
        return {**self._replay.state(), "open": pending, "number": np.array([self._number], dtype=np.int64)}

    def restore(self, state: Mapping[str, NDArray[Any]], folder: Path, keep_later: bool = False) -> None:
        """Be as when `state` was taken; arguments and errors as `Replay.restore`."""
        if not {"open", "number"} <= set(state):
            raise CheckpointError(f"{folder}: its replay has no images. Resume with the run's settings.")
        self._replay.restore(state, folder, keep_later)
        self._index()
        known = int(self._numbers.max(initial=0))
        pending, number = state["open"], int(state["number"][0])
        if self.total == int(state["total"][0]) and known <= number:
            self._number = number
            self._open = pending[0].copy() if len(pending) and known == number else None
