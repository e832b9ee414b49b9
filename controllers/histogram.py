"""A histogram of durations of fixed size, for figures of a loop that must not allocate."""

from __future__ import annotations

import math
from array import array

_SMALLEST_S = 1e-7
_PER_OCTAVE = 16
_OCTAVES = 28
"""From 0.1 us to 27 s; a bin is 4.4 % wide."""


class DurationHistogram:
    """Counts durations in logarithmic bins; percentiles are exact to the width of a bin, the maximum is exact."""

    def __init__(self) -> None:
        self._bins = array("q", bytes(8 * (_PER_OCTAVE * _OCTAVES + 1)))
        self.count = 0
        """Number of durations added."""
        self.max_s = 0.0
        """Longest duration added [s]."""

    def add(self, duration_s: float) -> None:
        """Count one duration [s]; what is shorter than the first bin counts there."""
        index = 0
        if duration_s > _SMALLEST_S:
            index = min(int(math.log2(duration_s / _SMALLEST_S) * _PER_OCTAVE) + 1, _PER_OCTAVE * _OCTAVES)
        self._bins[index] += 1
        self.count += 1
        self.max_s = max(self.max_s, duration_s)

    def percentile(self, share: float) -> float:
        """The duration [s] that the given share (0 to 1) of all durations does not exceed; 0 where none was added."""
        wanted, seen = math.ceil(share * self.count), 0
        for index, number in enumerate(self._bins):
            seen += number
            if number and seen >= wanted:
                upper = _SMALLEST_S * 2.0 ** (index / _PER_OCTAVE) if index else 0.0
                return min(upper, self.max_s)
        return 0.0
