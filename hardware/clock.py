"""Monotonic time, real or virtual, so that everything that depends on time can be tested exactly."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """A monotonic clock that can also wait. All ages, deadlines and capture times in the stack come from one."""

    def now(self) -> float:
        """Monotonic time [s]; the zero is arbitrary."""
        ...

    def sleep_until(self, deadline_s: float) -> None:
        """Return at or after `deadline_s` [s] of `now()`; at once if it has passed."""
        ...


class SystemClock:
    """CLOCK_MONOTONIC; the same zero for every process of one machine."""

    def now(self) -> float:
        """Monotonic time [s]."""
        return time.monotonic()

    def sleep_until(self, deadline_s: float) -> None:
        """Sleep until `deadline_s` [s]."""
        remaining = deadline_s - time.monotonic()
        if remaining > 0.0:
            time.sleep(remaining)


class VirtualClock:
    """A clock that moves only when told to, or when someone sleeps on it.

    Args:
        start_s: the first reading [s].
    """

    def __init__(self, start_s: float = 0.0) -> None:
        self._now = start_s

    def now(self) -> float:
        """The virtual time [s]."""
        return self._now

    def sleep_until(self, deadline_s: float) -> None:
        """Jump to `deadline_s` [s] if it lies ahead."""
        self._now = max(self._now, deadline_s)

    def advance(self, duration_s: float) -> None:
        """Move the time on by `duration_s` [s] >= 0."""
        if duration_s < 0.0:
            raise ValueError(f"a monotonic clock cannot go back by {duration_s} s")
        self._now += duration_s
