"""How long an answer takes: from publishing a measurement to receiving the command computed from it."""

from __future__ import annotations

from collections import OrderedDict, deque

import numpy as np


class AnswerLatency:
    """Matches commands to measurements by the time stamp they carry.

    Args:
        capacity: answers kept for the percentiles.
    """

    def __init__(self, capacity: int = 20_000) -> None:
        self._sent: OrderedDict[int, float] = OrderedDict()
        self._answers_s: deque[float] = deque(maxlen=capacity)

    def sent(self, stamp_ns: int, now_s: float) -> None:
        """A measurement stamped `stamp_ns` [ns] is published at `now_s` [s]."""
        self._sent[stamp_ns] = now_s
        while len(self._sent) > 256:
            self._sent.popitem(last=False)

    def answered(self, stamp_ns: int, now_s: float) -> None:
        """A command with this stamp arrived at `now_s` [s]; stamps that were never sent are ignored."""
        sent_s = self._sent.pop(stamp_ns, None)
        if sent_s is not None:
            self._answers_s.append(now_s - sent_s)

    def summary(self) -> dict[str, float]:
        """count, p50_ms, p99_ms, max_ms of the answers; only the count while there is none."""
        if not self._answers_s:
            return {"count": 0.0}
        milliseconds = np.array(self._answers_s) * 1e3
        return {
            "count": float(len(milliseconds)),
            "p50_ms": float(np.percentile(milliseconds, 50)),
            "p99_ms": float(np.percentile(milliseconds, 99)),
            "max_ms": float(np.max(milliseconds)),
        }
