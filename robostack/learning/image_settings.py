"""Settings of learning from images, shared by learners and by the classifier of success."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hardware.errors import ConfigError, UnknownNameError
from robostack.contract import Contract
from robostack.learning.image_augmentation import SHIFT_MAX


@dataclass(frozen=True)
class ImageSettings:
    """What is seen, and how it is encoded. The numbers are SERL's (Luo et al. 2024, arXiv 2401.16013)."""

    cameras: tuple[str, ...] = ()
    """Cameras to look through besides the observation, in order; empty: none."""
    image_size: int = 84
    """Width and height of their images [px]."""
    unseen: tuple[str, ...] = ()
    """Blocks of the observation that the policy must not see, such as what only a simulation knows. With cameras
    only."""
    spatial_embeddings: int = 8
    """Learned maps per channel, over which the last convolution is summed."""
    image_features: int = 256
    """Numbers that each camera's image becomes."""
    state_features: int = 64
    """Numbers that the rest of the observation becomes."""
    image_shift: int = SHIFT_MAX
    """Largest random shift of an image in training [px]; 0: none."""
    encoder_weights: str = ""
    """File of weights (safetensors) that the encoder starts with; empty: random ones."""
    freeze_convolutions: bool = False
    """Keep the convolutions as `encoder_weights` has them. Their outputs are then computed once per image and stored in
    place of the image."""
    shift_versions: int = 4
    """With frozen convolutions: how many shifted versions of an image are stored."""
    encoder_learning_rate: float = 3e-4
    """Adam step size of the encoder."""

    def check_images(self) -> None:
        """Check ranges.

        Raises:
            ConfigError: a value is out of range, or does not go with the others.
        """
        name = type(self).__name__
        for key in ("image_size", "spatial_embeddings", "image_features", "state_features", "shift_versions"):
            if getattr(self, key) < 1:
                raise ConfigError(f"{name}.{key} = {getattr(self, key)} must be at least 1")
        if not self.encoder_learning_rate > 0.0 or self.image_shift < 0:
            raise ConfigError(f"{name}: encoder_learning_rate must be positive and image_shift not negative")
        if len(set(self.cameras)) != len(self.cameras):
            raise ConfigError(f"{name}.cameras = {self.cameras} names one twice")
        if not self.cameras and (self.unseen or self.encoder_weights or self.freeze_convolutions):
            raise ConfigError(f"{name}: unseen, encoder_weights and freeze_convolutions are for policies with cameras")
        if self.freeze_convolutions and not self.encoder_weights:
            raise ConfigError(
                f"{name}.freeze_convolutions keeps random weights for ever; name a file of trained ones in "
                "encoder_weights"
            )


def seen_elements(contract: Contract, unseen: Sequence[str]) -> NDArray[np.intp]:
    """Places in the observation of what does not belong to the blocks `unseen`, (seen,).

    Raises:
        UnknownNameError: the observation has no such block.
        ConfigError: several observations are stacked.
    """
    names = [term.name for term in contract.observation]
    for name in unseen:
        if name not in names:
            raise UnknownNameError("block of the observation", name, names)
    if unseen and contract.history > 1:
        raise ConfigError(f"task '{contract.task}' stacks {contract.history} observations; none of it can be unseen")
    if not unseen:
        return np.arange(contract.num_observations * contract.history)
    shown = [term.name not in unseen for term in contract.observation for _ in term.elements]
    return np.flatnonzero(shown)
