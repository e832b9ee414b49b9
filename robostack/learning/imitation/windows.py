"""Windows of demonstrations: past observations and the chunk of actions that followed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hardware.arrays import FloatArray
from hardware.errors import ConfigError

Index = NDArray[np.int64]


@dataclass(frozen=True)
class Demonstration:
    """One episode."""

    observation: FloatArray
    """What was observed before each action, (steps, num_observations)."""
    action: FloatArray
    """(steps, num_actions)."""
    total_reward: float = 0.0
    """Sum of rewards."""
    success: bool = True
    """Whether the task was accomplished at the end."""
    images: NDArray[np.uint8] | None = None
    """What the cameras saw before each action, (steps, cameras, size, size, 3) RGB; None: nothing."""


class Windows:
    """One window per frame, padded at the ends of its episode as Diffusion Policy (Chi et al. 2023) does.

    Before the first frame its observation is repeated, after the last one its action.

    Args:
        demonstrations: at least one, none empty.
        past: observations per window, the newest included.
        horizon: actions per window; the first belongs to the newest observation.
        temperature: see `episode_weights`.

    Raises:
        ConfigError: there are no demonstrations, or one is empty or uneven.
    """

    def __init__(
        self, demonstrations: Sequence[Demonstration], past: int, horizon: int, temperature: float = 0.0
    ) -> None:
        lengths = [len(episode.observation) for episode in demonstrations]
        if not lengths or min(lengths) < 1 or lengths != [len(episode.action) for episode in demonstrations]:
            raise ConfigError(
                f"demonstrations of lengths {lengths}: each needs as many actions as observations, above 0"
            )
        self.observations = np.concatenate([episode.observation for episode in demonstrations])
        """(frames, num_observations)."""
        self.actions = np.concatenate([episode.action for episode in demonstrations])
        """(frames, num_actions)."""
        pictures = [episode.images for episode in demonstrations if episode.images is not None]
        self.images = np.concatenate(pictures) if len(pictures) == len(lengths) else None
        """(frames, cameras, size, size, 3); None unless every demonstration has them."""
        ends = np.cumsum(lengths)
        self._first = np.repeat(ends - lengths, lengths)
        self._last = np.repeat(ends - 1, lengths)
        self._past, self._future = np.arange(1 - past, 1), np.arange(horizon)
        weights = episode_weights([episode.total_reward for episode in demonstrations], temperature)
        frames = np.repeat(weights, lengths)
        self._cumulative = np.cumsum(frames / frames.sum())

    def __len__(self) -> int:
        """Number of windows."""
        return len(self.observations)

    def sample(self, rng: np.random.Generator, count: int) -> Index:
        """Draw windows with replacement by the weights of their episodes, (count,)."""
        drawn = np.searchsorted(self._cumulative, rng.random(count), side="right")
        return np.minimum(drawn, len(self) - 1).astype(np.int64)

    def past_frames(self, windows: Index) -> Index:
        """Frames of the observations, oldest first, (count, past)."""
        return np.maximum(windows[:, None] + self._past, self._first[windows][:, None])

    def future_frames(self, windows: Index) -> tuple[Index, NDArray[np.bool_]]:
        """Frames of the actions, (count, horizon), and a mask of the same shape that is False for repeated ones."""
        frames = windows[:, None] + self._future
        last = self._last[windows][:, None]
        return np.minimum(frames, last), frames <= last

    def batch(self, windows: Index) -> tuple[FloatArray, FloatArray, NDArray[np.bool_]]:
        """Observations (count, past, num_observations), actions (count, horizon, num_actions), and which are real."""
        frames, real = self.future_frames(windows)
        return self.observations[self.past_frames(windows)], self.actions[frames], real


def episode_weights(returns: Sequence[float], temperature: float) -> FloatArray:
    """exp((R - max R) / (temperature x std R)), (episodes,); all 1 where the temperature or the spread is 0.

    Exponentiated returns as weights: Peters and Schaal 2007, here with the spread as the unit, so that the temperature
    does not depend on the task's rewards.
    """
    values = np.asarray(returns, dtype=np.float64)
    spread = float(np.std(values))
    if temperature == 0.0 or spread == 0.0:
        return np.ones(len(values))
    weights: FloatArray = np.exp((values - values.max()) / (temperature * spread))
    return weights
