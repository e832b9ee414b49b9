"""From a dataset on disk to demonstrations in memory."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardware.arrays import FloatArray
from hardware.errors import ConfigError
from robostack.contract import Contract, contract_of
from robostack.data.dataset import Dataset
from robostack.data.features import ACTION, IMAGES, REWARD, STATE, SUCCESS
from robostack.learning.imitation.windows import Demonstration
from robostack.tasks.task import TASKS


def load_demonstrations(
    root: Path, task: str | None = None, only_successes: bool = True, cameras: Sequence[str] = ()
) -> tuple[list[Demonstration], Contract]:
    """Every episode of a dataset, and the contract of the task that was demonstrated.

    Columns read: `observation.state` (the task's observation), `action` (the task's action), `next.reward` and
    `next.success` where there are any.

    Args:
        root: folder of the dataset.
        task: name of the task, for a dataset that carries no contract.
        only_successes: leave out episodes whose last `next.success` is false.
        cameras: whose images to read, too: columns `observation.images.<camera>`, square.

    Raises:
        DatasetError: the dataset cannot be read.
        ConfigError: it has no contract and no task is named, lacks a column, or holds no usable episode.
    """
    dataset = Dataset(root)
    contract = dataset.contract
    if task is not None:
        contract = contract_of(TASKS.load(task)())
    if contract is None:
        raise ConfigError(f"{root} carries no contract; name the task that was demonstrated with --task")
    lacking = {STATE, ACTION, *(IMAGES + name for name in cameras)} - set(dataset.features)
    if lacking:
        raise ConfigError(f"{root} lacks the column {', '.join(sorted(lacking))}; it has {', '.join(dataset.features)}")
    if abs(dataset.fps * contract.control_period_s - 1.0) > 0.01:
        raise ConfigError(
            f"{root} was recorded at {dataset.fps:g} Hz, task '{contract.task}' acts at "
            f"{1.0 / contract.control_period_s:g} Hz. Record it again at that rate."
        )
    episodes = [demonstration(dataset.episode(index)) for index in range(dataset.num_episodes)]
    kept = [
        dataclasses.replace(episode, images=_images(dataset, index, cameras)) if cameras else episode
        for index, episode in enumerate(episodes)
        if episode.success or not only_successes
    ]
    if not kept:
        raise ConfigError(f"{root}: none of {len(episodes)} episodes is a success; record some, or use --keep-failures")
    return kept, contract


def _images(dataset: Dataset, index: int, cameras: Sequence[str]) -> NDArray[np.uint8]:
    """What the cameras saw in an episode, (steps, cameras, size, size, 3)."""
    found = np.stack([np.stack(list(dataset.images(index, IMAGES + name))) for name in cameras], axis=1)
    if found.shape[2] != found.shape[3]:
        raise ConfigError(f"{dataset.root}: images of {found.shape[3]}x{found.shape[2]} pixels; they must be square")
    return found


def demonstration(columns: Mapping[str, NDArray[Any]]) -> Demonstration:
    """One episode from its columns; without `next.success` it counts as a success."""

    def matrix(name: str) -> FloatArray:
        values = np.asarray(columns[name], dtype=np.float64)
        return values.reshape(len(values), -1)

    total = float(np.sum(columns[REWARD])) if REWARD in columns else 0.0
    success = bool(columns[SUCCESS][-1]) if SUCCESS in columns and len(columns[SUCCESS]) else True
    return Demonstration(matrix(STATE), matrix(ACTION), total, success)


def sha256_of(demonstrations: Sequence[Demonstration]) -> str:
    """Hash of what is learned from, to tell one set of demonstrations from another."""
    digest = hashlib.sha256()
    for episode in demonstrations:
        digest.update(str((episode.observation.shape, episode.action.shape, episode.total_reward)).encode())
        digest.update(np.ascontiguousarray(episode.observation).tobytes())
        digest.update(np.ascontiguousarray(episode.action).tobytes())
        if episode.images is not None:
            digest.update(np.ascontiguousarray(episode.images).tobytes())
    return digest.hexdigest()
