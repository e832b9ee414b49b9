"""Lets a distribution over the dynamics learn from how the episodes of training went."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from hardware.errors import CheckpointError
from robostack.learning.experience import Ended
from sim.randomization.distribution import Distribution, Resumable


class DynamicsSchedule:
    """Collects episodes; every `every` steps the distribution learns from those that began since the last time.

    An episode that began before belongs to dynamics that were drawn from what the distribution was then; it is left
    out, as the distributions' estimates demand.

    Args:
        distribution: what the environments draw from; it is changed in place.
        every: environment steps between updates.
    """

    def __init__(self, distribution: Distribution, every: int) -> None:
        self.distribution, self.every = distribution, every
        self.generation = 0
        """Updates so far."""
        self.left_out = 0
        """Episodes that began before the last update but ended after it."""
        self._ended: list[Ended] = []

    def add(self, ended: list[Ended]) -> None:
        """Take episodes that have ended."""
        for episode in ended:
            if episode.generation == self.generation and episode.dynamics is not None:
                self._ended.append(episode)
            else:
                self.left_out += 1

    def update(self) -> dict[str, float]:
        """Let the distribution learn; what is worth logging. Without any episode it stays as it is."""
        episodes, self._ended = self._ended, []
        self.generation += 1
        if not episodes:
            return {"episodes": 0.0}
        names = [parameter.name for parameter in self.distribution.parameters]
        values = {name: np.array([episode.dynamics[name] for episode in episodes]) for name in names}  # type: ignore[index]
        returns = np.array([episode.total for episode in episodes])
        success = np.array([episode.success for episode in episodes])
        metrics = dict(self.distribution.update(values, returns, success))
        entropy = self.distribution.entropy()
        own = {"episodes": float(len(episodes)), "success": float(success.mean())}
        return own | ({"entropy": entropy} if np.isfinite(entropy) else {}) | metrics

    def state(self) -> dict[str, Any]:
        """What to continue from, ready for JSON. Episodes collected since the last update are part of it."""
        distribution = self.distribution.state() if isinstance(self.distribution, Resumable) else {}
        ended = [
            {"success": episode.success, "total": episode.total, "dynamics": episode.dynamics}
            for episode in self._ended
        ]
        return {"distribution": distribution, "generation": self.generation, "episodes": ended}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from a `state`.

        Raises:
            CheckpointError: it was saved from another distribution, or is damaged.
        """
        try:
            if isinstance(self.distribution, Resumable):
                self.distribution.restore(state["distribution"])
            self.generation = int(state["generation"])
            self._ended = [
                Ended(
                    bool(one["success"]),
                    None,
                    float(one["total"]),
                    {str(name): float(value) for name, value in one["dynamics"].items()},
                    self.generation,
                )
                for one in state["episodes"]
            ]
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise CheckpointError(f"the saved schedule of the dynamics is damaged: {error!r}") from error
