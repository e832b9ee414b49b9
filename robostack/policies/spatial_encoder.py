"""Encoder of camera images and the rest of an observation, run by numpy: what SERL's policies look through.

Convolutions with ReLU, one set for all cameras; per camera and channel a few learned maps, over which the last
convolution is summed; per camera a dense layer, LayerNorm and tanh. The rest of the observation passes a dense layer,
LayerNorm and tanh too. After Luo et al. 2024, "SERL", arXiv 2401.16013, with a small network in place of ResNet-10.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardware.errors import CheckpointError, ConfigError
from robostack.policies.keypoint_encoder import convolved, map_width, scaled

CONVOLUTIONS = ((16, 5, 3), (32, 3, 2), (32, 3, 2))
"""Channels, kernel size and stride of each layer."""
EPSILON = 1e-6
"""Added to the variance in LayerNorm."""
PREFIX = "encoder."
"""Of the names of its arrays in a file."""

Array32 = NDArray[np.float32]


def stacked(observation: Mapping[str, Any], cameras: Sequence[str], image_size: int) -> NDArray[np.uint8]:
    """The images of an observation, (batch, cameras, image_size, image_size, 3).

    Args:
        observation: image of each camera, RGB, (..., size, size, 3), by its name.
        cameras: which, in order.
        image_size: what they must measure [px].

    Raises:
        ConfigError: one is missing, or of another size or type.
    """
    given = observation if isinstance(observation, Mapping) else {}
    lacking = [name for name in cameras if name not in given]
    if lacking:
        raise ConfigError(
            f"there is no image of the camera {', '.join(lacking)}; given: {', '.join(given) or 'a vector'}. "
            f"Run it in an environment with images of {image_size} pixels."
        )
    for name in cameras:
        found = np.asarray(given[name])
        if found.dtype != np.uint8 or found.shape[-3:] != (image_size, image_size, 3):
            raise ConfigError(
                f"the camera {name} gives {found.shape[-3:]} of {found.dtype}; needed is "
                f"({image_size}, {image_size}, 3) of uint8, RGB"
            )
    images: NDArray[np.uint8] = np.stack([np.asarray(given[name]) for name in cameras], axis=-4)
    return images.reshape(-1, *images.shape[-4:])


class SpatialEncoder:
    """Runs the arrays of `robostack.learning.image_encoder.ImageEncoder`.

    Args:
        arrays: of a checkpoint, their names beginning with `encoder.`.
        cameras: number of cameras.
        image_size: width and height of the images [px].

    Raises:
        CheckpointError: an array is missing or has the wrong shape.
    """

    def __init__(self, arrays: Mapping[str, NDArray[Any]], cameras: int, image_size: int) -> None:
        try:
            own = {
                name.removeprefix(PREFIX): np.asarray(array, dtype=np.float32)
                for name, array in arrays.items()
                if name.startswith(PREFIX)
            }
            self.layers = [
                (own[f"convolutions.{index}.weight"], own[f"convolutions.{index}.bias"])
                for index in range(len(CONVOLUTIONS))
            ]
            self.embeddings = own["embeddings"]
            self.image = tuple(own[f"image_{part}"] for part in ("weight", "bias", "gain", "shift"))
            self.state = None
            if "state_weight" in own:
                self.state = tuple(own[f"state_{part}"] for part in ("weight", "bias", "gain", "shift"))
        except KeyError as error:
            raise CheckpointError(f"the encoder lacks {error}. Use another checkpoint, or train again.") from error
        channels = 3
        for (weight, bias), (count, kernel, _) in zip(self.layers, CONVOLUTIONS, strict=True):
            if weight.shape != (count, channels, kernel, kernel) or bias.shape != (count,):
                raise CheckpointError("the encoder's convolutions have other shapes than this version's. Train again.")
            channels = count
        if self.embeddings.shape[:3] != (cameras, channels, map_width(image_size, CONVOLUTIONS) ** 2):
            raise CheckpointError(
                f"the encoder's maps {self.embeddings.shape} do not fit {cameras} cameras of {image_size} pixels"
            )

    @property
    def width(self) -> int:
        """Numbers that an observation becomes."""
        return self.image[1].size + (0 if self.state is None else self.state[1].size)

    def __call__(self, images: NDArray[np.uint8], state: Array32 | None = None) -> Array32:
        """Features (batch, width) of images (batch, cameras, size, size, 3), and of states (batch, seen) if any."""
        batch, cameras = images.shape[:2]
        hidden = scaled(images).reshape(batch * cameras, *images.shape[2:]).transpose(0, 3, 1, 2)
        for (weight, bias), (_, _, stride) in zip(self.layers, CONVOLUTIONS, strict=True):
            hidden = np.maximum(convolved(hidden, weight, bias, stride), np.float32(0.0))
        flat = hidden.reshape(batch, cameras, hidden.shape[1], -1)
        summed = np.einsum("bkcx,kcxe->kbce", flat, self.embeddings).reshape(cameras, batch, -1)
        seen = _dense(summed, self.image).transpose(1, 0, 2).reshape(batch, -1)
        if self.state is None or state is None:
            return seen
        return np.concatenate([seen, _dense(state, self.state)], axis=-1)


def _dense(inputs: Array32, layer: tuple[Array32, ...]) -> Array32:
    """tanh(LayerNorm(x W + b) gain + shift)."""
    weight, bias, gain, shift = layer
    hidden = inputs @ weight + bias
    hidden = hidden - np.mean(hidden, axis=-1, keepdims=True)
    square = np.mean(hidden * hidden, axis=-1, keepdims=True)
    return np.asarray(np.tanh(hidden / np.sqrt(square + np.float32(EPSILON)) * gain + shift), dtype=np.float32)
