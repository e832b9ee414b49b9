"""A loop kept at its rate by absolute deadlines, with its lateness on record."""

from __future__ import annotations

from typing import Literal

from controllers.histogram import DurationHistogram
from hardware.clock import Clock
from hardware.errors import ConfigError


class Pacer:
    """Wakes a loop at deadlines one period apart; lateness of one cycle does not move the next deadline.

    Args:
        period_s: the period [s].
        clock: the clock to wait on.
        overrun: what happens to deadlines that passed while the loop was still busy: "skip" drops them and keeps the
            phase; "catch_up" runs the cycles that were missed one after the other.
        spin_s: the last part of each wait that is spent polling the clock [s]. Only for a thread of real-time priority:
            under the normal scheduler it makes lateness worse, because the scheduler punishes the spinning.

    Raises:
        ConfigError: the period is not positive.
    """

    def __init__(
        self, period_s: float, clock: Clock, overrun: Literal["skip", "catch_up"] = "skip", spin_s: float = 0.0
    ) -> None:
        if not period_s > 0.0:
            raise ConfigError(f"the period of a loop must be positive, got {period_s} s")
        self.period_s, self.overrun, self.spin_s = period_s, overrun, spin_s
        self.lateness = DurationHistogram()
        """Lateness of every wake-up [s]."""
        self.overruns = 0
        """Deadlines that passed unserved: dropped by "skip", made up for by "catch_up"."""
        self._clock = clock
        self._deadline_s: float | None = None

    def restart(self) -> None:
        """Count deadlines from now on; the next one is a period away."""
        self._deadline_s = self._clock.now() + self.period_s

    def wait(self) -> float:
        """Sleep until the next deadline; returns by how much it was missed [s]. The first call starts the pacing."""
        if self._deadline_s is None:
            self.restart()
            return 0.0
        deadline = self._deadline_s
        self._clock.sleep_until(deadline - self.spin_s)
        now = self._clock.now()
        while now < deadline and self.spin_s > 0.0:
            now = self._clock.now()
        lateness = max(now - deadline, 0.0)
        self.lateness.add(lateness)
        deadline += self.period_s
        if lateness >= self.period_s:
            missed = int(lateness / self.period_s)
            if self.overrun == "skip":
                self.overruns += missed
                deadline += missed * self.period_s
            else:
                self.overruns += 1
        self._deadline_s = deadline
        return lateness
