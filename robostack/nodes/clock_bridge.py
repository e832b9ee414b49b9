"""Between the monotonic clock, which all ages and deadlines use, and ROS time, which all stamps use."""

from __future__ import annotations

import time
from typing import Any

from builtin_interfaces.msg import Time

from robostack.nodes.messages import stamp_from_ns, stamp_to_ns


class ClockBridge:
    """Converts with the present difference of the two clocks, so that a step of the wall clock does no harm.

    Args:
        clock: the node's ROS clock (`node.get_clock()`).
    """

    def __init__(self, clock: Any) -> None:
        self._clock = clock

    def stamp(self, monotonic_s: float) -> Time:
        """The ROS time stamp of a monotonic time [s]."""
        return stamp_from_ns(round(monotonic_s * 1e9) + self._offset_ns())

    def monotonic(self, stamp: Time) -> float:
        """The monotonic time [s] of a ROS time stamp; never in the future, where unequal clocks could put it."""
        return min((stamp_to_ns(stamp) - self._offset_ns()) * 1e-9, time.monotonic())

    def _offset_ns(self) -> int:
        return int(self._clock.now().nanoseconds) - time.monotonic_ns()
