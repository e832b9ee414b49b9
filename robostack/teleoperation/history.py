"""The latest values of one source with their times, so that a moment that has just passed can be looked up."""

from __future__ import annotations

import bisect
from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class History(Generic[T]):
    """Values in the order of their times.

    Args:
        length: number of values kept.
    """

    def __init__(self, length: int) -> None:
        self._times: deque[float] = deque(maxlen=length)
        self._values: deque[T] = deque(maxlen=length)
        self._forgotten = False

    def __len__(self) -> int:
        return len(self._times)

    def add(self, time_s: float, value: T) -> None:
        """Keep a value; one that is not newer than the newest is dropped (a repeated or overtaken message)."""
        if not self._times or time_s > self._times[-1]:
            self._forgotten = self._forgotten or len(self._times) == self._times.maxlen
            self._times.append(time_s)
            self._values.append(value)

    def at(self, time_s: float) -> tuple[float, T] | None:
        """The newest value not newer than `time_s` [s], with its time; the oldest where that one is kept no longer.

        None where there was none yet at that time.
        """
        index = bisect.bisect_right(self._times, time_s) - 1
        if index < 0 and not self._forgotten:
            return None
        index = max(index, 0)
        return self._times[index], self._values[index]

    def newest(self) -> tuple[float, T] | None:
        """The newest value with its time; None without one."""
        return (self._times[-1], self._values[-1]) if self._times else None
