"""Transitions in a file: rows of fixed size that survive a crash, and are checked one by one when opened.

`rows.bin` holds `capacity` rows in a ring; behind its data each row carries its number (1, 2, ...) and a check sum.
`head.json` says what the rows mean. A row that was torn by a power cut, or damaged later, is recognised and left out;
everything before and after it is kept. Writing goes through `pwrite`, not through the memory map, because a full disk
then is an error and not a signal that ends the process; reading goes through the map.
"""

from __future__ import annotations

import json
import os
import warnings
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from hardware.errors import CheckpointError
from robostack.files import temporary_sibling, write_text

Rows = NDArray[np.uint8]
FORMAT = 1
TAIL = 16
"""Bytes behind the data of a row: its number and its check sum, both uint64."""
CHUNK_BYTES = 1 << 23
"""How much is checked, or copied, at once; rows with images are large."""


class ReplayFile:
    """A ring of rows on disk.

    Args:
        folder: made if missing; what it holds is taken over.
        layout: what a row means, as JSON can hold it; must be the same at every opening.
        capacity: number of rows.
        row_bytes: size of a row's data, a multiple of 4.

    Raises:
        CheckpointError: the folder holds another layout or capacity, or cannot be written.
    """

    def __init__(self, folder: Path, layout: dict[str, Any], capacity: int, row_bytes: int) -> None:
        self.path, self.capacity, self.row_bytes = folder, capacity, row_bytes
        self._stride = -(-(row_bytes + TAIL) // 8) * 8
        self._chunk = max(1, CHUNK_BYTES // self._stride)
        self._head = {"format": FORMAT, "capacity": capacity, "row_bytes": row_bytes, "layout": layout}
        factors = np.random.default_rng(0).integers(0, 2**63, self._stride // 4, dtype=np.uint64)
        self._factors = factors * np.uint64(2) + np.uint64(1)  # odd: any change of one word changes the sum
        self.total = 0
        """Rows ever written."""
        self.rows: Rows
        """All of the file, (capacity, row_bytes or more); row (n - 1) % capacity is number n, its data come first."""
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._require_head(folder / "head.json")
            self._file, self.rows = self._map(folder / "rows.bin")
            self._recover()
        except OSError as error:
            raise self._cannot("be opened", error) from error

    def _map(self, path: Path) -> tuple[BinaryIO, Rows]:
        """Open a file and map it; the map has a row's data first, then its tail."""
        file = path.open("r+b" if path.exists() else "w+b")
        os.ftruncate(file.fileno(), self.capacity * self._stride)  # sparse: takes room as it is filled
        return file, np.asarray(np.memmap(file, dtype=np.uint8, mode="r", shape=(self.capacity, self._stride)))

    def append(self, rows: Rows) -> None:
        """Write rows (n, row_bytes) after the newest.

        Raises:
            CheckpointError: they could not be written; then none of them counts.
        """
        numbers = np.arange(self.total + 1, self.total + len(rows) + 1, dtype=np.uint64)
        whole = np.zeros((len(rows), self._stride), dtype=np.uint8)
        whole[:, : self.row_bytes] = rows
        whole[:, -TAIL : -TAIL // 2] = numbers[:, None].view(np.uint8)
        whole[:, -TAIL // 2 :] = self._sums(whole)[:, None].view(np.uint8)
        done = 0
        try:
            while done < len(rows):
                at = (self.total + done) % self.capacity
                count = min(len(rows) - done, self.capacity - at)
                part = whole[done : done + count].tobytes()
                if os.pwrite(self._file.fileno(), part, at * self._stride) != len(part):
                    raise OSError("the disk took only a part")
                done += count
        except OSError as error:
            raise self._cannot("be written", error) from error
        self.total += len(rows)

    def flush(self) -> None:
        """Wait until everything is on the disk.

        Raises:
            CheckpointError: it cannot be written.
        """
        try:
            os.fdatasync(self._file.fileno())
        except OSError as error:
            raise self._cannot("be written", error) from error

    def rewind(self, total: int) -> int:
        """Forget the rows after number `total`; returns `total`.

        Where the ring has passed over older rows since, those are gone, and a warning says so.
        """
        lost = min(self.total - self.capacity, total)
        if lost > max(0, total - self.capacity):
            warnings.warn(
                f"{self.path}: older transitions were overwritten after this checkpoint; the run goes on with newer "
                "ones in their place, so it is not an exact repetition",
                RuntimeWarning,
                stacklevel=2,
            )
            return self.total
        self.total = total
        return total

    def close(self) -> None:
        """Flush and close; the rows can be read no more."""
        self.flush()
        self._file.close()

    def _require_head(self, path: Path) -> None:
        """Write the head of a new file, or compare that of an old one."""
        if not path.exists():
            write_text(path, json.dumps(self._head, indent=2))
            return
        try:
            found = json.loads(path.read_text())
        except ValueError as error:
            raise CheckpointError(
                f"{path} is damaged ({error}). Move the folder away to start with an empty one."
            ) from error
        for key, value in self._head.items():
            if found.get(key) != json.loads(json.dumps(value)):
                raise CheckpointError(
                    f"{self.path} holds transitions of another kind: {key} is {found.get(key)}, wanted {value}. "
                    "Use the settings they were made with, or another folder."
                )

    def _sums(self, whole: Rows) -> NDArray[np.uint64]:
        """Check sum of each row, over everything before it, (n,)."""
        words = whole[:, : -TAIL // 2].view(np.uint32).astype(np.uint64)
        sums: NDArray[np.uint64] = (words * self._factors[: words.shape[1]]).sum(axis=1, dtype=np.uint64)
        return sums

    def _recover(self) -> None:
        """Find the rows that are whole; close the gaps that damaged ones leave."""
        numbers = np.zeros(self.capacity, dtype=np.uint64)
        for start in range(0, self.capacity, self._chunk):
            part = self.rows[start : start + self._chunk]
            tail = np.ascontiguousarray(part[:, -TAIL:]).view(np.uint64)
            if not tail.any():
                continue
            numbers[start : start + self._chunk] = np.where(self._sums(part) == tail[:, 1], tail[:, 0], 0)
        place = np.arange(1, self.capacity + 1, dtype=np.uint64)
        numbers[(numbers % np.uint64(self.capacity)) != (place % np.uint64(self.capacity))] = 0
        newest = int(numbers.max(initial=0))
        expected = np.arange(max(0, newest - self.capacity) + 1, newest + 1, dtype=np.uint64)
        whole = numbers[(expected - np.uint64(1)) % np.uint64(self.capacity)] == expected
        torn = self._torn(numbers)
        self.total = newest
        if not whole.all():
            self._compact(expected[whole])
        if torn or not whole.all():
            damaged = torn + int((~whole).sum())
            warnings.warn(
                f"{self.path}: {damaged} damaged or torn transition(s) left out, {min(self.total, self.capacity)} kept",
                RuntimeWarning,
                stacklevel=4,
            )

    def _torn(self, numbers: NDArray[np.uint64]) -> int:
        """Whether the row that would come next holds something that is not whole: a write that a crash cut."""
        newest = int(numbers.max(initial=0))
        if newest >= self.capacity:
            return 0  # the row that the ring would overwrite next is either whole or counted as missing
        row = self.rows[newest]
        return int(bool(row.any()) and numbers[newest] == 0)

    def _compact(self, kept: NDArray[np.uint64]) -> None:
        """Number the rows `kept` anew, without gaps."""
        old, places = self.rows, (kept - np.uint64(1)) % np.uint64(self.capacity)
        fresh = temporary_sibling(self.path / "rows.bin")
        fresh.unlink(missing_ok=True)
        self._file.close()  # the old map stays readable
        self._file, self.rows = self._map(fresh)
        self.total = 0
        for start in range(0, len(places), self._chunk):
            self.append(np.array(old[places[start : start + self._chunk], : self.row_bytes]))
        self.flush()
        fresh.replace(self.path / "rows.bin")

    def _cannot(self, what: str, error: OSError) -> CheckpointError:
        return CheckpointError(
            f"the replay in {self.path} cannot {what}: {error.strerror or error}. Free some room or choose another "
            "folder; the transitions of this call were not stored."
        )
