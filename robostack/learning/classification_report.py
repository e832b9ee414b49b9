"""How good a yes-or-no judgement is: confusion, precision, recall, the curve of both errors, and a threshold."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardware.arrays import FloatArray
from hardware.errors import ConfigError
from robostack.statistics import wilson_interval

Labels = NDArray[np.bool_]


@dataclass(frozen=True)
class Report:
    """A judgement at one threshold, and over all of them."""

    threshold: float
    """Probability from which on the answer is yes."""
    true_positives: int
    """Yes, and it is."""
    false_positives: int
    """Yes, and it is not."""
    true_negatives: int
    """No, and it is not."""
    false_negatives: int
    """No, and it is."""
    area: float
    """Area under the curve of true over false positives; 0.5 is guessing, 1 is faultless."""
    curve: tuple[tuple[float, float, float], ...]
    """Share of false positives, share of true positives, threshold; thresholds falling."""

    def figures(self) -> dict[str, Any]:
        """Flat figures; `..._ci95` are the bounds of Wilson's interval."""
        positives = self.true_positives + self.false_negatives
        negatives = self.true_negatives + self.false_positives
        right, count = self.true_positives + self.true_negatives, positives + negatives
        said = self.true_positives + self.false_positives
        return {
            "frames": count,
            "accuracy": right / count,
            "accuracy_ci95": list(wilson_interval(right, count)),
            "precision": self.true_positives / said if said else 0.0,
            "recall": self.true_positives / positives if positives else 0.0,
            "false_positive_rate": self.false_positives / negatives if negatives else 0.0,
            "true_positives": self.true_positives,
            "false_positives": self.false_positives,
            "true_negatives": self.true_negatives,
            "false_negatives": self.false_negatives,
            "roc_area": self.area,
            "threshold": self.threshold,
        }


def report(probability: FloatArray, positive: Labels, threshold: float) -> Report:
    """Judge probabilities (n,) against what is true (n,).

    Raises:
        ConfigError: all are true, or none is.
    """
    _require_both(positive)
    said = probability >= threshold
    # Descending; where probabilities are equal only the last counts, because no threshold parts them.
    order = np.argsort(-probability, kind="stable")
    values, truth = probability[order], positive[order]
    last = np.flatnonzero(np.append(np.diff(values) != 0.0, True))
    hits, alarms = np.cumsum(truth)[last] / truth.sum(), np.cumsum(~truth)[last] / (~truth).sum()
    hits, alarms = np.insert(hits, 0, 0.0), np.insert(alarms, 0, 0.0)
    levels = np.insert(values[last], 0, np.inf)
    return Report(
        threshold=float(threshold),
        true_positives=int((said & positive).sum()),
        false_positives=int((said & ~positive).sum()),
        true_negatives=int((~said & ~positive).sum()),
        false_negatives=int((~said & positive).sum()),
        area=float(np.trapezoid(hits, alarms)),
        curve=tuple((float(a), float(h), float(v)) for a, h, v in zip(alarms, hits, levels, strict=True)),
    )


def choose_threshold(probability: FloatArray, positive: Labels, false_positives: float, least: float = 0.5) -> float:
    """The lowest threshold, `least` or above, with few enough false positives.

    A false yes ends an episode with a reward that was not earned, which a policy learns to seek; a false no costs a
    little time.

    Args:
        probability: (n,).
        positive: what is true, (n,).
        false_positives: largest share of false positives.
        least: smallest threshold to choose.

    Raises:
        ConfigError: all are true, or none is.
    """
    _require_both(positive)
    alarms = np.sort(probability[~positive])[::-1]
    allowed = math.floor(false_positives * len(alarms) + 1e-9)
    highest = float(alarms[allowed]) if allowed < len(alarms) else 0.0
    if highest < least:
        return least
    # In the middle between the highest alarm to be silenced and what comes next.
    above = probability[probability > highest]
    return (highest + float(np.min(above, initial=1.0))) / 2.0


def _require_both(positive: Labels) -> None:
    if positive.all() or not positive.any():
        raise ConfigError("a judgement is measured on cases of both kinds; record episodes that succeed and that fail")
