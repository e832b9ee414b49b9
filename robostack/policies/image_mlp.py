"""A trained policy that looks through cameras, run by numpy: an encoder, and a multi-layer perceptron behind it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from hardware.arrays import FloatArray
from hardware.errors import CheckpointError, ConfigError, NonFiniteError
from robostack.checkpoint import SavedPolicy
from robostack.policies.mlp import MlpPolicy
from robostack.policies.spatial_encoder import SpatialEncoder, stacked


class ImageMlpPolicy:
    """The action for an observation with images: `MlpPolicy` on the features of `SpatialEncoder`.

    Args:
        saved: what the checkpoint holds.

    Raises:
        CheckpointError: an array is missing or has the wrong shape, or the images are of an encoding not known here.
    """

    def __init__(self, saved: SavedPolicy) -> None:
        self.contract = saved.contract
        self.period_s = saved.contract.control_period_s
        """Time between two actions [s]."""
        try:
            blocks = saved.config["images"]
            self.cameras = tuple(str(block["camera"]) for block in blocks)
            shapes = {(*block["shape"], block["encoding"]) for block in blocks}
            unseen = set(saved.config["unseen"])
        except (KeyError, TypeError) as error:
            raise CheckpointError(f"the policy lacks {error}. Use another checkpoint, or train again.") from error
        size = blocks[0]["shape"][0] if blocks else 0
        if shapes != {(size, size, 3, "rgb8")}:
            raise CheckpointError(
                f"images {sorted(map(str, shapes))}; this version takes square ones of one size, rgb8"
            )
        self.image_size: int | None = size
        """Width and height of the images that `act` needs [px]."""
        self._seen = np.array([term.name not in unseen for term in self.contract.observation for _ in term.elements])
        self._mean, self._scale = saved.arrays["observation_mean"], saved.arrays["observation_scale"]
        self._encoder = SpatialEncoder(saved.arrays, len(self.cameras), size)
        self._head = MlpPolicy(_on_features(saved, self._encoder.width), self._encoder.width)

    def reset(self) -> None:
        """There is no memory."""

    def act(self, observation: Any) -> FloatArray:
        """The action for an observation: "state" (..., num_observations), and each camera's image; (..., num_actions).

        Raises:
            ConfigError: an image is missing or has another size.
            NonFiniteError: the observation or the result is not finite.
        """
        if not isinstance(observation, Mapping):
            raise ConfigError(
                f"the policy looks through the cameras {', '.join(self.cameras)} and was given a vector; run it in an "
                f"environment with images of {self.image_size} pixels"
            )
        vector = np.asarray(observation["state"], dtype=np.float64)
        if not np.all(np.isfinite(vector)):
            raise NonFiniteError(f"the observation is not finite: {vector}")
        state = ((vector[..., self._seen] - self._mean) / self._scale).astype(np.float32).reshape(-1, self._mean.size)
        images = stacked(observation, self.cameras, int(self.image_size or 0))
        action = self._head.act(self._encoder(images, state))
        return action.reshape(*vector.shape[:-1], -1)


def _on_features(saved: SavedPolicy, width: int) -> SavedPolicy:
    """The perceptron alone, whose observation is the features."""
    arrays = {name: array for name, array in saved.arrays.items() if not name.startswith("encoder.")}
    arrays |= {"observation_mean": np.zeros(width), "observation_scale": np.ones(width)}
    return SavedPolicy(arrays, saved.contract, saved.config, saved.provenance, saved.sha256)
