"""Replay: a ring of transitions of fixed layout, in memory or in a folder on disk, drawn from uniformly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardware.errors import CheckpointError, ConfigError
from robostack.learning.replay_file import ReplayFile

Rows = NDArray[np.uint8]
SOURCES = ("sim", "real", "demo", "intervention")
"""Codes of `Transition.source` in the field `source`."""


@dataclass(frozen=True)
class Field:
    """One array of a transition."""

    shape: tuple[int, ...]
    """Its shape."""
    dtype: str
    """Its numpy type ("float32", "uint8")."""

    @property
    def size(self) -> int:
        """Bytes, filled up to a multiple of 4, so that every field begins where its type may begin."""
        return -(-int(np.prod(self.shape)) * np.dtype(self.dtype).itemsize // 4) * 4


def transition_fields(observations: int, actions: int, privileged: int = 0) -> dict[str, Field]:
    """Layout of a transition of state observations."""
    fields = {
        "observation": Field((observations,), "float32"),
        "next_observation": Field((observations,), "float32"),
        "action": Field((actions,), "float32"),
        "privileged": Field((privileged,), "float32"),
        "reward": Field((), "float32"),
        "weight": Field((), "float32"),
        "terminated": Field((), "uint8"),
        "truncated": Field((), "uint8"),
        "source": Field((), "uint8"),
    }
    return fields if privileged else {name: field for name, field in fields.items() if name != "privileged"}


class Replay:
    """The newest `capacity` transitions.

    Args:
        fields: name -> layout of each array of a transition.
        capacity: transitions kept; the oldest gives way.
        folder: keeps them on disk, where they survive the process; what is there already is taken over. None: memory.

    Raises:
        ConfigError: there is room for none.
        CheckpointError: the folder holds transitions of another layout or capacity, or cannot be written.
    """

    def __init__(self, fields: Mapping[str, Field], capacity: int, folder: Path | None = None) -> None:
        if capacity < 1:
            raise ConfigError(f"a replay of {capacity} transitions cannot be drawn from; give it room for at least 1")
        self.fields, self.capacity = dict(fields), capacity
        ends = np.cumsum([field.size for field in fields.values()])
        self._columns = {
            name: slice(int(end) - field.size, int(end))
            for (name, field), end in zip(fields.items(), ends, strict=True)
        }
        self.row_bytes = int(ends[-1])
        self.total = 0
        """Transitions ever added; the next goes to row `total % capacity`."""
        self._file: ReplayFile | None = None
        if folder is None:
            self._rows: Rows = np.zeros((capacity, self.row_bytes), dtype=np.uint8)  # takes memory as it is filled
        else:
            self._file = ReplayFile(folder, self.layout(), capacity, self.row_bytes)
            self._rows, self.total = self._file.rows, self._file.total

    def layout(self) -> dict[str, Any]:
        """The fields as JSON can hold them."""
        return {name: [list(field.shape), field.dtype] for name, field in self.fields.items()}

    def __len__(self) -> int:
        return min(self.total, self.capacity)

    def add(self, values: Mapping[str, Any]) -> int:
        """Append transitions, each array (n, *shape of its field); returns n.

        Raises:
            CheckpointError: the disk is full or broken; nothing of this call counts as stored.
        """
        arrays = {name: np.asarray(values[name], dtype=field.dtype) for name, field in self.fields.items()}
        count = len(next(iter(arrays.values())))
        rows = np.zeros((count, self.row_bytes), dtype=np.uint8)
        for name, array in arrays.items():
            flat = np.ascontiguousarray(array).reshape(count, -1).view(np.uint8)
            start = self._columns[name].start
            rows[:, start : start + flat.shape[1]] = flat
        if self._file is not None:
            self._file.append(rows)
            self.total = self._file.total
        else:
            at = (self.total + np.arange(count)) % self.capacity
            self._rows[at[-self.capacity :]] = rows[-self.capacity :]
            self.total += count
        return count

    def sample(self, rng: np.random.Generator, count: int) -> dict[str, NDArray[Any]]:
        """Draw `count` transitions uniformly with replacement; name -> (count, *shape of the field).

        Raises:
            ConfigError: there is none to draw.
        """
        if len(self) == 0:
            raise ConfigError("the replay is empty: observe transitions before drawing from it")
        return self.read(rng.integers(len(self), size=count))

    def newest(self, count: int) -> dict[str, NDArray[Any]]:
        """The last `count` transitions (fewer if there are fewer), oldest first."""
        count = min(count, len(self))
        return self.read(np.arange(self.total - count, self.total) % self.capacity)

    def read(self, at: NDArray[np.integer[Any]]) -> dict[str, NDArray[Any]]:
        """The transitions in the rows `at`; name -> (len(at), *shape of the field)."""
        rows = np.take(self._rows, at, axis=0)
        return {name: self._field(rows, name) for name in self.fields}

    def column(self, name: str, at: NDArray[np.integer[Any]]) -> NDArray[Any]:
        """One field of the rows `at`, (len(at), *shape)."""
        start = self._columns[name].start
        return self._field(self._rows[at, start : self._columns[name].stop], name, start)

    def _field(self, rows: Rows, name: str, first: int = 0) -> NDArray[Any]:
        """A field of rows whose bytes begin at `first` of the whole row."""
        field, start = self.fields[name], self._columns[name].start - first
        used = int(np.prod(field.shape)) * np.dtype(field.dtype).itemsize
        return rows[:, start : start + used].view(field.dtype).reshape(len(rows), *field.shape)

    def flush(self) -> None:
        """Wait until all transitions are on the disk. In memory there is nothing to wait for."""
        if self._file is not None:
            self._file.flush()

    def rewind(self, total: int) -> None:
        """Forget what was added after number `total`, which must not have been overwritten."""
        self.total = total if self._file is None else self._file.rewind(total)

    def close(self) -> None:
        """Flush, and let go of the file."""
        if self._file is not None:
            self._file.close()

    def state(self) -> dict[str, NDArray[Any]]:
        """What a checkpoint keeps: the count, and in memory the transitions themselves."""
        self.flush()
        state: dict[str, NDArray[Any]] = {"total": np.array([self.total], dtype=np.int64)}
        return state if self._file is not None else {**state, "rows": self._rows[: len(self)].copy()}

    def restore(self, state: Mapping[str, NDArray[Any]], folder: Path, keep_later: bool = False) -> None:
        """Be as when `state` was taken.

        Args:
            state: of `state()`.
            folder: the checkpoint, for the message.
            keep_later: take the folder as it is: with what was added since, or without what was damaged.

        Raises:
            CheckpointError: it is of another layout, or the transitions are not where they were.
        """
        total = int(state["total"][0])
        if self._file is not None:
            if self.total < total and "rows" not in state and not keep_later:
                raise CheckpointError(
                    f"{folder} needs {total} transitions, {self._file.path} holds {self.total}. "
                    "Point replay_dir at the folder of the run, or load the policy into a new run."
                )
            if "rows" not in state:
                self.total = self.total if keep_later else self._file.rewind(total)
                return
        if "rows" not in state:
            raise CheckpointError(f"{folder}: its replay is on disk. Set replay_dir to the folder of the run's replay.")
        rows = state["rows"]
        if rows.shape != (min(total, self.capacity), self.row_bytes):
            raise CheckpointError(
                f"{folder}: its replay has another layout or capacity. Resume with the run's settings."
            )
        if self._file is not None and self.total == 0:
            self._file.append(np.roll(rows, -(total % self.capacity) if total > self.capacity else 0, axis=0))
            self.total = self._file.total
        elif self._file is None:
            self._rows[: len(rows)] = rows
            self.total = total
