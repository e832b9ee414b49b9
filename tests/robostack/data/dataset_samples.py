"""Small datasets whose every number is known."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from robostack.contract import Contract, contract_of
from robostack.data.features import (
    ACTION,
    CAPTURE_TIME,
    DONE,
    INFO,
    REWARD,
    STATE,
    Feature,
    image_feature,
    vector_feature,
)
from robostack.data.writer import DatasetWriter
from robostack.tasks.task import TASKS

FPS = 10.0
JOINTS = ("a", "b", "c")
CAMERA, STILL = "observation.images.front", "observation.images.still"
NOTE, MATRIX = INFO + "note", INFO + "matrix"
FEATURES = {
    STATE: vector_feature(*JOINTS),
    ACTION: vector_feature(*JOINTS),
    REWARD: Feature("float32", (1,), None),
    DONE: Feature("bool", (1,), None),
    CAPTURE_TIME: Feature("float64", (1,), None),
    CAMERA: image_feature(32, 48),
}
RICH = {
    **FEATURES,
    STILL: image_feature(17, 15, video=False),
    NOTE: Feature("string", (1,), None),
    MATRIX: Feature("float64", (2, 3), None),
}
LENGTHS = (5, 3, 7)


def state(episode: int, step: int) -> np.ndarray:
    return np.array([episode, step, np.sin(3.0 * episode + step)], dtype=np.float32)


def picture(height: int, width: int, episode: int, step: int) -> np.ndarray:
    """Smooth, so that a codec keeps it, and different in each step."""
    image = np.zeros((height, width, 3), dtype=np.uint8)
    image[..., 0] = np.linspace(0, 200, width)
    image[..., 1] = np.linspace(0, 200, height)[:, None]
    image[..., 2] = (40 * episode + 16 * step) % 200
    return image


def frame(episode: int, step: int, length: int, features=FEATURES) -> dict:
    values = {
        STATE: state(episode, step),
        ACTION: -state(episode, step),
        REWARD: float(step),
        DONE: step == length - 1,
        CAPTURE_TIME: step / FPS,
        CAMERA: picture(32, 48, episode, step),
        STILL: picture(17, 15, episode, step),
        NOTE: f"note {episode} {step}",
        MATRIX: np.arange(6.0).reshape(2, 3) + 100 * episode + step,
    }
    return {name: values[name] for name in features}


def open_writer(root: Path, features=FEATURES, **settings) -> DatasetWriter:
    return DatasetWriter(root, **{"fps": FPS, "features": features, "robot_type": "ur5e", **settings})


def record(root: Path, lengths: Sequence[int] = LENGTHS, features=FEATURES, first: int = 0, **settings) -> Path:
    """Record episodes; the tasks are "pick" and, from the third on, "place"."""
    with open_writer(root, features, **settings) as writer:
        for episode, length in enumerate(lengths, start=first):
            for step in range(length):
                writer.add(frame(episode, step, length, features), "pick" if episode < 2 else "place")
            writer.finish_episode()
    return root


def contract() -> Contract:
    return contract_of(TASKS.load("ur5e-reach")())


NUMBERS = {name: item for name, item in FEATURES.items() if name != CAMERA}
"""The columns without pictures, for tests that need none."""
