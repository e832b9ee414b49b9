"""When to ask the motor controller for its values, and which question an answer belongs to."""

from __future__ import annotations

import math
from collections import deque

ASK_AGAIN_S = 0.05
"""Without an answer for this long, a second question goes out [s]; never a third."""
MARGIN_S = 0.02
"""An answer may take this much longer than the one before it [s], else it is lost."""
GIVE_UP_S = 1.0
"""Without any answer for this long, all is forgotten and asked anew [s]."""


class ValueRequests:
    """Answers carry no number, so they belong to the open questions in order.

    The values were measured when the question arrived, which makes the time of asking the capture time: a slow line
    shows as old data. When an answer leaves a question open, no other goes out until that one is answered too, or is
    overdue by the measure of the answer before it. One lost answer so costs about 0.1 s of fresh data.
    """

    def __init__(self) -> None:
        self._open: deque[float] = deque()
        self._give_up_s = math.inf
        self._overdue = False

    def due(self, now_s: float) -> bool:
        """Whether to ask now [s]; notes that it is done."""
        if self._open and now_s >= self._give_up_s:
            self._open.clear()
        if self._open and (self._overdue or len(self._open) > 1 or now_s - self._open[0] < ASK_AGAIN_S):
            return False
        self._open.append(now_s)
        self._give_up_s, self._overdue = now_s + GIVE_UP_S, False
        return True

    def answered(self, now_s: float) -> float | None:
        """An answer came, good or damaged; the time of its question [s], None where that was given up long ago."""
        if not self._open:
            return None
        asked_s = self._open.popleft()
        if self._open:
            self._give_up_s, self._overdue = self._open[0] + (now_s - asked_s) + MARGIN_S, True
        return asked_s
