"""Whether a cell failed because the machine it ran on stood still.

A virtual device and its driver share one computer. When it runs neither of them for longer than a watchdog waits, the
watchdog acts, rightly, and the cell says nothing about the fault it is there for.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from hardware.errors import RobostackError

STALL_S = 0.04
"""A stall this long can have caused a failure [s]: the shortest watchdog and the shortest age limit are 0.05 s."""
ATTEMPTS = 4
_PERIOD_S = 0.005


class StallMeter:
    """Measures the longest time for which this process was not run while the context was open."""

    def __init__(self) -> None:
        self.longest_s = 0.0
        """Longest stall [s]."""
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="stall-meter", daemon=True)

    def __enter__(self) -> StallMeter:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        last_s = time.monotonic()
        while not self._ended.wait(_PERIOD_S):
            now_s = time.monotonic()
            self.longest_s, last_s = max(self.longest_s, now_s - last_s), now_s


def run_cell(cell: Callable[[str], None], place: str, attempts: int = ATTEMPTS) -> int:
    """Run `cell`; again only where it failed while the machine stalled.

    Args:
        cell: the function of a cell, or a test of the same form.
        place: what it is given.
        attempts: how often it is run at most.

    Returns:
        How many attempts failed before the one that passed.

    Raises:
        RobostackError: it failed without a stall, or in every attempt.
        AssertionError: the same, of a test.
    """
    for attempt in range(attempts):
        with StallMeter() as meter:
            try:
                cell(place)
            except (AssertionError, RobostackError):
                if meter.longest_s < STALL_S or attempt == attempts - 1:
                    raise
            else:
                return attempt
    raise ValueError(f"a cell must be tried at least once, not {attempts} times")
