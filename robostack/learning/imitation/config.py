"""Settings of imitation learning."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from hardware.errors import ConfigError
from robostack.policies.chunked import ChunkSettings

HeadName = Literal["bc", "diffusion", "flow"]


@dataclass(frozen=True)
class BehaviourCloningConfig:
    """Chunks as the answer of a regression."""

    loss: Literal["l1", "mse"] = "l1"
    """Distance from the demonstrated chunk; l1 as in ACT (Zhao et al. 2023)."""


@dataclass(frozen=True)
class DiffusionConfig:
    """Chunks drawn by denoising."""

    train_steps: int = 100
    """Noise levels in training."""
    draw_steps: int = 10
    """Levels used when a chunk is drawn (DDIM)."""
    prediction: Literal["epsilon", "v", "sample"] = "sample"
    """What the network predicts: the noise, the velocity of Salimans and Ho 2022, or the clean chunk."""


@dataclass(frozen=True)
class FlowMatchingConfig:
    """Chunks drawn by following a velocity field."""

    draw_steps: int = 10
    """Euler steps when a chunk is drawn."""


@dataclass(frozen=True)
class ImitationConfig:
    """How a policy is learned from demonstrations."""

    head: HeadName = "diffusion"
    """How chunks are drawn: bc, diffusion or flow."""
    steps: int = 4_000
    """Gradient steps."""
    batch: int = 128
    """Windows per step."""
    seed: int = 0
    """Of the initial weights, the batches and the noise."""
    learning_rate: float = 1e-3
    """At its top, after the warm-up [1]."""
    warmup: int = 300
    """Steps over which the learning rate rises; afterwards it falls to zero along a cosine."""
    weight_decay: float = 1e-4
    """Of AdamW."""
    width: int = 128
    """Units per layer."""
    blocks: int = 2
    """Residual blocks of the network."""
    average_max: float = 0.999
    """Largest decay of the moving average of the weights, which is what is saved."""
    normalization: Literal["min_max", "quantile"] = "min_max"
    """What maps numbers to [-1, 1]: their extremes, or their 1 % and 99 % quantiles."""
    observation_noise: float = 0.0
    """Standard deviation of noise added to normalised observations in training."""
    cameras: tuple[str, ...] = ()
    """Cameras to look through besides the observation; the dataset's columns `observation.images.<camera>`."""
    hidden: tuple[str, ...] = ()
    """Blocks of the task's observation that the policy must not see, such as what only a simulation knows."""
    mask_padding: bool = False
    """Leave actions past the end of an episode, where the last one is repeated, out of the loss."""
    return_temperature: float = 0.0
    """Sample episodes in proportion to exp((return - best) / (temperature x spread)); 0: all alike."""
    chunk: ChunkSettings = field(default_factory=ChunkSettings)
    """How chunks are computed and executed."""
    bc: BehaviourCloningConfig = field(default_factory=BehaviourCloningConfig)
    """Settings of behaviour cloning."""
    diffusion: DiffusionConfig = field(default_factory=DiffusionConfig)
    """Settings of diffusion."""
    flow: FlowMatchingConfig = field(default_factory=FlowMatchingConfig)
    """Settings of flow matching."""

    def __post_init__(self) -> None:
        """Check ranges.

        Raises:
            ConfigError: a value is out of range.
        """
        if min(self.steps, self.batch, self.width, self.blocks) < 1:
            raise ConfigError("steps, batch, width and blocks must be at least 1")
        if self.learning_rate <= 0.0 or min(self.warmup, self.weight_decay, self.observation_noise) < 0:
            raise ConfigError("learning_rate must be positive; warmup, weight_decay, observation_noise not negative")
        if not 0.0 <= self.average_max < 1.0 or self.return_temperature < 0.0:
            raise ConfigError("average_max must lie in [0, 1) and return_temperature not be negative")
        if not 1 <= self.diffusion.draw_steps <= self.diffusion.train_steps or self.flow.draw_steps < 1:
            raise ConfigError("draw_steps must be at least 1, and at most train_steps for diffusion")
