"""Policies that compute chunks of actions and execute them in a receding horizon."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from hardware.arrays import Array, FloatArray
from hardware.errors import ConfigError, NonFiniteError
from robostack.contract import Contract
from robostack.policies.chunk_blender import ChunkBlender

Images: TypeAlias = NDArray[np.uint8]
"""Newest images of all cameras, RGB, (batch, cameras, height, width, 3)."""


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
    cameras: tuple[str, ...]
    """Cameras it looks through, in order."""
    image_size: int | None
    """Width and height of their images [px]; None without cameras."""

    def predict(self, history: FloatArray, noise: FloatArray, images: Images | None = None) -> FloatArray:
        """Chunks (batch, horizon, num_actions) within the bounds of the action.

        Args:
            history: oldest first, (batch, past, num_observations).
            noise: standard normal, (batch, horizon, num_actions); the same noise, the same chunk.
            images: of its cameras; not looked at by a model without.
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
        self.image_size = model.image_size
        """Width and height of the images that `act` needs [px]; None: none."""
        self.period_s = model.contract.control_period_s
        """Time between two actions [s]."""
        self._rng = np.random.default_rng(seed)
        self._blender = ChunkBlender(self.period_s, settings.blend_steps, increments_of(model.contract))
        self.reset()

    def reset(self) -> None:
        """Forget past observations and the plan; the noise goes on."""
        self._history: FloatArray | None = None
        self._step, self._observed = 0, 0
        self._pending: FloatArray | None = None
        self._blender.reset()

    def act(self, observation: Array | Mapping[str, Array]) -> FloatArray:
        """The action for `observation` (..., num_observations), (..., num_actions).

        A policy with cameras takes what `RobotEnv` observes with them: "state", and each camera's image by its name.

        Raises:
            ConfigError: an image is missing or has another size.
            NonFiniteError: the observation or the result is not finite.
        """
        images = self._images(observation)
        vector = observation["state"] if isinstance(observation, Mapping) else observation
        observation = np.asarray(vector, dtype=np.float64)
        if not np.all(np.isfinite(observation)):
            raise NonFiniteError(f"the observation is not finite: {observation}")
        self._remember(observation.reshape(-1, observation.shape[-1]))
        now, period_s = self._step, self.period_s
        if self._blender.empty:
            self._blender.offer(self._predict(images), now * period_s, now * period_s)
            self._observed = now
        elif self._pending is None and now - self._observed >= self.settings.executed:
            self._pending, self._observed = self._predict(images), now
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

    def _images(self, observation: Array | Mapping[str, Array]) -> Images | None:
        """The newest image of each camera, (batch, cameras, height, width, 3); None for a model without cameras."""
        cameras, size = self.model.cameras, self.model.image_size
        if not cameras:
            return None
        given = observation if isinstance(observation, Mapping) else {}
        if not set(cameras) <= set(given):
            raise ConfigError(
                f"the policy looks through the cameras {', '.join(cameras)} and was given "
                f"{', '.join(given) or 'a vector'}; run it in an environment with images of {size} pixels"
            )
        found = np.stack([np.asarray(given[name]) for name in cameras], axis=-4)
        if found.dtype != np.uint8 or found.shape[-3:] != (size, size, 3):
            raise ConfigError(
                f"images {found.shape[-3:]} of {found.dtype}; the policy needs ({size}, {size}, 3) of uint8"
            )
        return found.reshape(-1, *found.shape[-4:])

    def _predict(self, images: Images | None) -> FloatArray:
        history = self._history
        if history is None:
            raise ConfigError("no observation yet")
        shape = (len(history), self.settings.horizon, self.contract.num_actions)
        chunk = self.model.predict(history, self._rng.standard_normal(shape), images)
        if not np.all(np.isfinite(chunk)):
            raise NonFiniteError(f"the chunk is not finite for observations {history}")
        return chunk


def increments_of(contract: Contract) -> tuple[FloatArray, FloatArray]:
    """Lowest and highest value of each element of the action, (num_actions,); nan where it is no increment.

    Increments are blocks whose unit is a rate (m/s, rad/s) or whose name ends in "displacement".
    """
    rows = [
        (term.low, term.high) if term.unit.endswith("/s") or term.name.endswith("displacement") else (np.nan, np.nan)
        for term in contract.action
        for _ in term.elements
    ]
    low, high = np.array(rows, dtype=np.float64).T
    return low, high
