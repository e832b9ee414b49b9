"""A driver's codec as a benchmark calls it, and what one cycle of it costs."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

from hardware.registry import Registry

CALLS = 500
"""Cycles per turn."""
TURNS = 21
"""Turns; their median counts."""


@dataclass(frozen=True)
class CodecEntry:
    """How the codec of a driver registers: `CODEC = CodecEntry(...)`, in a module named as the robot."""

    prepare: Callable[[], Callable[[], object]]
    """Makes what is needed, and gives the function that serialises one command and parses one state."""


CODECS: Registry[CodecEntry] = Registry("driver codec", "robostack.bench.codecs", "CODEC", plural="driver_codecs")
"""Every codec: modules of this package, and entry points of the group `robostack.driver_codecs`."""


def cycle_us(entry: CodecEntry) -> float:
    """Processor time of one command and one state [us]."""
    cycle = entry.prepare()
    turns_s = []
    for _ in range(TURNS):
        begin_s = time.thread_time()
        for _ in range(CALLS):
            cycle()
        turns_s.append((time.thread_time() - begin_s) / CALLS)
    return 1e6 * statistics.median(turns_s)
