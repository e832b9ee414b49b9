"""Judges from images whether a task is accomplished; run by numpy, as trained by `robostack reward train`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardware.arrays import FloatArray
from hardware.errors import CheckpointError, ConfigError
from robostack.checkpoint import load_arrays
from robostack.policies.spatial_encoder import EPSILON, SpatialEncoder, stacked

STEM = "classifier"
"""Of the two files that a classifier consists of."""


class SuccessClassifier:
    """sigmoid(w relu(LayerNorm(W f + b)) + c), f the encoder's features of all cameras.

    Args:
        arrays: weights by name.
        meta: `images` (camera, shape, encoding of each), `threshold`, and what else is worth knowing.

    Raises:
        CheckpointError: something is missing or has the wrong shape.
    """

    def __init__(self, arrays: Mapping[str, NDArray[Any]], meta: Mapping[str, Any]) -> None:
        self.meta = dict(meta)
        try:
            blocks = meta["images"]
            self.cameras = tuple(str(block["camera"]) for block in blocks)
            """Cameras it looks through, in order."""
            self.image_size = int(blocks[0]["shape"][0])
            """Width and height of their images [px]."""
            self.threshold = float(meta["threshold"])
            """Probability from which on it says success."""
            self._hidden = tuple(arrays[f"hidden_{part}"] for part in ("weight", "bias", "gain", "shift"))
            self._output = arrays["output_weight"], arrays["output_bias"]
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise CheckpointError(f"the classifier lacks {error}. Train it again.") from error
        if any(
            block["shape"] != [self.image_size, self.image_size, 3] or block["encoding"] != "rgb8" for block in blocks
        ):
            raise CheckpointError("the classifier's images are not square, of one size and rgb8. Train it again.")
        self._encoder = SpatialEncoder(arrays, len(self.cameras), self.image_size)

    def probability(self, observation: Mapping[str, Any]) -> FloatArray:
        """Probability of success, (batch,).

        Args:
            observation: image of each camera, RGB, (..., size, size, 3), by its name.

        Raises:
            ConfigError: an image is missing or has another size.
        """
        return self.of_images(stacked(observation, self.cameras, self.image_size))

    def of_images(self, images: NDArray[np.uint8]) -> FloatArray:
        """The same for images (batch, cameras, size, size, 3)."""
        if images.shape[1:] != (len(self.cameras), self.image_size, self.image_size, 3):
            raise ConfigError(
                f"images {images.shape[1:]}; the classifier takes those of {len(self.cameras)} cameras, "
                f"{self.image_size}x{self.image_size}"
            )
        weight, bias, gain, shift = self._hidden
        hidden = self._encoder(images) @ weight + bias
        hidden = hidden - np.mean(hidden, axis=-1, keepdims=True)
        square = np.mean(hidden * hidden, axis=-1, keepdims=True)
        hidden = np.maximum(hidden / np.sqrt(square + np.float32(EPSILON)) * gain + shift, np.float32(0.0))
        weight, bias = self._output
        logit = (hidden @ weight + bias)[:, 0].astype(np.float64)
        return 0.5 * (1.0 + np.tanh(0.5 * logit))

    def success(self, observation: Mapping[str, Any]) -> bool:
        """Whether the task is accomplished, of one observation."""
        return bool(self.probability(observation)[0] >= self.threshold)


def load_classifier(folder: Path) -> SuccessClassifier:
    """The classifier in a folder.

    Raises:
        CheckpointError: a file is missing or damaged.
    """
    return SuccessClassifier(*load_arrays(Path(folder), STEM))
