"""Statistics of the columns of a dataset: per episode, and over all episodes, as the LeRobot format v3.0 keeps them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardware.arrays import FloatArray
from robostack.data.features import Feature

QUANTILES: Mapping[str, float] = {"q01": 0.01, "q10": 0.10, "q50": 0.50, "q90": 0.90, "q99": 0.99}
STATISTICS = ("min", "max", "mean", "std", "count", *QUANTILES)
"""Names of the statistics of one column, in the order of the format."""
BINS = 5000
"""Bins of the histogram that quantiles come from; lerobot's number."""
THUMBNAIL_PX, THUMBNAIL_FROM_PX = 150, 300
"""Pictures of at least the second size are thinned out to about the first; lerobot's numbers."""

Stats = dict[str, NDArray[Any]]
"""Statistic -> array as long as the last axis of a value, (3, 1, 1) for pictures; "count" (1,)."""


def column_stats(values: NDArray[Any]) -> Stats:
    """Statistics of one episode of a column.

    Values that are not finite are left out; a column without any finite one gets zeros and count 0.

    Of values with several axes all but the last are taken together, as lerobot does.

    Args:
        values: (rows,) or (rows, *shape).
    """
    flat = np.asarray(values, dtype=np.float64).reshape(-1, values.shape[-1] if values.ndim > 1 else 1)
    parts = [_element_stats(flat[:, k]) for k in range(flat.shape[1])]
    found: Stats = {name: np.array([part[name] for part in parts]) for name in STATISTICS if name != "count"}
    counted = max(part["count"] for part in parts) * len(values) // len(flat)
    found["count"] = np.array([counted], dtype=np.int64)
    return found


def _element_stats(values: FloatArray) -> dict[str, float]:
    finite = values[np.isfinite(values)]
    if finite.size == 0:
        return {name: 0 if name == "count" else 0.0 for name in STATISTICS}
    low, high, mean = float(finite.min()), float(finite.max()), float(finite.mean())
    found = {"min": low, "max": high, "mean": mean, "std": float(finite.std()), "count": finite.size}
    if finite.size < 2:  # too few for a histogram: lerobot takes the mean as well
        return {**found, **dict.fromkeys(QUANTILES, mean)}
    margin = 1e-10 + 1e-12 * max(abs(low), abs(high))  # so that the bins have a width for any constant
    counts, edges = np.histogram(finite, bins=np.linspace(low - margin, high + margin, BINS + 1))
    return {**found, **_histogram_quantiles(counts.astype(np.float64), edges)}


def _histogram_quantiles(counts: FloatArray, edges: FloatArray) -> dict[str, float]:
    """Quantiles by linear interpolation within the bin that each falls into."""
    cumulated = np.cumsum(counts)
    found = {}
    for name, share in QUANTILES.items():
        target = share * cumulated[-1]
        index = int(np.searchsorted(cumulated, target))
        if index == 0:
            found[name] = float(edges[0])
            continue
        before = cumulated[index - 1]
        fraction = (target - before) / (cumulated[index] - before)
        found[name] = float(edges[index] + fraction * (edges[index + 1] - edges[index]))
    return found


class ImageStats:
    """Statistics of pictures as they come, exact for what is counted: (3, 1, 1) each, scaled to [0, 1]."""

    def __init__(self) -> None:
        self._counts = np.zeros((3, 256), dtype=np.int64)
        self._frames = 0

    def add(self, image: NDArray[np.uint8]) -> None:
        """Count a picture, (height, width, 3) uint8; a large one is thinned out first."""
        step = thinning(image.shape[0], image.shape[1])
        thin = image[::step, ::step]
        for channel in range(3):
            self._counts[channel] += np.bincount(thin[..., channel].ravel(), minlength=256)
        self._frames += 1

    def result(self) -> Stats:
        """What was counted; "count" is the number of pictures."""
        levels = np.arange(256, dtype=np.float64)
        rows: list[dict[str, float]] = []
        for counts in self._counts.astype(np.float64):
            total = counts.sum()
            mean = float(counts @ levels / total)
            seen, cumulated = np.flatnonzero(counts), np.cumsum(counts)
            row = {"min": float(seen[0]), "max": float(seen[-1]), "mean": mean}
            row["std"] = float(np.sqrt(counts @ (levels - mean) ** 2 / total))
            row |= {name: float(np.searchsorted(cumulated, share * total)) for name, share in QUANTILES.items()}
            rows.append(row)
        found: Stats = {
            name: np.array([row[name] for row in rows]).reshape(3, 1, 1) / 255.0
            for name in STATISTICS
            if name != "count"
        }
        found["count"] = np.array([self._frames], dtype=np.int64)
        return found


def thinning(height: int, width: int) -> int:
    """Every how manieth pixel of a picture is counted."""
    if max(height, width) < THUMBNAIL_FROM_PX:
        return 1
    return max(1, int(width / THUMBNAIL_PX) if width > height else int(height / THUMBNAIL_PX))


def episode_stats(
    columns: Mapping[str, NDArray[Any]], features: Mapping[str, Feature], images: Mapping[str, Stats]
) -> dict[str, Stats]:
    """Statistics of one episode: of every column but strings, and of the pictures.

    Args:
        columns: column -> (rows, *shape).
        features: every column.
        images: picture column -> its statistics.
    """
    found = {
        name: column_stats(columns[name])
        for name, feature in features.items()
        if not feature.is_visual and feature.dtype != "string"
    }
    return {**found, **images}


def aggregate(parts: Sequence[Mapping[str, Stats]]) -> dict[str, Stats]:
    """Statistics over several episodes.

    Means are weighted by counts and variances pooled, with the spread of the means. Quantiles up to the median are the
    smallest over the episodes, those above the largest: an envelope, as lerobot 0.6 has it; true
    quantiles do not follow from those of the parts.
    """
    names = list(dict.fromkeys(name for part in parts for name in part))
    return {name: _aggregate_column([part[name] for part in parts if name in part]) for name in names}


def _aggregate_column(parts: Sequence[Stats]) -> Stats:
    parts = [part for part in parts if part["count"][0] > 0] or list(parts[:1])
    counts = np.array([float(part["count"][0]) for part in parts])
    weights = counts / max(counts.sum(), 1.0)
    means = np.stack([np.asarray(part["mean"], dtype=np.float64) for part in parts])
    deviations = np.stack([np.asarray(part["std"], dtype=np.float64) for part in parts])
    mean = np.tensordot(weights, means, axes=1)
    found: Stats = {
        "min": np.min([part["min"] for part in parts], axis=0),
        "max": np.max([part["max"] for part in parts], axis=0),
        "mean": mean,
        "std": np.sqrt(np.tensordot(weights, deviations**2 + (means - mean) ** 2, axes=1)),
        "count": np.array([sum(int(part["count"][0]) for part in parts)], dtype=np.int64),
    }
    for name, share in QUANTILES.items():
        if all(name in part for part in parts):
            found[name] = (np.min if share <= 0.5 else np.max)([part[name] for part in parts], axis=0)
    return found


def stats_to_json(stats: Mapping[str, Stats]) -> dict[str, dict[str, Any]]:
    """As `meta/stats.json` has it."""
    return {name: {key: value.tolist() for key, value in part.items()} for name, part in stats.items()}


def stats_from_json(data: Mapping[str, Mapping[str, Any]]) -> dict[str, Stats]:
    """Read what `stats_to_json` or lerobot wrote."""
    return {name: {key: np.atleast_1d(np.array(value)) for key, value in part.items()} for name, part in data.items()}
