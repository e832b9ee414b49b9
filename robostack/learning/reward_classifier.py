"""A classifier of success, learned from images: what rewards a robot where nothing else says that it is done.

The encoder of `image_encoder`, then 256 units with dropout, LayerNorm and ReLU, and one logit, as in SERL (Luo et al.
2024, arXiv 2401.16013). Batches are half success, half not; every image is shifted at random. Episodes are divided in
three: to learn, to choose the threshold, and to report on.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardware.arrays import FloatArray
from hardware.errors import ConfigError
from robostack.checkpoint import atomic_folder, save_arrays, versions
from robostack.learning.classification_report import Report, choose_threshold, report
from robostack.learning.flat_adam import FlatAdam, flatten
from robostack.learning.image_augmentation import SHIFT_MAX, shifted
from robostack.learning.image_encoder import ImageEncoder, parameter
from robostack.learning.image_input import image_blocks
from robostack.learning.image_settings import ImageSettings
from robostack.learning.reward_frames import FrameConfig, LabelledFrames, labelled_frames, require_both, split_episodes
from robostack.learning.torch_backend import Tensor, to_arrays, torch
from robostack.policies.spatial_encoder import EPSILON
from robostack.policies.success_classifier import STEM, SuccessClassifier

LOOKED_AT = 256
"""Images judged at once."""


@dataclass(frozen=True)
class RewardConfig:
    """How a classifier of success is learned."""

    frames: FrameConfig = field(default_factory=FrameConfig)
    """Which frames show what."""
    steps: int = 400
    """Gradient steps."""
    batch_size: int = 64
    """Images per step and camera, half of them of success."""
    learning_rate: float = 3e-4
    """Adam step size."""
    hidden: int = 256
    """Units behind the encoder."""
    dropout: float = 0.1
    """Share of these left out at random in training."""
    shift: int = SHIFT_MAX
    """Largest random shift of an image in training [px]."""
    encoder_weights: str = ""
    """File of weights (safetensors) that the encoder starts with; empty: random ones."""
    seed: int = 0
    """Of the division of episodes, weights, batches, shifts and dropout."""
    threshold_share: float = 0.2
    """Share of the episodes by which the threshold is chosen."""
    report_share: float = 0.2
    """Share of the episodes that the report is about."""
    false_positives: float = 0.02
    """Largest share of false positives when the threshold is chosen."""

    def __post_init__(self) -> None:
        """Check ranges.

        Raises:
            ConfigError: a value is out of range.
        """
        if min(self.steps, self.hidden) < 1 or self.batch_size < 2 or not self.learning_rate > 0.0 or self.shift < 0:
            raise ConfigError("steps and hidden must be at least 1, batch_size 2, learning_rate positive, shift >= 0")
        if not 0.0 <= self.dropout < 1.0 or not 0.0 <= self.false_positives < 1.0:
            raise ConfigError("dropout and false_positives must lie in [0, 1)")
        shares = (self.threshold_share, self.report_share)
        if not all(0.0 < share < 1.0 for share in shares) or sum(shares) >= 1.0:
            raise ConfigError("threshold_share and report_share must be positive, and leave episodes to learn from")


class RewardNet(torch.nn.Module):
    """Encoder and head.

    Args:
        settings: cameras, image size, widths of the encoder.
        config: width and dropout of the head.
        rng: draws the weights.
    """

    def __init__(self, settings: ImageSettings, config: RewardConfig, rng: np.random.Generator) -> None:
        super().__init__()
        self.encoder = ImageEncoder(settings, 0, rng)
        self.dropout = config.dropout

        def drawn(rows: int, columns: int) -> torch.nn.Parameter:
            limit = math.sqrt(6.0 / (rows + columns))
            return parameter(rng.uniform(-limit, limit, (rows, columns)))

        self.hidden_weight, self.output_weight = drawn(self.encoder.width, config.hidden), drawn(config.hidden, 1)
        self.hidden_bias, self.hidden_shift = (parameter(np.zeros(config.hidden)) for _ in range(2))
        self.hidden_gain, self.output_bias = parameter(np.ones(config.hidden)), parameter(np.zeros(1))

    def forward(self, images: Tensor, rng: np.random.Generator | None = None) -> Tensor:
        """Logits (batch,) of images (batch, cameras, size, size, 3); with `rng`, units are left out as in training."""
        hidden = self.encoder(images) @ self.hidden_weight + self.hidden_bias
        if rng is not None and self.dropout > 0.0:
            kept = rng.random(tuple(hidden.shape), dtype=np.float32) >= self.dropout
            hidden = hidden * torch.from_numpy(kept.astype(np.float32) / np.float32(1.0 - self.dropout))
        normal = torch.nn.functional.layer_norm(hidden, (hidden.shape[1],), eps=EPSILON)
        hidden = torch.relu(normal * self.hidden_gain + self.hidden_shift)
        logit: Tensor = (hidden @ self.output_weight + self.output_bias)[:, 0]
        return logit

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The weights, as `robostack.policies.success_classifier` reads them."""
        head = {name: value.detach() for name, value in self.named_parameters() if not name.startswith("encoder.")}
        return {**self.encoder.arrays(), **to_arrays(head)}


def train_classifier(
    dataset: Path,
    folder: Path,
    config: RewardConfig | None = None,
    on_step: Callable[[int, float], None] | None = None,
) -> Report:
    """Learn a classifier from a dataset of labelled episodes, and write it.

    Args:
        dataset: LeRobot dataset with images.
        folder: where the classifier is written: `classifier.safetensors` and `classifier.json`.
        config: how it is learned.
        on_step: called after each step with its number and loss.

    Returns:
        How good it is on episodes that neither weights nor threshold were chosen by.

    Raises:
        UnknownNameError: there is no such camera or column.
        ConfigError: only one kind of frames is there, or too few episodes.
        DatasetError: the dataset cannot be read.
        CheckpointError: the encoder's weights cannot be read.
    """
    config = config if config is not None else RewardConfig()
    frames, cameras = labelled_frames(dataset, config.frames)
    shares = (config.threshold_share, config.report_share)
    parts = split_episodes(frames, shares, config.seed)
    learned, chosen, judged = (frames.of(part) for part in parts)
    for part, what in ((learned, "to learn from"), (chosen, "to choose the threshold by"), (judged, "to report on")):
        require_both(part, f"{dataset}, the episodes {what}")
    settings = ImageSettings(cameras=cameras, image_size=frames.images.shape[2])
    network = RewardNet(settings, config, np.random.Generator(np.random.PCG64([config.seed, 0])))
    if config.encoder_weights:
        network.encoder.load_arrays(Path(config.encoder_weights))
    fit(network, learned, config, on_step)
    meta: dict[str, Any] = {"images": image_blocks(settings), "threshold": 0.5}
    classifier = SuccessClassifier(network.arrays(), meta)
    threshold = choose_threshold(probabilities(classifier, chosen), chosen.positive, config.false_positives)
    found = report(probabilities(classifier, judged), judged.positive, threshold)
    meta |= {
        "threshold": threshold,
        "config": dataclasses.asdict(config),
        "provenance": {**versions(), "dataset": dataset.name, "frames": len(frames.positive)},
        "episodes": dict(zip(("learn", "threshold", "report"), parts, strict=True)),
        "report": found.figures(),
        "roc": [list(point) for point in found.curve if math.isfinite(point[2])],
    }
    with atomic_folder(folder) as fresh:
        save_arrays(fresh, STEM, network.arrays(), meta)
    return found


def fit(
    network: RewardNet,
    frames: LabelledFrames,
    config: RewardConfig,
    on_step: Callable[[int, float], None] | None = None,
) -> None:
    """Learn from labelled frames of both kinds."""
    rng = np.random.Generator(np.random.PCG64([config.seed, 1]))
    optimizer = FlatAdam(*flatten(network.parameters()), config.learning_rate)
    yes, no = np.flatnonzero(frames.positive), np.flatnonzero(~frames.positive)
    half = config.batch_size // 2
    truth = torch.cat([torch.ones(half), torch.zeros(config.batch_size - half)])
    for step in range(config.steps):
        drawn = np.concatenate([rng.choice(yes, half), rng.choice(no, config.batch_size - half)])
        images = shifted(frames.images[drawn], rng, config.shift)
        logit = network(torch.from_numpy(images), rng)
        loss = torch.nn.functional.binary_cross_entropy_with_logits(logit, truth)
        optimizer.gradient.zero_()
        loss.backward()
        optimizer.step()
        if on_step is not None:
            on_step(step + 1, float(loss.detach()))


def probabilities(classifier: SuccessClassifier, frames: LabelledFrames) -> FloatArray:
    """What a classifier says of frames, (frames,)."""
    parts = [
        classifier.of_images(frames.images[start : start + LOOKED_AT])
        for start in range(0, len(frames.images), LOOKED_AT)
    ]
    return np.concatenate(parts)


def judge_dataset(classifier: SuccessClassifier, dataset: Path, frames: FrameConfig) -> Report:
    """How good a classifier is on another dataset, through its own cameras; errors as `train_classifier`."""
    found, _ = labelled_frames(dataset, dataclasses.replace(frames, cameras=classifier.cameras))
    return report(probabilities(classifier, found), found.positive, classifier.threshold)
