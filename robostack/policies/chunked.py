"""Policies that compute chunks of actions and execute them in a receding horizon."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from hardware.arrays import Array, FloatArray
from hardware.errors import ConfigError, NonFiniteError
from robostack.contract import Contract
from robostack.policies.chunk_blender import ChunkBlender


@dataclass(frozen=True)
class ChunkSettings:
    """How chunks are computed and executed; stored with the policy."""

    past: int = 2
    """Number of observations that a chunk is computed from, the newest included."""
    horizon: int = 8
    """Actions in a chunk; the first is for the time of the newest observation."""
    executed: int = 4
    """Actions executed before the next chunk is computed."""
    blend_steps: int = 1
    """Steps over which a new chunk is faded in."""
    delay_steps: int = 0
    """Control periods from an observation to the first use of its chunk, where inference is slow."""

    def __post_init__(self) -> None:
        """Check ranges.

        Raises:
            ConfigError: a value is out of range, or a chunk ends before the next one is there.
        """
        if min(self.past, self.horizon, self.executed) < 1 or min(self.blend_steps, self.delay_steps) < 0:
            raise ConfigError(
                f"{self}: past, horizon and executed must be at least 1, blend_steps and delay_steps not negative"
            )
        if self.executed + self.delay_steps > self.horizon:
            raise ConfigError(
                f"executed + delay_steps = {self.executed + self.delay_steps} exceeds the horizon of {self.horizon}: "
                "a chunk would end before the next one is there"
            )


class ChunkModel(Protocol):
    """A function from observations and noise to a chunk, with what it was trained with."""

    contract: Contract
    """Of the task and robot."""
    settings: ChunkSettings
    """How its chunks are meant to be executed."""

    def predict(self, history: FloatArray, noise: FloatArray) -> FloatArray:
        """Chunks (batch, horizon, num_actions) within the bounds of the action.

        Args:
            history: oldest first, (batch, past, num_observations).
            noise: standard normal, (batch, horizon, num_actions); the same noise, the same chunk.
        """
        ...


class ChunkedPolicy:
    """Computes a chunk every `executed` steps and returns one action per call, for one robot or a batch in step.

    With `delay_steps` = d, a chunk computed from the observation of step t is used from step t + d, from its d-th
    action; until then the previous chunk goes on. The first chunk of an episode is waited for.

    Args:
        model: computes the chunks.
        settings: how they are executed; None: as stored with the model. `past` and `horizon` cannot differ from it.
        seed: of the noise that chunks are drawn from.

    Raises:
        ConfigError: `settings` does not fit the model.
    """

    def __init__(self, model: ChunkModel, settings: ChunkSettings | None = None, seed: int = 0) -> None:
        settings = settings if settings is not None else model.settings
        if (settings.past, settings.horizon) != (model.settings.past, model.settings.horizon):
            raise ConfigError(f"the model was trained with {model.settings}; past and horizon cannot be changed")
        self.model, self.settings, self.contract = model, settings, model.contract
        self.period_s = model.contract.control_period_s
        """Time between two actions [s]."""
        self._rng = np.random.default_rng(seed)
        self._blender = ChunkBlender(self.period_s, settings.blend_steps)
        self.reset()

    def reset(self) -> None:
        """Forget past observations and the plan; the noise goes on."""
        self._history: FloatArray | None = None
        self._step, self._observed = 0, 0
        self._pending: FloatArray | None = None
        self._blender.reset()

    def act(self, observation: Array) -> FloatArray:
        """The action for `observation` (..., num_observations), (..., num_actions).

        Raises:
            NonFiniteError: the observation or the result is not finite.
        """
        observation = np.asarray(observation, dtype=np.float64)
        if not np.all(np.isfinite(observation)):
            raise NonFiniteError(f"the observation is not finite: {observation}")
        self._remember(observation.reshape(-1, observation.shape[-1]))
        now, period_s = self._step, self.period_s
        if self._blender.empty:
            self._blender.offer(self._predict(), now * period_s, now * period_s)
            self._observed = now
        elif self._pending is None and now - self._observed >= self.settings.executed:
            self._pending, self._observed = self._predict(), now
        if self._pending is not None and now - self._observed >= self.settings.delay_steps:
            self._blender.offer(self._pending, self._observed * period_s, now * period_s)
            self._pending = None
        action = self._blender.at(now * period_s)
        self._step += 1
        return action.reshape(*observation.shape[:-1], -1)

    def _remember(self, batch: FloatArray) -> None:
        """Append to the history; at the start the first observation stands for those that are missing."""
        if self._history is None:
            self._history = np.repeat(batch[:, None], self.settings.past, axis=1)
        elif batch.shape != self._history[:, 0].shape:
            raise ConfigError(f"observations {batch.shape} after {self._history[:, 0].shape}; call reset() between")
        else:
            self._history = np.concatenate([self._history[:, 1:], batch[:, None]], axis=1)

    def _predict(self) -> FloatArray:
        history = self._history
        if history is None:
            raise ConfigError("no observation yet")
        shape = (len(history), self.settings.horizon, self.contract.num_actions)
        chunk = self.model.predict(history, self._rng.standard_normal(shape))
        if not np.all(np.isfinite(chunk)):
            raise NonFiniteError(f"the chunk is not finite for observations {history}")
        return chunk
