"""When to ask the motor controller for its values, and which question an answer belongs to."""

from __future__ import annotations

from collections import deque

ASK_AGAIN_S = 0.05
"""Without an answer for this long, a second question goes out [s]."""
SILENCE_S = 0.08
"""Questions that are open for this long after the last sign of life are given up [s]; above `ASK_AGAIN_S`, so that the
answers of a slow line, which come that far apart, are not taken for the answers to later questions."""
_OPEN_MAX = 2


class ValueRequests:
    """Answers carry no number, so they belong to the open questions in order.

    The values were measured when the question arrived, which makes the time of asking the capture time: a slow line
    shows as old data. One answer that gets lost costs `SILENCE_S`.
    """

    def __init__(self) -> None:
        self._open: deque[float] = deque()
        self._heard_s = 0.0

    def due(self, now_s: float) -> bool:
        """Whether to ask now [s]; notes that it is done."""
        last_sign_s = max(self._heard_s, self._open[-1] if self._open else 0.0)
        if self._open and now_s - last_sign_s > SILENCE_S:
            self._open.clear()
        elif self._open and (len(self._open) >= _OPEN_MAX or now_s - last_sign_s < ASK_AGAIN_S):
            return False
        self._open.append(now_s)
        return True

    def answered(self, now_s: float) -> float:
        """An answer came, good or damaged; the time of its question [s]."""
        self._heard_s = now_s
        return self._open.popleft() if self._open else now_s
