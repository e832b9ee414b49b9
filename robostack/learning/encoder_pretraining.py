"""An encoder of images learned from demonstrations by cloning their actions: what reinforcement learning starts with.

The clone is a policy of its own, in a folder as a learner's checkpoint; `policy.safetensors` in it is what
`ImageSettings.encoder_weights` names. Nothing is learned from but what a robot would record: images, the seen part of
the observation, actions.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hardware.errors import ConfigError
from robostack.checkpoint import atomic_folder, save_policy
from robostack.contract import Contract
from robostack.env import bounds
from robostack.learning.flat_adam import FlatAdam, flatten
from robostack.learning.image_augmentation import shifted
from robostack.learning.image_encoder import ImageEncoder
from robostack.learning.image_input import image_blocks
from robostack.learning.image_settings import ImageSettings, seen_elements
from robostack.learning.imitation.windows import Demonstration
from robostack.learning.torch_actor import SquashedActor
from robostack.learning.torch_backend import torch


@dataclass(frozen=True)
class PretrainingConfig:
    """How the clone is learned."""

    steps: int = 2_000
    """Gradient steps."""
    batch_size: int = 64
    """Moments per step."""
    learning_rate: float = 1e-3
    """Adam step size at its top; it rises over the first tenth and falls to zero along a cosine."""
    hidden: tuple[int, ...] = (256, 256)
    """Widths of the hidden layers behind the encoder."""
    seed: int = 0
    """Of weights, batches and shifts."""

    def __post_init__(self) -> None:
        """Check ranges.

        Raises:
            ConfigError: a value is out of range.
        """
        if min(self.steps, self.batch_size) < 1 or not self.hidden or not self.learning_rate > 0.0:
            raise ConfigError("steps and batch_size must be at least 1, learning_rate positive, hidden not empty")


def pretrain(
    contract: Contract,
    demonstrations: Sequence[Demonstration],
    settings: ImageSettings,
    folder: Path,
    config: PretrainingConfig | None = None,
    on_step: Callable[[int, float], None] | None = None,
) -> Path:
    """Clone demonstrations; minimises |a - policy(o)| over images shifted at random.

    Args:
        contract: of the task.
        demonstrations: with images of the cameras in `settings`.
        settings: what is seen, and the encoder's form.
        folder: where the policy is written.
        config: how it is learned.
        on_step: called after each step with its number and loss.

    Returns:
        The file of weights.

    Raises:
        ConfigError: no camera is named, or there is no demonstration.
    """
    config = config if config is not None else PretrainingConfig()
    if not settings.cameras or not demonstrations:
        raise ConfigError("an encoder is learned from demonstrations with images: name cameras, and record some")
    seen = seen_elements(contract, settings.unseen)
    rng = np.random.Generator(np.random.PCG64(config.seed))
    encoder = ImageEncoder(settings, len(seen), rng)
    actor = SquashedActor(encoder.width, config.hidden, contract.num_actions, rng)
    optimizer = FlatAdam(*flatten([*encoder.parameters(), *actor.parameters()]), config.learning_rate)
    low, high = bounds(contract.action)
    center, half = (low + high) / 2.0, (high - low) / 2.0
    states = np.concatenate([episode.observation[:, seen] for episode in demonstrations]).astype(np.float32)
    wanted = np.concatenate([episode.action for episode in demonstrations])
    wanted = np.clip((wanted - center) / half, -1.0, 1.0).astype(np.float32)
    pictures = np.concatenate([episode.images for episode in demonstrations if episode.images is not None])
    for step in range(config.steps):
        chosen = rng.integers(len(states), size=config.batch_size)
        images = shifted(pictures[chosen], rng, settings.image_shift)
        features = encoder(torch.from_numpy(images), torch.from_numpy(states[chosen]))
        loss = (torch.tanh(actor(features)[0]) - torch.from_numpy(wanted[chosen])).abs().mean()
        optimizer.gradient.zero_()
        loss.backward()
        optimizer.learning_rate = config.learning_rate * _share(step / config.steps)
        optimizer.step()
        if on_step is not None:
            on_step(step + 1, float(loss.detach()))
    arrays = {
        "observation_mean": np.zeros(len(seen)),
        "observation_scale": np.ones(len(seen)),
        "action_center": center,
        "action_half": half,
        "action_low": low,
        "action_high": high,
        **actor.policy_arrays(),
        **encoder.arrays(),
    }
    with atomic_folder(folder) as fresh:
        save_policy(fresh, arrays, contract, _described(settings, config, actor), {"seed": config.seed})
    return folder / "policy.safetensors"


def _described(settings: ImageSettings, config: PretrainingConfig, actor: SquashedActor) -> dict[str, Any]:
    """What `robostack.policies.image_mlp` must know of the policy, and how it was learned."""
    return {
        "kind": "image-mlp",
        "network": {"leak": actor.leak, "normalize": actor.normalize, "epsilon": actor.epsilon},
        "learner": "cloning",
        **{field.name: getattr(settings, field.name) for field in dataclasses.fields(ImageSettings)},
        "images": image_blocks(settings),
        "pretraining": dataclasses.asdict(config),
    }


def _share(progress: float) -> float:
    """Of the learning rate: up in the first tenth, down along a cosine."""
    return progress / 0.1 if progress < 0.1 else 0.5 + 0.5 * math.cos(math.pi * (progress - 0.1) / 0.9)
