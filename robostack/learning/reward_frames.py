"""From labelled episodes of a dataset to images that show success, and images that do not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardware.errors import ConfigError, UnknownNameError
from robostack.data.dataset import Dataset
from robostack.data.features import IMAGES, SUCCESS
from robostack.learning.image_demonstrations import episode_images


@dataclass(frozen=True)
class FrameConfig:
    """Which frames are labelled, and how."""

    cameras: tuple[str, ...] = ()
    """Cameras to look through; empty: all of the dataset."""
    positive_frames: int = 2
    """Last frames of a successful episode that show success."""
    unlabelled_frames: int = 3
    """Frames before these that are left out, because nobody knows which they are."""
    label: str = ""
    """Column of the dataset that says for every frame whether it shows success (1), not (0), or is not to be used (-1);
    empty: by the end of the episode, as `next.success` has it."""

    def __post_init__(self) -> None:
        """Check ranges.

        Raises:
            ConfigError: a value is out of range.
        """
        if self.positive_frames < 1 or self.unlabelled_frames < 0:
            raise ConfigError("positive_frames must be at least 1 and unlabelled_frames not negative")


@dataclass(frozen=True)
class LabelledFrames:
    """Images with what they show."""

    images: NDArray[np.uint8]
    """(frames, cameras, size, size, 3), RGB."""
    positive: NDArray[np.bool_]
    """Whether each shows success, (frames,)."""
    episode: NDArray[np.int64]
    """Episode that each is from, (frames,)."""

    def of(self, episodes: Sequence[int]) -> LabelledFrames:
        """Those of some episodes."""
        chosen = np.isin(self.episode, np.asarray(episodes, dtype=np.int64))
        return LabelledFrames(self.images[chosen], self.positive[chosen], self.episode[chosen])


def labelled_frames(root: Path, config: FrameConfig) -> tuple[LabelledFrames, tuple[str, ...]]:
    """The labelled frames of a dataset, and the cameras they are from.

    Without a column of labels, the last frames of successful episodes show success; the earlier ones, and all of
    episodes that failed, do not.

    Raises:
        UnknownNameError: there is no such camera or column.
        ConfigError: the images are not square, or only one kind is there.
        DatasetError: the dataset cannot be read.
    """
    dataset = Dataset(root)
    there = tuple(key.removeprefix(IMAGES) for key in dataset.image_keys if key.startswith(IMAGES))
    for name in config.cameras:
        if name not in there:
            raise UnknownNameError("camera of the dataset", name, there)
    cameras = config.cameras or there
    if not cameras:
        raise ConfigError(f"{root} has no images. Record it with cameras.")
    column = config.label or SUCCESS
    if column not in dataset.features:
        raise UnknownNameError("column of the dataset", column, list(dataset.features))
    images, labels, episodes = [], [], []
    for index in range(dataset.num_episodes):
        label = _labels(dataset.episode(index), config)
        kept = np.flatnonzero(label >= 0)
        if len(kept):
            images.append(episode_images(dataset, index, cameras)[kept])
            labels.append(label[kept] > 0)
            episodes.append(np.full(len(kept), index, dtype=np.int64))
    if not images:
        raise ConfigError(f"{root} has no labelled frame")
    found = LabelledFrames(np.concatenate(images), np.concatenate(labels), np.concatenate(episodes))
    if found.images.shape[2] != found.images.shape[3]:
        raise ConfigError(
            f"{root}: images of {found.images.shape[3]}x{found.images.shape[2]} pixels; they must be square"
        )
    require_both(found, str(root))
    return found, cameras


def _labels(columns: Mapping[str, NDArray[Any]], config: FrameConfig) -> NDArray[np.int64]:
    """1, 0 or -1 for every frame of an episode."""
    if config.label:
        return np.asarray(columns[config.label]).reshape(len(columns["index"]), -1)[:, 0].astype(np.int64)
    count = len(columns["index"])
    labels = np.zeros(count, dtype=np.int64)
    if count and bool(np.asarray(columns[SUCCESS]).reshape(-1)[-1]):
        first = max(0, count - config.positive_frames)
        labels[max(0, first - config.unlabelled_frames) : first] = -1
        labels[first:] = 1
    return labels


def require_both(frames: LabelledFrames, subject: str) -> None:
    """Refuse frames of one kind only.

    Raises:
        ConfigError: all show success, or none does.
    """
    positive = int(frames.positive.sum())
    if positive in (0, len(frames.positive)):
        lacking, kind = ("success", "episodes that succeed") if positive == 0 else ("no success", "episodes that fail")
        raise ConfigError(
            f"{subject}: none of {len(frames.positive)} frames shows {lacking}; a classifier needs both. "
            f"Record {kind}, or name a column of labels."
        )


def split_episodes(frames: LabelledFrames, shares: Sequence[float], seed: int) -> list[list[int]]:
    """Divide the episodes at random, those with and those without success by themselves.

    Args:
        frames: whose episodes.
        shares: of each part but the first, which gets the rest; every part gets at least one episode with success.
        seed: of the division.

    Returns:
        The parts' episodes, ascending; each in one part only.

    Raises:
        ConfigError: there are too few episodes with success.
    """
    rng = np.random.default_rng(seed)
    numbers = np.unique(frames.episode)
    successful = np.array([bool(frames.positive[frames.episode == number].any()) for number in numbers])
    if int(successful.sum()) < len(shares) + 1:
        raise ConfigError(
            f"{int(successful.sum())} episodes show success; to learn, to choose the threshold and to judge on others "
            f"takes at least {len(shares) + 1}. Record more."
        )
    parts: list[list[int]] = [[] for _ in range(len(shares) + 1)]
    for group, least in ((numbers[successful], 1), (numbers[~successful], 0)):
        order, start = rng.permutation(group), 0
        for part, share in enumerate(shares, start=1):
            count = max(least, round(share * len(order)))
            parts[part] += order[start : start + count].tolist()
            start += count
        parts[0] += order[start:].tolist()
    return [sorted(part) for part in parts]
