"""Demonstrations with images as transitions, for learners that look through cameras."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardware.errors import ConfigError
from robostack.data.dataset import Dataset
from robostack.data.demonstrations import Demonstrations
from robostack.data.features import IMAGES
from robostack.learning.learner import Transition


@dataclass(frozen=True)
class ImageDemonstrations:
    """Transitions whose observations have images: "state", and the image of each camera."""

    steps: Demonstrations
    """Everything but the images."""
    cameras: tuple[str, ...]
    """Cameras, in order."""
    images: tuple[NDArray[np.uint8], ...]
    """What they saw, one array per episode of `steps`, (rows, cameras, size, size, 3)."""

    def transitions(self) -> Iterator[Transition]:
        """One after the other, with their source and weight."""
        numbers, starts = np.unique(self.steps.episode, return_index=True)
        episodes = dict(zip(numbers.tolist(), zip(starts.tolist(), self.images, strict=True), strict=True))
        for index, transition in enumerate(self.steps.transitions()):
            start, images = episodes[int(self.steps.episode[index])]
            row = index - start
            yield Transition(
                self._seen(transition.observation, images[row]),
                transition.action,
                transition.reward,
                # What came after the last step was not recorded; a step that ended the episode does not need it.
                self._seen(transition.next_observation, images[min(row + 1, len(images) - 1)]),
                transition.terminated,
                transition.truncated,
                transition.source,
                transition.weight,
            )

    def _seen(self, state: Any, images: NDArray[np.uint8]) -> Any:
        return {"state": state, **dict(zip(self.cameras, images, strict=True))}


def with_images(steps: Demonstrations, root: Path, cameras: Sequence[str]) -> ImageDemonstrations:
    """Add the images of a dataset to its transitions.

    Args:
        steps: read from the dataset (`robostack.data.demonstrations.read_demonstrations`).
        root: folder of the dataset.
        cameras: columns `observation.images.<camera>`.

    Raises:
        ConfigError: the dataset has no images of a camera.
        DatasetError: it cannot be read.
    """
    dataset = Dataset(root)
    lacking = [name for name in cameras if IMAGES + name not in dataset.image_keys]
    if lacking or not cameras:
        raise ConfigError(
            f"{root} has no images of the camera {', '.join(lacking) or '(none is named)'}; it has "
            f"{', '.join(key.removeprefix(IMAGES) for key in dataset.image_keys) or 'none'}"
        )
    images = tuple(episode_images(dataset, int(index), cameras) for index in np.unique(steps.episode))
    return ImageDemonstrations(steps, tuple(cameras), images)


def episode_images(dataset: Dataset, index: int, cameras: Sequence[str]) -> NDArray[np.uint8]:
    """What the cameras saw in an episode, (rows, cameras, size, size, 3)."""
    return np.stack([np.stack(list(dataset.images(index, IMAGES + name))) for name in cameras], axis=1)
