"""How good demonstrations are: return, coverage, and whether a new one goes together with those so far.

Sources. Trajectory quality and state-action coverage: Schweighofer et al., "A Dataset Perspective on Offline
Reinforcement Learning" (2022), here with cells of a grid as the distinct state-action pairs. Compatibility: Gandhi et
al., "Eliciting Compatible Demonstrations for Multi-Human Imitation Learning" (2022), with the nearest neighbours among
the demonstrations as the policy and their distance as its uncertainty. Weights: Hong et al., "Harnessing Mixed Offline
Reinforcement Learning Datasets via Trajectory Weighting" (2023).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from hardware.errors import ConfigError
from robostack.data.dataset import Dataset
from robostack.data.demonstrations import reward_of
from robostack.data.features import ACTION, STATE, SUCCESS

Numbers = NDArray[np.float64]

CELLS_PER_AXIS = 10
"""Cells between the smallest and the largest value of each axis."""


@dataclass(frozen=True, slots=True)
class Trajectory:
    """One demonstration as far as its quality goes."""

    states: Numbers
    """(n, num_states)."""
    actions: Numbers
    """(n, num_actions)."""
    value: float
    """Its return, the sum of rewards."""
    success: bool | None = None
    """None where the dataset does not say."""

    @property
    def pairs(self) -> Numbers:
        """States and actions side by side, (n, num_states + num_actions)."""
        return np.concatenate([self.states, self.actions], axis=1)


@dataclass(frozen=True, slots=True)
class EpisodeQuality:
    """Figures of one demonstration."""

    index: int
    length: int
    value: float
    """Return."""
    quality: float
    """Return from 0, the worst of the dataset, to 1, the best; 1 where all are equal."""
    success: bool | None
    coverage: float
    """Share of the dataset's occupied state-action cells that it visits."""
    own: float
    """Share of its cells that no other demonstration visits; near 1 in all of them means that nothing is shown
    twice."""
    roughness: float
    """Root mean square of the change of action between time steps, in standard deviations of the action; large is
    jerky."""


@dataclass(frozen=True)
class QualityReport:
    """Figures of a dataset."""

    episodes: tuple[EpisodeQuality, ...]
    cells: int
    """Distinct state-action cells visited."""
    coverage: float
    """Cells visited per time step, from near 0 (the same again and again) to 1 (never the same)."""
    mean_return: float


def trajectories(dataset: Dataset, state_key: str = STATE, action_key: str = ACTION) -> list[Trajectory]:
    """Every episode of a dataset.

    Raises:
        ConfigError: a column is missing.
        DatasetError: a file is damaged.
    """
    for key in (state_key, action_key):
        if key not in dataset.features:
            raise ConfigError(f"{dataset.root} has no column '{key}'; it has {', '.join(dataset.features)}")
    found = []
    for index in range(dataset.num_episodes):
        columns = dataset.episode(index)
        states, actions = (columns[key].astype(np.float64).reshape(len(columns["index"]), -1)
                           for key in (state_key, action_key))  # fmt: skip
        success = bool(columns[SUCCESS].any()) if SUCCESS in columns else None
        found.append(Trajectory(states, actions, float(reward_of(columns).sum()), success))
    return found


def report(parts: Sequence[Trajectory]) -> QualityReport:
    """Figures of demonstrations, of each and of all.

    Raises:
        ConfigError: there are none.
    """
    if not parts:
        raise ConfigError("there is no demonstration yet")
    everything = np.concatenate([part.pairs for part in parts])
    low, span = everything.min(axis=0), np.ptp(everything, axis=0)
    step = np.where(span > 0, span, 1.0) / CELLS_PER_AXIS

    def cells(values: Numbers) -> set[bytes]:
        grid = np.minimum((values - low) / step, CELLS_PER_AXIS - 1).astype(np.int16)
        return {row.tobytes() for row in grid}

    visited = [cells(part.pairs) for part in parts]
    occupied = set().union(*visited)
    times: dict[bytes, int] = {}
    for each in visited:
        for cell in each:
            times[cell] = times.get(cell, 0) + 1
    values = np.array([part.value for part in parts])
    spread = _spread(np.concatenate([part.actions for part in parts]))
    episodes = tuple(
        EpisodeQuality(
            index=index,
            length=len(part.states),
            value=part.value,
            quality=float((part.value - values.min()) / np.ptp(values)) if np.ptp(values) > 0 else 1.0,
            success=part.success,
            coverage=len(each) / len(occupied),
            own=sum(times[cell] == 1 for cell in each) / len(each),
            roughness=float(np.sqrt(np.mean((np.diff(part.actions, axis=0) / spread) ** 2)))
            if len(part.actions) > 1
            else 0.0,
        )
        for index, (part, each) in enumerate(zip(parts, visited, strict=True))
    )
    return QualityReport(episodes, len(occupied), len(occupied) / len(everything), float(values.mean()))


def return_weights(values: Sequence[float], temperature: float = 0.1) -> Numbers:
    """Weights of trajectories for sampling, mean 1: exp(normalised return / temperature).

    Args:
        values: return of each trajectory.
        temperature: small weighs the best almost alone, large all alike; 0.1 is the paper's.

    Raises:
        ConfigError: no trajectory, or the temperature is not above 0.
    """
    returns = np.asarray(values, dtype=np.float64)
    if returns.size == 0 or not temperature > 0:
        raise ConfigError("weights need at least one trajectory and a temperature above 0")
    normalised = (returns - returns.min()) / np.ptp(returns) if np.ptp(returns) > 0 else np.zeros(returns.shape)
    weights = np.exp((normalised - normalised.max()) / temperature)
    return np.asarray(weights / weights.mean())


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a new demonstration goes together with those so far."""

    accept: bool
    compatibility: float
    """Mean over its time steps in known states, from 0 (contradicts) to 1 (agrees); 1 where all are new."""
    novelty: float
    """Share of its time steps in states that the demonstrations so far do not show."""
    contradictions: tuple[int, ...]
    """Time steps in known states where it acts differently."""
    advice: str
    """For the operator."""


@dataclass(frozen=True)
class CompatibilityConfig:
    """When a demonstration is accepted."""

    neighbours: int = 5
    """Time steps that the expected action is averaged over."""
    threshold: float = 0.7
    """Compatibility from which on it is accepted."""
    quantile: float = 0.95
    """Distances and differences between the demonstrations so far up to this quantile are usual."""
    margin: float = 2.0
    """How many times larger than usual they may be."""


class Compatibility:
    """Knows the demonstrations so far and judges a new one.

    In a known state the action should be close to what was shown there: M = 1 - min(error^2 / lambda^2, 1). In a state
    that is new anything is welcome. The paper averages over both; here the new states are left out, or a demonstration
    that leaves the known ones in the wrong direction would pass by what it does afterwards.

    Args:
        parts: the demonstrations so far, at least two.
        config: when one is accepted.

    Raises:
        ConfigError: there are fewer than two.
    """

    def __init__(self, parts: Sequence[Trajectory], config: CompatibilityConfig | None = None) -> None:
        if len(parts) < 2:
            raise ConfigError("compatibility needs at least two demonstrations to compare with")
        self.config = config or CompatibilityConfig()
        self._states = np.concatenate([part.states for part in parts])
        self._actions = np.concatenate([part.actions for part in parts])
        self._state_scale, self._action_scale = _spread(self._states), _spread(self._actions)
        self._tree = KDTree(self._states / self._state_scale)
        distances, errors = [], []
        for part in parts:  # each against all others: what is usual between people who agree
            others = [other for other in parts if other is not part]
            states = np.concatenate([other.states for other in others])
            actions = np.concatenate([other.actions for other in others])
            tree = KDTree(states / self._state_scale)
            distance, error = self._compare(tree, actions, part)
            distances.append(distance)
            errors.append(error)
        usual = self.config.quantile
        self.known_within = max(self.config.margin * float(np.quantile(np.concatenate(distances), usual)), 1e-9)
        """Distance to known states [standard deviations] up to which a state is known."""
        self.agrees_within = max(self.config.margin * float(np.quantile(np.concatenate(errors), usual)), 1e-9)
        """Difference of actions [standard deviations] up to which they agree in part."""

    def judge(self, part: Trajectory) -> Verdict:
        """Compare a new demonstration with those so far."""
        distance, error = self._compare(self._tree, self._actions, part)
        new = distance > self.known_within
        agreement = np.where(new, 1.0, 1.0 - np.minimum((error / self.agrees_within) ** 2, 1.0))
        compatibility = 1.0 if np.all(new) else float(agreement[~new].mean())
        novelty = float(new.mean())
        contradictions = tuple(int(k) for k in np.flatnonzero(~new & (error > self.agrees_within)))
        accept = compatibility >= self.config.threshold
        if not accept:
            first = contradictions[0] if contradictions else int(np.argmin(agreement))
            advice = (
                f"acts differently from the demonstrations so far in {len(contradictions)} of {len(new)} time steps, "
                f"first at step {first}: show it again their way"
            )
        elif novelty > 0.5:
            advice = "shows mostly new states: show a few more like it"
        else:
            advice = "agrees with the demonstrations so far"
        return Verdict(accept, compatibility, novelty, contradictions, advice)

    def _compare(self, tree: KDTree, actions: Numbers, part: Trajectory) -> tuple[Numbers, Numbers]:
        """Distance to the known states, and difference from the action shown there; (n,) each."""
        count = min(self.config.neighbours, len(actions))
        distance, nearest = tree.query(part.states / self._state_scale, k=count)
        distance, nearest = distance.reshape(len(part.states), -1), nearest.reshape(len(part.states), -1)
        expected = actions[nearest].mean(axis=1)
        error = np.sqrt(np.mean(((part.actions - expected) / self._action_scale) ** 2, axis=1))
        return distance.mean(axis=1), error


def dataset_quality(root: Path) -> tuple[QualityReport, list[Verdict | None]]:
    """Figures of a dataset, and for each episode how it goes together with all others; None below three episodes.

    Raises:
        ConfigError: there is no episode, or a column is missing.
        DatasetError: a file is damaged.
    """
    parts = trajectories(Dataset(root))
    verdicts: list[Verdict | None] = [
        Compatibility([*parts[:k], *parts[k + 1 :]]).judge(part) if len(parts) > 2 else None
        for k, part in enumerate(parts)
    ]
    return report(parts), verdicts


def _spread(values: Numbers) -> Numbers:
    """Standard deviation of each column; 1 where it never changes."""
    deviation = values.std(axis=0)
    return np.where(deviation > 1e-9, deviation, 1.0)
