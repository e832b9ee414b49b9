"""The network behind chunk policies, run by numpy, and the loop that draws a chunk with it.

One loop serves behaviour cloning, diffusion and flow matching. It starts from noise x and applies, for each row
(t, p, q, r, s, c) of a schedule,

    y = clip(p x + q network(x, t, observations), -c, c)    an estimate of the chunk
    x = r x + s y                                           the step towards it

Behaviour cloning is one row (0, 0, 1, 0, 1, c): the network's output is the chunk, whatever the noise.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardware.arrays import FloatArray
from hardware.config import load_config
from hardware.errors import CheckpointError, ConfigError
from robostack.checkpoint import SavedPolicy
from robostack.policies.chunked import ChunkSettings, Images
from robostack.policies.keypoint_encoder import FEATURES, KeypointEncoder

TIME_FEATURES = 32
"""Length of the embedding of t."""
TIME_SCALE = 1000.0
"""t in [0, 1] is embedded as a position of up to this, as in the sinusoidal embedding of Vaswani et al. 2017."""
OBSERVATION_CLIP = 3.0
"""Largest normalised observation; an almost constant one must not explode where a demonstration never was."""
EPSILON = 1e-5
"""Of the layer normalisation."""

Array32 = NDArray[np.float32]


def time_embedding(t: FloatArray) -> FloatArray:
    """Sines and cosines of t at geometric frequencies, (n,) to (n, TIME_FEATURES)."""
    half = TIME_FEATURES // 2
    frequency = np.exp(-math.log(10_000.0) * np.arange(half) / (half - 1))
    phase = TIME_SCALE * np.asarray(t, dtype=np.float64)[:, None] * frequency
    return np.concatenate([np.sin(phase), np.cos(phase)], axis=-1)


class ChunkNetwork:
    """h = W x;  h += W2 silu(W1 norm(h) + V silu(C [observations, t]))  per block;  output = O norm(h).

    Args:
        saved: what the checkpoint holds.

    Raises:
        CheckpointError: an array is missing or has the wrong shape.
    """

    def __init__(self, saved: SavedPolicy) -> None:
        self.contract = saved.contract
        self.cameras: tuple[str, ...] = tuple(saved.config.get("cameras", ()))
        """Cameras it looks through, in order."""
        self.image_size = int(saved.config.get("image_size", 0)) if self.cameras else None
        """Width and height of their images [px]; None without cameras."""
        self.encoder = KeypointEncoder(saved.arrays, self.image_size) if self.image_size is not None else None
        self.settings = load_config(ChunkSettings, saved.config.get("chunk", {}))
        arrays = saved.arrays
        try:
            self.schedule = np.asarray(arrays["schedule"], dtype=np.float64)
            """Rows (t, p, q, r, s, c), (steps, 6)."""
            self.center, self.half = arrays["observation_center"], arrays["observation_half"]
            self.action_center, self.action_half = arrays["action_center"], arrays["action_half"]
            self.low, self.high = arrays["action_low"], arrays["action_high"]
            self.input, self.output = _layer(arrays, "input"), _layer(arrays, "output")
            self.condition, self.context_time = _layer(arrays, "condition"), arrays["time.weight"]
            count = sum(name.endswith(".first.weight") for name in arrays)
            self.blocks = [
                (
                    *_layer(arrays, f"blocks.{index}.first"),
                    arrays[f"blocks.{index}.context.weight"],
                    *_layer(arrays, f"blocks.{index}.second"),
                )
                for index in range(count)
            ]
        except KeyError as error:
            raise CheckpointError(f"the policy lacks {error}. Use another checkpoint, or train again.") from error
        self._require_shapes()
        embedded = time_embedding(self.schedule[:, 0]).astype(np.float32)
        self.times: Array32 = embedded @ self.context_time.T
        """What each row's t adds to the context, (steps, width)."""

    def _require_shapes(self) -> None:
        contract, settings = self.contract, self.settings
        chunk = settings.horizon * contract.num_actions
        width = self.input[0].shape[0]
        fits = self.input[0].shape == (width, chunk) and self.output[0].shape == (chunk, width)
        seen = settings.past * contract.num_observations + FEATURES * len(self.cameras)
        fits &= self.condition[0].shape == (width, seen)
        fits &= self.center.shape == (contract.num_observations,) and self.low.shape == (contract.num_actions,)
        fits &= all(block[0].shape == block[2].shape == block[3].shape == (width, width) for block in self.blocks)
        if not fits or self.schedule.ndim != 2 or self.schedule.shape[1] != 6:
            raise CheckpointError("the arrays of the chunk policy do not fit its contract. Use another checkpoint.")

    def predict(self, history: FloatArray, noise: FloatArray, images: Images | None = None) -> FloatArray:
        """Chunks (batch, horizon, num_actions); see `robostack.policies.chunked.ChunkModel`."""
        scaled = (np.asarray(history, dtype=np.float64) - self.center) / self.half
        flat = np.clip(scaled, -OBSERVATION_CLIP, OBSERVATION_CLIP).reshape(len(history), -1).astype(np.float32)
        if self.encoder is not None:
            if images is None:
                raise ConfigError(f"the policy needs images of the cameras {', '.join(self.cameras)}")
            flat = np.concatenate([flat, self.encoder(images)], axis=-1)
        observed = flat @ self.condition[0].T + self.condition[1]
        x: Array32 = np.asarray(noise, dtype=np.float32).reshape(len(noise), -1)
        for (_, p, q, r, s, clip), time in zip(self.schedule.tolist(), self.times, strict=True):
            # Python's numbers leave float32 arrays as they are.
            estimate: Array32 = np.clip(p * x + q * self._forward(x, observed + time), -clip, clip)
            x = r * x + s * estimate
        chunk = x.reshape(noise.shape).astype(np.float64) * self.action_half + self.action_center
        return np.clip(chunk, self.low, self.high)

    def _forward(self, x: Array32, context: Array32) -> Array32:
        context = _silu(context)
        hidden = x @ self.input[0].T + self.input[1]
        for first, first_bias, mixed, second, second_bias in self.blocks:
            inner = _norm(hidden) @ first.T + first_bias + context @ mixed.T
            hidden = hidden + _silu(inner) @ second.T + second_bias
        out: Array32 = _norm(hidden) @ self.output[0].T + self.output[1]
        return out


def _layer(arrays: Mapping[str, NDArray[Any]], name: str) -> tuple[Array32, Array32]:
    return arrays[f"{name}.weight"], arrays[f"{name}.bias"]


def _silu(x: Array32) -> Array32:
    with np.errstate(over="ignore"):  # exp(-x) = inf gives the right limit, 0
        return np.asarray(x / (1.0 + np.exp(-x)), dtype=np.float32)


def _norm(x: Array32) -> Array32:
    centered = x - x.mean(axis=-1, keepdims=True)
    variance = np.mean(centered * centered, axis=-1, keepdims=True)
    return np.asarray(centered / np.sqrt(variance + EPSILON), dtype=np.float32)
