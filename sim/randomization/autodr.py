"""AutoDR: ranges of the dynamics that grow or shrink at the edges where the policy does well or badly.

OpenAI et al., Solving Rubik's Cube with a Robot Hand, 2019, arXiv 1910.07113, section 5: every parameter is uniform on
its own range, which starts at the nominal value. Some episodes put one parameter on an edge of its range; once enough
returns are known for an edge, their mean decides whether it moves out, moves in or stays.
"""

from __future__ import annotations

import copy
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
    columns,
    described,
    require_episodes,
    require_parameters,
    require_state,
)


@dataclass(frozen=True)
class AutoDrConfig:
    """How the ranges change. The defaults are those of DORAEMON's published comparison where it states them."""

    low_return: float
    """An edge whose mean return is at most this moves in."""
    high_return: float
    """An edge whose mean return is at least this moves out."""
    edge_probability: float = 0.5
    """Share of the episodes that put one parameter on an edge."""
    episodes: int = 20
    """Returns per edge before it is judged."""
    step: float = 0.02
    """How far an edge moves, as a share of the parameter's bounds; published runs swept 0.0083 to 0.0498."""

    def __post_init__(self) -> None:
        """Refuse what cannot work."""
        checks = {
            "low_return must be finite and below high_return": -np.inf < self.low_return < self.high_return < np.inf,
            "edge_probability must lie in (0, 1]": 0.0 < self.edge_probability <= 1.0,
            "episodes must be at least 1": self.episodes >= 1,
            "step must lie in (0, 1]": 0.0 < self.step <= 1.0,
        }
        for message, holds in checks.items():
            if not holds:
                raise ConfigError(f"AutoDR: {message}")


class AutoDrDistribution:
    """Uniform on ranges that follow the policy's returns; see `sim.randomization.distribution`.

    An episode belongs to an edge when its value is exactly that of the edge, so that nothing but values and returns has
    to be carried along, and an episode that began before the edge moved does not count. While a range is still a
    point, an episode at that point counts for both of its edges.

    `log_prob` and `entropy` are those of the uniform on the current ranges: the episodes on edges are probes.

    Args:
        parameters: what is drawn.
        config: how the ranges change.

    Raises:
        ConfigError: a parameter is not sound, or none has room between its bounds.
    """

    def __init__(self, parameters: Sequence[DynamicsParameter], config: AutoDrConfig) -> None:
        self.parameters = require_parameters(parameters)
        self.config = config
        self._bounds = np.array([[item.low, item.high] for item in self.parameters], dtype=np.float64)
        self._free = np.flatnonzero(self._bounds[:, 1] > self._bounds[:, 0])
        if not len(self._free):
            raise ConfigError("AutoDR needs at least one dynamics parameter with room between its bounds")
        self._edges = np.array([[item.nominal, item.nominal] for item in self.parameters], dtype=np.float64)
        self._returns: list[list[list[float]]] = [[[], []] for _ in self.parameters]

    @property
    def ranges(self) -> dict[str, tuple[float, float]]:
        """The current range of each parameter."""
        return {
            item.name: (float(low), float(high)) for item, (low, high) in zip(self.parameters, self._edges, strict=True)
        }

    def sample(self, rng: np.random.Generator, count: int) -> Samples:
        """Draw `count` sets of parameters, each (count,); some with one parameter on an edge."""
        drawn = rng.uniform(self._edges[:, 0], self._edges[:, 1], (count, len(self.parameters)))
        on_edge = np.flatnonzero(rng.random(count) < self.config.edge_probability)
        which = rng.choice(self._free, len(on_edge))
        drawn[on_edge, which] = self._edges[which, rng.integers(0, 2, len(on_edge))]
        return {parameter.name: drawn[:, index] for index, parameter in enumerate(self.parameters)}

    def log_prob(self, values: Mapping[str, FloatArray]) -> FloatArray:
        """Logarithm of the joint density, (count,); a range that is a point counts like a constant."""
        matrix = columns(self.parameters, values)
        inside = ((matrix >= self._edges[:, 0]) & (matrix <= self._edges[:, 1])).all(axis=-1)
        width = self._edges[:, 1] - self._edges[:, 0]
        return np.where(inside, -np.log(width[width > 0.0]).sum(), -np.inf)

    def entropy(self) -> float:
        """Sum of the logarithms of the ranges' widths [nat]; minus infinity while one of them is a point."""
        width = (self._edges[:, 1] - self._edges[:, 0])[self._free]
        return float(np.log(width).sum()) if (width > 0.0).all() else -np.inf

    def update(
        self, values: Mapping[str, FloatArray], returns: FloatArray, success: NDArray[np.bool_] | None = None
    ) -> Mapping[str, float]:
        """Collect the returns of episodes on edges, and move the edges that have enough.

        Returns:
            moved_out, moved_in: edges that moved; entropy [nat]; width: mean share of the bounds that is in use.

        Raises:
            ConfigError: no episode, or lengths that differ.
            UnknownNameError: a parameter is missing or unknown.
            NonFiniteError: a value or return is not finite.
            LimitViolationError: a value lies outside its bounds.
        """
        episodes = require_episodes(self.parameters, values, returns, success)
        moved = {1.0: 0, -1.0: 0}
        edges = self._edges.copy()
        for index in self._free:
            for side in (0, 1):
                known = self._returns[index][side]
                known.extend(episodes.returns[episodes.matrix[:, index] == edges[index, side]].tolist())
                if len(known) >= self.config.episodes:
                    direction = self._verdict(float(np.mean(known)))
                    known.clear()
                    moved_edge = self._moved(int(index), side, direction)
                    if moved_edge != self._edges[index, side]:
                        self._edges[index, side] = moved_edge
                        moved[direction] += 1
        bounds = self._bounds[self._free]
        width = (self._edges[self._free, 1] - self._edges[self._free, 0]) / (bounds[:, 1] - bounds[:, 0])
        return {
            "moved_out": float(moved[1.0]),
            "moved_in": float(moved[-1.0]),
            "entropy": self.entropy(),
            "width": float(width.mean()),
        }

    def state(self) -> dict[str, Any]:
        """What was learned, ready for JSON."""
        return {
            **described("autodr", self.parameters),
            "edges": self._edges.tolist(),
            "returns": copy.deepcopy(self._returns),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from a `state`.

        Raises:
            CheckpointError: it was saved from another distribution or other parameters, or is damaged.
        """
        require_state(state, "autodr", self.parameters)
        try:
            edges = np.array(state["edges"], dtype=np.float64)
            returns = [[[float(value) for value in side] for side in sides] for sides in state["returns"]]
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"the saved AutoDR distribution is damaged: {error!r}") from error
        if edges.shape != self._edges.shape or [len(sides) for sides in returns] != [2] * len(self.parameters):
            raise CheckpointError("the saved AutoDR distribution is damaged: some edges or returns are missing")
        self._edges, self._returns = edges, returns

    def _verdict(self, mean: float) -> float:
        """1: the edge moves out, -1: in, 0: stays."""
        if mean >= self.config.high_return:
            return 1.0
        return -1.0 if mean <= self.config.low_return else 0.0

    def _moved(self, index: int, side: int, direction: float) -> float:
        """Where the edge goes: never beyond the bounds, and never past the nominal value."""
        low, high = self._bounds[index]
        nominal = self.parameters[index].nominal
        target = self._edges[index, side] + (1.0 if side else -1.0) * direction * self.config.step * (high - low)
        return float(np.clip(target, nominal, high) if side else np.clip(target, low, nominal))


DISTRIBUTION = DistributionEntry(
    distribution="sim.randomization.autodr:AutoDrDistribution",
    config="sim.randomization.autodr:AutoDrConfig",
    summary="AutoDR: ranges grow at the edges where the policy does well",
)
