"""How the learning rate and the moving average change over a run."""

from __future__ import annotations

import math

from robostack.learning.imitation.config import ImitationConfig

AVERAGE_POWER = 0.75
"""Of the warm-up of the average (Karras; the value of Diffusion Policy)."""


def learning_rate(step: int, config: ImitationConfig) -> float:
    """Linear warm-up, then a cosine that ends at zero with the run."""
    if step < config.warmup:
        return config.learning_rate * (step + 1) / config.warmup
    share = (step - config.warmup) / max(1, config.steps - config.warmup)
    return config.learning_rate * 0.5 * (1.0 + math.cos(math.pi * min(share, 1.0)))


def average_decay(step: int, highest: float) -> float:
    """Decay of the average after `step` steps: 1 - (1 + step)^-0.75, at most `highest`."""
    return min(highest, 1.0 - (1.0 + step) ** -AVERAGE_POWER)
