"""The scale of temporal-difference errors, after Schaul et al. 2021 (arXiv 2105.05347), as AVG uses it."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from hardware.arrays import FloatArray
from robostack.learning.normalization import RunningMoments

VARIANCE_MIN = 1e-4
"""Floor of the squared scale."""
VARIANCE_TRUSTED = 0.01
"""Below this, and before any return was seen, the scale is 1."""


class TdScale:
    """sigma^2 = Var[r] + Var[gamma] E[G^2], with G the undiscounted return of an episode.

    Args:
        discount: per-step discount of a step that did not terminate.
        reset_on_truncation: whether a time limit starts a new return. The incomplete one is not counted. False lets G
            run on over time limits, as the published code does.
    """

    def __init__(self, discount: float, reset_on_truncation: bool = True) -> None:
        self.discount_factor, self.reset_on_truncation = discount, reset_on_truncation
        self.state: FloatArray = np.zeros(10)
        """Moments of reward, discount and squared return, three numbers each, and the return so far, (10,)."""
        self.reward, self.discount, self.squared_return = (
            RunningMoments(self.state[index : index + 3]) for index in (0, 3, 6)
        )

    @property
    def episode_return(self) -> float:
        """G of the episode so far."""
        return float(self.state[9])

    @episode_return.setter
    def episode_return(self, value: float) -> None:
        self.state[9] = value

    def update(self, reward: float, terminated: bool, truncated: bool) -> None:
        """Take in one step; `reward` with its entropy bonus."""
        self.reward.push(reward)
        self.discount.push(0.0 if terminated else self.discount_factor)
        self.episode_return += reward
        if terminated:
            self.squared_return.push(self.episode_return**2)
        if terminated or (truncated and self.reset_on_truncation):
            self.episode_return = 0.0

    def sigma(self) -> float:
        """What a temporal-difference error is divided by."""
        variance = max(self.reward.variance + self.discount.variance * self.squared_return.mean, VARIANCE_MIN)
        if variance <= VARIANCE_TRUSTED and self.squared_return.count == 0:
            return 1.0
        return math.sqrt(variance)

    def to_dict(self) -> dict[str, list[float]]:
        """The state, exact in JSON."""
        state: dict[str, list[float]] = {name: moments.state.tolist() for name, moments in self._moments().items()}
        return {**state, "episode_return": [self.episode_return]}

    def from_dict(self, state: Mapping[str, list[float]]) -> None:
        """Take over what `to_dict` gave."""
        for name, moments in self._moments().items():
            moments.state[:] = state[name]
        (self.episode_return,) = state["episode_return"]

    def _moments(self) -> dict[str, RunningMoments]:
        return {"reward": self.reward, "discount": self.discount, "squared_return": self.squared_return}
