"""A limit on how often something may happen."""

from __future__ import annotations

from hardware.clock import Clock


class RateLimit:
    """A bucket of tokens: `burst` at once, then `rate_hz` per second.

    Args:
        rate_hz: sustained rate [Hz].
        burst: how many may come at once.
        clock: monotonic time.
    """

    def __init__(self, rate_hz: float, burst: int, clock: Clock) -> None:
        self._rate_hz, self._burst, self._clock = rate_hz, burst, clock
        self._tokens, self._updated_s = float(burst), clock.now()

    def allows(self) -> bool:
        """Whether one more may happen now."""
        now_s = self._clock.now()
        self._tokens = min(self._burst, self._tokens + (now_s - self._updated_s) * self._rate_hz)
        self._updated_s = now_s
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True
