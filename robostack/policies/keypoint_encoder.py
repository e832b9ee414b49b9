"""Small convolutional encoder of camera images, run by numpy: where in the image each feature is.

Convolutions with ReLU between, then a spatial softmax (Levine et al. 2016): per channel the expected position of its
response, x and y in [-1, 1]. All cameras share the weights.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardware.errors import CheckpointError, ConfigError

CONVOLUTIONS = ((16, 5, 2), (32, 3, 2), (32, 3, 2))
"""Channels, kernel size and stride of each layer."""
FEATURES = 2 * CONVOLUTIONS[-1][0]
"""Numbers per camera: x and y of each channel of the last layer."""

Array32 = NDArray[np.float32]


def map_width(image_size: int, convolutions: Sequence[tuple[int, int, int]] = CONVOLUTIONS) -> int:
    """Width of the last layer's output for images of this width.

    Raises:
        ConfigError: the image is too small.
    """
    size = image_size
    for _, kernel, stride in convolutions:
        size = (size - kernel) // stride + 1
    if size < 1:
        raise ConfigError(f"images of {image_size} pixels are too small for the encoder; use at least 23")
    return size


def positions(image_size: int) -> Array32:
    """X and y of each place of the last layer, row by row, (size * size, 2)."""
    line = np.linspace(-1.0, 1.0, map_width(image_size), dtype=np.float32)
    return np.stack(np.meshgrid(line, line, indexing="xy"), axis=-1).reshape(-1, 2)


class KeypointEncoder:
    """Runs the arrays `encoder.convolutions.<n>.weight` and `.bias`.

    Args:
        arrays: of a checkpoint.
        image_size: width and height of the images.

    Raises:
        CheckpointError: an array is missing or has the wrong shape.
    """

    def __init__(self, arrays: Mapping[str, NDArray[Any]], image_size: int) -> None:
        self.image_size = image_size
        try:
            self.layers = [
                (arrays[f"encoder.convolutions.{index}.weight"], arrays[f"encoder.convolutions.{index}.bias"])
                for index in range(len(CONVOLUTIONS))
            ]
        except KeyError as error:
            raise CheckpointError(f"the policy lacks {error}. Use another checkpoint, or train again.") from error
        channels = 3
        for (weight, bias), (count, kernel, _) in zip(self.layers, CONVOLUTIONS, strict=True):
            if weight.shape != (count, channels, kernel, kernel) or bias.shape != (count,):
                raise CheckpointError("the encoder's arrays have other shapes than this version's. Train again.")
            channels = count
        self.positions = positions(image_size)

    def __call__(self, images: NDArray[np.uint8]) -> Array32:
        """Features (batch, cameras * FEATURES) of images (batch, cameras, size, size, 3), uint8 RGB."""
        batch, cameras = images.shape[:2]
        hidden = scaled(images).reshape(batch * cameras, *images.shape[2:]).transpose(0, 3, 1, 2)
        for index, ((weight, bias), (_, _, stride)) in enumerate(zip(self.layers, CONVOLUTIONS, strict=True)):
            if index:
                hidden = np.maximum(hidden, 0.0)
            hidden = convolved(hidden, weight, bias, stride)
        flat = hidden.reshape(*hidden.shape[:2], -1)
        share = np.exp(flat - flat.max(axis=-1, keepdims=True))
        share /= share.sum(axis=-1, keepdims=True)
        return np.asarray(share @ self.positions, dtype=np.float32).reshape(batch, -1)


def convolved(hidden: Array32, weight: Array32, bias: Array32, stride: int) -> Array32:
    """A convolution without padding: (batch, fan_in, rows, columns) to (batch, fan_out, ...)."""
    patches = np.lib.stride_tricks.sliding_window_view(hidden, weight.shape[2:], axis=(2, 3))
    patches = patches[:, :, ::stride, ::stride]
    product = np.tensordot(patches, weight, axes=((1, 4, 5), (1, 2, 3))).transpose(0, 3, 1, 2)
    return np.asarray(product + bias[:, None, None], dtype=np.float32)


def scaled(images: NDArray[np.uint8]) -> Array32:
    """Bytes to [-1, 1]."""
    return images.astype(np.float32) * np.float32(1.0 / 127.5) - np.float32(1.0)
