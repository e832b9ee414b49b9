"""Dynamics on which the policy does worst, collected one after the other and trained on together.

After Incremental Worst-Case Search (IWOCS): Zouitine, Geist and Rachelson, Solving Robust MDPs as a Sequence of Static
RL Problems, 2024, arXiv 2410.06212: the worst dynamics for the present policy are searched and added to a set that
guides the training. The published search is CMA-ES; here it is the cross-entropy method (Rubinstein 1999) on the
returns of ordinary training episodes, which needs no simulations of its own: part of the episodes draw candidates, the
others repeat the cases found so far, and one policy is trained on all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardware.arrays import FloatArray
from hardware.errors import CheckpointError, ConfigError
from sim.dynamics import DynamicsParameter
from sim.randomization.distribution import (
    DistributionEntry,
    Samples,
    described,
    require_episodes,
    require_parameters,
    require_state,
)
from sim.randomization.truncated_mixture import TruncatedMixture
from sim.randomization.unit_cube import UnitCube


@dataclass(frozen=True)
class WorstCaseConfig:
    """How worst cases are searched and kept."""

    search_share: float = 0.5
    """Share of the episodes that draw candidates; the others repeat known cases."""
    search_updates: int = 8
    """Updates per search, after which the mean of the candidates becomes a case."""
    elite_share: float = 0.2
    """Share of a batch, the episodes of lowest return, that the next candidates are drawn around."""
    cases: int = 20
    """Cases kept, the nominal dynamics included; when full, the oldest found one leaves."""
    case_deviation: float = 0.02
    """Standard deviation around a case, as a share of each parameter's range."""
    start_deviation: float = 0.5
    """Standard deviation of the candidates when a search starts in mid-range, as a share of each range."""

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        checks = {
            "search_share must lie in (0, 1]": 0.0 < self.search_share <= 1.0,
            "search_updates must be at least 1": self.search_updates >= 1,
            "elite_share must lie in (0, 1)": 0.0 < self.elite_share < 1.0,
            "cases must be at least 2": self.cases >= 2,
            "case_deviation must lie in (0, 1]": 0.0 < self.case_deviation <= 1.0,
            "start_deviation must lie in (0, 10]": 0.0 < self.start_deviation <= 10.0,
        }
        for message, holds in checks.items():
            if not holds:
                raise ConfigError(f"worst case: {message}")


class WorstCaseDistribution:
    """Known bad cases and candidates for the next one; see `sim.randomization.distribution`.

    A mixture of Gaussians cut off at the bounds: a narrow one around each case, equally likely, and a wide one that the
    search narrows. A parameter whose bounds are equal is a constant and counts neither in density nor in entropy.

    Args:
        parameters: what is drawn.
        config: how it searches.

    Raises:
        ConfigError: a parameter is not sound, or none has room between its bounds.
    """

    def __init__(self, parameters: Sequence[DynamicsParameter], config: WorstCaseConfig | None = None) -> None:
        self.parameters = require_parameters(parameters)
        self.config = config or WorstCaseConfig()
        self._cube = UnitCube(self.parameters, "the worst case")
        self._cases = self._cube.nominal[None]
        self._restart()

    @property
    def cases(self) -> Samples:
        """The cases by name, nominal first, then the oldest, each (count,)."""
        return self._cube.samples(self._cases)

    def sample(self, rng: np.random.Generator, count: int) -> Samples:
        """Draw `count` sets of parameters, each (count,)."""
        return self._cube.samples(self._mixture().sample(rng, count))

    def log_prob(self, values: Mapping[str, FloatArray]) -> FloatArray:
        """Logarithm of the joint density, (count,); minus infinity outside the bounds."""
        return self._cube.log_prob(values, self._mixture().log_prob)

    def entropy(self) -> float:
        """Entropy [nat], as the mean over draws that are the same in every run."""
        return self._mixture().entropy() + self._cube.log_volume

    def update(
        self, values: Mapping[str, FloatArray], returns: FloatArray, success: NDArray[np.bool_] | None = None
    ) -> Mapping[str, float]:
        """Move the candidates towards the episodes of lowest return; at the end of a search, keep their mean as a case.

        Episodes that the candidates hardly explain belong to a known case and do not count, so that they do not hold
        the search there. Equal returns (all successes, all failures) leave the candidates as they are.

        Returns:
            cases: how many there are; worst_return: mean of the elite; search_deviation: of the candidates, mean share
            of the ranges; entropy [nat].

        Raises:
            ConfigError: no episode, or lengths that differ.
            UnknownNameError: a parameter is missing or unknown.
            NonFiniteError: a value or return is not finite.
            LimitViolationError: a value lies outside its bounds.
        """
        episodes = require_episodes(self.parameters, values, returns, success)
        z = np.clip(self._cube.points(episodes.matrix), 0.0, 1.0)
        log_weight = self._candidates().log_prob(z) - self._mixture().log_prob(z)
        # Below one percent of the largest ratio an episode belongs to a case rather than to the search.
        searched = np.flatnonzero(log_weight > log_weight.max() - np.log(100.0))
        order = searched[np.argsort(episodes.returns[searched], kind="stable")]
        elite = order[: max(1, round(self.config.elite_share * len(order)))]
        if np.ptp(episodes.returns[searched]) > 0.0:
            self._centre = z[elite].mean(axis=0)
            if len(elite) > 1:
                self._deviation = np.maximum(z[elite].std(axis=0, ddof=1), self.config.case_deviation)
        self._age += 1
        if self._age == self.config.search_updates:
            room = self.config.cases - 2
            found = self._cases[1:][-room:] if room else self._cases[:0]
            self._cases = np.concatenate([self._cases[:1], found, self._centre[None]])
            self._restart()
        return {
            "cases": float(len(self._cases)),
            "worst_return": float(episodes.returns[elite].mean()),
            "search_deviation": float(self._deviation.mean()),
            "entropy": self.entropy(),
        }

    def state(self) -> dict[str, Any]:
        """What was learned, ready for JSON."""
        return {
            **described("worst_case", self.parameters),
            "cases": self._cases.tolist(),
            "centre": self._centre.tolist(),
            "deviation": self._deviation.tolist(),
            "age": self._age,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from a `state`.

        Raises:
            CheckpointError: it was saved from another distribution or other parameters, or is damaged.
        """
        require_state(state, "worst_case", self.parameters)
        try:
            cases, centre, deviation = (
                np.array(state[key], dtype=np.float64) for key in ("cases", "centre", "deviation")
            )
            age = int(state["age"])
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"the saved worst cases are damaged: {error!r}") from error
        if cases.shape[1:] != centre.shape or centre.shape != self._centre.shape or deviation.shape != centre.shape:
            raise CheckpointError("the saved worst cases are damaged: their sizes do not fit the parameters")
        self._cases, self._centre, self._deviation, self._age = cases, centre, deviation, age

    def _restart(self) -> None:
        """Search the whole range again."""
        dimension = self._cases.shape[1]
        self._centre = np.full(dimension, 0.5)
        self._deviation = np.full(dimension, self.config.start_deviation)
        self._age = 0

    def _candidates(self) -> TruncatedMixture:
        count = len(self._centre)
        return TruncatedMixture(self._centre[None], self._deviation, np.ones(1), np.zeros(count), np.ones(count))

    def _mixture(self) -> TruncatedMixture:
        cases, dimension = self._cases.shape
        share = self.config.search_share
        return TruncatedMixture(
            np.concatenate([self._centre[None], self._cases]),
            np.concatenate([self._deviation[None], np.full((cases, dimension), self.config.case_deviation)]),
            np.concatenate([[share], np.full(cases, (1.0 - share) / cases)]),
            np.zeros(dimension),
            np.ones(dimension),
        )


DISTRIBUTION = DistributionEntry(
    distribution="sim.randomization.worst_case:WorstCaseDistribution",
    config="sim.randomization.worst_case:WorstCaseConfig",
    summary="Worst-case search: around the dynamics that went worst",
)
