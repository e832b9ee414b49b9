"""Between observations with images and RLPD's networks: what the replay keeps of them, and features to learn from.

The critics' gradient trains the encoder, the actor's does not reach it. The features of what came after a step are
computed with the same weights, without a moving average of their own, as in DrQ-v2 (Yarats et al. 2021,
arXiv 2107.09645). With frozen convolutions the replay keeps their output, of several shifted versions of each image,
in place of the image: a step of learning then costs little more than one without images.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardware.errors import ConfigError, ContractMismatchError
from robostack.learning.flat_adam import FlatAdam, flatten
from robostack.learning.image_augmentation import shifted
from robostack.learning.image_encoder import ImageEncoder
from robostack.learning.image_settings import ImageSettings
from robostack.learning.replay import Field
from robostack.learning.torch_backend import Tensor, torch
from robostack.policies.spatial_encoder import stacked

ENCODING = "rgb8"
"""Three bytes per pixel, red first."""
REMEMBERED = 4
"""Moments whose frames are kept, because the next transition begins with the images that the last one ended with."""


class ImageInput:
    """The encoder, what feeds it, and its optimiser.

    Args:
        settings: cameras, sizes, how it learns.
        states: length of the rest of the observation that is seen.
        rng: draws weights and shifts.
        device: where it computes.

    Raises:
        ConfigError: the images are too small.
        CheckpointError: the weights to start with cannot be read.
    """

    def __init__(self, settings: ImageSettings, states: int, rng: np.random.Generator, device: torch.device) -> None:
        self.settings, self.rng, self.device = settings, rng, device
        self.encoder = ImageEncoder(settings, states, rng)
        if settings.encoder_weights:
            self.encoder.load_arrays(Path(settings.encoder_weights))
        self.encoder.to(device)
        self.frozen = settings.freeze_convolutions
        if self.frozen:
            self.encoder.convolutions.requires_grad_(False)
        learned = [value for value in self.encoder.parameters() if value.requires_grad]
        self.optimizer = FlatAdam(*flatten(learned), settings.encoder_learning_rate)
        self._known: list[tuple[NDArray[np.uint8], NDArray[Any]]] = []

    @property
    def width(self) -> int:
        """Length of the features."""
        return self.encoder.width

    @property
    def field(self) -> Field:
        """What the replay keeps of the images of one moment."""
        size = self.settings.image_size
        if self.frozen:
            return Field((self._versions, *self.encoder.map_shape), "float16")
        return Field((len(self.settings.cameras), size, size, 3), "uint8")

    @property
    def _versions(self) -> int:
        return self.settings.shift_versions if self.settings.image_shift else 1

    def images(self, observation: Mapping[str, Any]) -> NDArray[np.uint8]:
        """The images of an observation, (batch, cameras, size, size, 3).

        Raises:
            ConfigError: one is missing, or of another size or type.
        """
        return stacked(observation, self.settings.cameras, self.settings.image_size)

    def frames(self, images: NDArray[np.uint8]) -> NDArray[Any]:
        """What the replay keeps of images, (batch, *field.shape). The same images, one after the other, the same."""
        if not self.frozen:
            return images
        return np.stack([self._frozen(moment) for moment in images])

    def _frozen(self, moment: NDArray[np.uint8]) -> NDArray[Any]:
        """Output of the convolutions for shifted versions of the images of one moment."""
        for known, maps in self._known:
            if np.array_equal(known, moment):
                return maps
        # Shifts drawn from the images themselves: a resumed run, which has forgotten them, draws the same again.
        rng = np.random.default_rng(zlib.crc32(moment.tobytes()))
        versions = shifted(np.repeat(moment[None], self._versions, axis=0), rng, self.settings.image_shift)
        with torch.no_grad():
            maps = self.encoder.maps(torch.from_numpy(versions).to(self.device)).cpu().numpy().astype(np.float16)
        self._known = [(moment.copy(), maps), *self._known][:REMEMBERED]
        return maps

    def look(self, images: NDArray[np.uint8], state: Tensor) -> Tensor:
        """Features (batch, width) of images as they are, to act."""
        with torch.no_grad():
            found: Tensor = self.encoder(torch.from_numpy(images).to(self.device), state)
        return found

    def features(self, frames: NDArray[Any], state: Tensor, learn: bool) -> Tensor:
        """Features (batch, width) of what the replay kept, each image shifted anew.

        Args:
            frames: (batch, *field.shape).
            state: the rest of the observation, (batch, states).
            learn: whether they can be differentiated by the weights.
        """
        with torch.set_grad_enabled(learn):
            if not self.frozen:
                moved = shifted(frames, self.rng, self.settings.image_shift)
                found: Tensor = self.encoder(torch.from_numpy(moved).to(self.device), state)
                return found
            count, cameras = len(frames), len(self.settings.cameras)
            chosen = self.rng.integers(frames.shape[1], size=(count, cameras))
            maps = frames[np.arange(count)[:, None], chosen, np.arange(cameras)]
            return self.encoder.features(torch.from_numpy(maps).to(self.device).float(), state)

    def learn(self, features: Tensor, slope: Tensor) -> None:
        """One step along the critics' gradient by the features (batch, width)."""
        self.optimizer.gradient.zero_()
        with torch.enable_grad():
            features.backward(slope)  # type: ignore[no-untyped-call]
        self.optimizer.step()

    def blocks(self) -> list[dict[str, Any]]:
        """As `image_blocks`."""
        return image_blocks(self.settings)

    def require_match(self, config: Mapping[str, Any], subject: str) -> None:
        """Refuse unless a policy was trained with the same images and the same part of the observation.

        Raises:
            ContractMismatchError: with each difference.
        """
        mine = {"images": self.blocks(), "unseen": list(self.settings.unseen)}
        stored = {"images": config.get("images"), "unseen": list(config.get("unseen") or ())}
        differences = [(name, stored[name], mine[name]) for name in mine if stored[name] != mine[name]]
        if differences:
            raise ContractMismatchError(subject, differences)

    def tensors(self) -> dict[str, Tensor]:
        """The state by name, for a checkpoint; the tensors themselves."""
        weights = {f"encoder.{name}": value.detach() for name, value in self.encoder.named_parameters()}
        return weights | self.optimizer.tensors("encoder_adam")


def split(observation: Any) -> tuple[Any, Mapping[str, Any]]:
    """The vector and the images of an observation with images.

    Raises:
        ConfigError: it is a vector.
    """
    if not isinstance(observation, Mapping) or "state" not in observation:
        raise ConfigError(
            "the learner looks through cameras and was given an observation without images; make the environment with "
            "an image size"
        )
    return observation["state"], observation


def image_blocks(settings: ImageSettings) -> list[dict[str, Any]]:
    """The images as blocks of the observation, for the checkpoint: camera, shape, encoding."""
    shape = [settings.image_size, settings.image_size, 3]
    return [{"camera": name, "shape": shape, "encoding": ENCODING} for name in settings.cameras]
