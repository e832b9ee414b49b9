"""What the learner has not acknowledged yet, in a file on the robot: nothing that was written here is lost.

A file begins with one line of JSON (which actor, run, contract and layout), then come records of fixed size: sequence
number, check sum, row. Rows that are acknowledged are forgotten by shortening or rewriting the file. Each start of an
actor has a file of its own, locked while the actor lives; what an earlier start left behind is sent first.
"""

from __future__ import annotations

import fcntl
import json
import os
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardware.errors import DatasetError
from robostack.checkpoint import sync_folder
from robostack.files import temporary_sibling
from robostack.remote.rows import Layout, row_type

SUFFIX = ".spool"
FORGET_ROWS = 10_000
"""Acknowledged rows at the front of a file that make it worth rewriting."""


@dataclass(frozen=True)
class SpoolHead:
    """What the rows of a file are."""

    actor: str
    """Which start of which actor: their sequence numbers are unique with it."""
    run: str
    """The learner's run that they are for."""
    contract: str
    """SHA-256 of the contract."""
    layout: Layout
    """Of a row."""


class Spool:
    """A queue of rows in a file; sequence numbers count from 1.

    Args:
        path: the file; taken over if it exists, else made.
        head: of a new file; None: the file must exist.

    Raises:
        DatasetError: the file cannot be read or written, or belongs to a living actor.
    """

    def __init__(self, path: Path, head: SpoolHead | None = None) -> None:
        self.path = path
        self.damaged = 0
        """Records that were torn or damaged, and left out."""
        try:
            if head is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(path, os.O_RDWR | (os.O_CREAT | os.O_EXCL if head is not None else 0), 0o600)
            try:
                self._lock()
                self.head = head if head is not None else self._read_head()
                self._describe()
                if head is not None:
                    self._write_head()
            except BaseException:
                os.close(self._descriptor)
                raise
        except OSError as error:
            raise self._cannot("be opened", error) from error
        self.acknowledged = 0
        """Sequence number up to which the learner has everything."""
        self.last = 0
        """Newest sequence number in the file."""
        self._numbers: NDArray[np.uint64] = np.zeros(0, dtype=np.uint64)
        if head is None:
            self._recover()

    def __len__(self) -> int:
        """Rows that are not acknowledged."""
        return int(np.count_nonzero(self._numbers > np.uint64(self.acknowledged)))

    def append(self, rows: NDArray[Any]) -> None:
        """Write rows (n,) after the newest, durably.

        Raises:
            DatasetError: they cannot be written; then none of them counts.
        """
        numbers = np.arange(self.last + 1, self.last + len(rows) + 1, dtype=np.uint64)
        records = np.zeros(len(rows), dtype=self._record)
        records["row"], records["number"] = rows, numbers
        records["sum"] = [_sum(record) for record in records]
        data, at = records.tobytes(), self._begin + len(self._numbers) * self._record.itemsize
        try:
            if os.pwrite(self._descriptor, data, at) != len(data):
                raise OSError("the disk took only a part")
            os.fdatasync(self._descriptor)
        except OSError as error:
            raise self._cannot("be written", error) from error
        self._numbers = np.concatenate([self._numbers, numbers])
        self.last += len(rows)

    def read(self, after: int, count: int) -> tuple[int, NDArray[Any]]:
        """Up to `count` rows with consecutive numbers, the first above `after`: that number and the rows.

        Raises:
            DatasetError: the file cannot be read.
        """
        at = int(np.searchsorted(self._numbers, after, side="right"))
        numbers = self._numbers[at : at + count]
        if len(numbers) == 0:
            return 0, np.zeros(0, dtype=self._kind)
        steps = np.flatnonzero(np.diff(numbers) != 1)
        length = int(steps[0]) + 1 if len(steps) else len(numbers)
        size = self._record.itemsize
        try:
            data = os.pread(self._descriptor, length * size, self._begin + at * size)
        except OSError as error:
            raise self._cannot("be read", error) from error
        return int(numbers[0]), np.frombuffer(data, dtype=self._record)["row"].astype(self._kind)

    def acknowledge(self, number: int) -> None:
        """The learner has everything up to `number`."""
        self.acknowledged = max(self.acknowledged, min(number, self.last))
        done = int(np.searchsorted(self._numbers, self.acknowledged, side="right"))
        try:
            if done == len(self._numbers) and done:
                os.ftruncate(self._descriptor, self._begin)
                self._numbers = self._numbers[:0]
            elif done > FORGET_ROWS and 2 * done > len(self._numbers):
                self._forget(done)
        except OSError as error:
            raise self._cannot("be shortened", error) from error

    def close(self) -> None:
        """Let go of the file; an empty one is removed."""
        if len(self) == 0:
            self.path.unlink(missing_ok=True)
        os.close(self._descriptor)

    def _forget(self, done: int) -> None:
        """Rewrite the file without its first rows."""
        kept = os.pread(self._descriptor, (len(self._numbers) - done) * self._record.itemsize, self._at(done))
        fresh = temporary_sibling(self.path)
        fresh.unlink(missing_ok=True)
        descriptor = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        os.close(self._descriptor)
        self._descriptor = descriptor
        self._lock()
        os.pwrite(descriptor, self._text + kept, 0)
        os.fdatasync(descriptor)
        fresh.replace(self.path)
        self._numbers = self._numbers[done:]

    def _at(self, index: int) -> int:
        return self._begin + index * self._record.itemsize

    def _lock(self) -> None:
        fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _describe(self) -> None:
        self._text = json.dumps(asdict(self.head)).encode() + b"\n"
        self._begin = len(self._text)
        self._kind = row_type(self.head.layout)
        self._record = np.dtype([("number", "<u8"), ("sum", "<u4"), ("row", self._kind)])

    def _write_head(self) -> None:
        os.pwrite(self._descriptor, self._text, 0)
        os.fdatasync(self._descriptor)
        sync_folder(self.path.parent)

    def _read_head(self) -> SpoolHead:
        line, ended, _ = os.pread(self._descriptor, 2**20, 0).partition(b"\n")
        try:
            return SpoolHead(**json.loads(line if ended else b""))
        except (ValueError, TypeError) as error:
            raise DatasetError(f"{self.path} is no readable spool ({error}). Move it away.") from error

    def _recover(self) -> None:
        """Take over the records that are whole, without gaps in the file."""
        data = os.pread(self._descriptor, os.fstat(self._descriptor).st_size, self._begin)
        count = len(data) // self._record.itemsize
        records = np.frombuffer(data[: count * self._record.itemsize], dtype=self._record)
        whole = np.array([_sum(record) == record["sum"] for record in records], dtype=bool)
        kept = records[whole]
        self.damaged = count - len(kept) + int(len(data) % self._record.itemsize != 0)
        if self.damaged:
            os.pwrite(self._descriptor, kept.tobytes(), self._begin)
            os.ftruncate(self._descriptor, self._at(len(kept)))
        self._numbers = kept["number"].astype(np.uint64)
        self.last = int(self._numbers[-1]) if len(kept) else 0

    def _cannot(self, what: str, error: OSError) -> DatasetError:
        return DatasetError(f"the spool {self.path} cannot {what}: {error.strerror or error}. Free some room there.")


def _sum(record: Any) -> int:
    """Check sum of a record's number and row."""
    return zlib.crc32(record["number"].tobytes() + record["row"].tobytes())


def left_behind(folder: Path) -> list[Path]:
    """Files of earlier starts, oldest first."""
    found = [path for path in folder.glob(f"*{SUFFIX}") if not path.name.startswith(".")]
    return sorted(found, key=lambda path: (path.stat().st_mtime, path.name))
