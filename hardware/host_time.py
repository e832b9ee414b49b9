"""Maps the robot's time stamps to the host's monotonic clock."""

from __future__ import annotations

DRIFT_MAX = 1e-4
"""Largest drift of the two clocks against each other that is followed [s/s]; quartz stays below 100 ppm."""
JUMP_S = 1.0
"""A disagreement beyond this means that the robot's clock was set anew [s]."""


class HostTime:
    """The smallest delay seen so far is taken as none.

    A package with robot time t_r that is read at host time t_h gives t_h - t_r = offset + delay with delay >= 0, so the
    smallest difference seen is the best bound of the offset; measurements made on a busy network then do not look
    younger or older than they are. The bound may rise by `DRIFT_MAX`, so that it follows clocks that drift apart. What
    remains is the smallest delay itself (well below a millisecond on a cable), by which capture times are late.
    """

    def __init__(self) -> None:
        self._offset_s: float | None = None
        self._last_host_s = 0.0

    def capture_time(self, robot_time_s: float, arrival_s: float) -> float:
        """Host time of a measurement [s], never after its arrival.

        Args:
            robot_time_s: the robot's time stamp [s], since its start.
            arrival_s: host time at which the package was read [s].
        """
        difference_s = arrival_s - robot_time_s
        if self._offset_s is None or abs(difference_s - self._offset_s) > JUMP_S:
            self._offset_s = difference_s
        else:
            risen_s = self._offset_s + DRIFT_MAX * (arrival_s - self._last_host_s)
            self._offset_s = min(difference_s, risen_s)
        self._last_host_s = arrival_s
        return robot_time_s + self._offset_s
