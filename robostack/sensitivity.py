"""Along which dynamics parameters a policy fails first: success over each parameter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hardware.arrays import FloatArray
from hardware.errors import ConfigError
from robostack.evaluation import EpisodeResult
from robostack.statistics import wilson_interval

BINS = 5
"""Parts of a parameter's range, each with the same number of episodes."""


@dataclass(frozen=True)
class Sensitivity:
    """Success over one parameter."""

    parameter: str
    """Its name."""
    centres: FloatArray
    """Mean value of the parameter in each part, (bins,), in its unit."""
    success: FloatArray
    """Share of successes in each part, (bins,)."""
    low: FloatArray
    """Lower bounds of the 95 % intervals, (bins,)."""
    high: FloatArray
    """Upper bounds, (bins,)."""

    @property
    def drop(self) -> float:
        """Success in the best part less success in the worst."""
        return float(self.success.max() - self.success.min())

    @property
    def worst(self) -> float:
        """Value of the parameter where success is lowest."""
        return float(self.centres[int(np.argmin(self.success))])


def sensitivities(episodes: Sequence[EpisodeResult], bins: int = BINS) -> list[Sensitivity]:
    """One entry per parameter that was drawn, the one with the largest drop first.

    Args:
        episodes: of one policy with drawn dynamics.
        bins: parts of each range.

    Raises:
        ConfigError: there are fewer episodes than parts, or no dynamics were drawn.
    """
    drawn = [episode.dynamics for episode in episodes if episode.dynamics]
    if len(drawn) != len(episodes) or len(drawn) < bins:
        raise ConfigError(f"sensitivity needs at least {bins} episodes with drawn dynamics, not {len(drawn)}")
    success = np.array([episode.success for episode in episodes])
    found = [_along(name, np.array([one[name] for one in drawn]), success, bins) for name in drawn[0]]
    return sorted(found, key=lambda one: -one.drop)


def _along(name: str, values: FloatArray, success: np.ndarray, bins: int) -> Sensitivity:
    parts = np.array_split(np.argsort(values, kind="stable"), bins)
    bounds = [wilson_interval(int(success[part].sum()), len(part)) for part in parts]
    return Sensitivity(
        name,
        np.array([values[part].mean() for part in parts]),
        np.array([success[part].mean() for part in parts]),
        np.array([low for low, _ in bounds]),
        np.array([high for _, high in bounds]),
    )


def as_figures(found: Sequence[Sensitivity]) -> dict[str, Mapping[str, float]]:
    """Drop and worst value by parameter, as JSON can carry them."""
    return {one.parameter: {"drop": one.drop, "worst": one.worst} for one in found}
