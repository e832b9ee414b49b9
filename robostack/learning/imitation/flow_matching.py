"""Flow matching along straight paths from noise to chunk (Lipman et al. 2023, conditional optimal-transport path)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from hardware.arrays import FloatArray
from robostack.learning.imitation.config import FlowMatchingConfig
from robostack.learning.imitation.head import Predict


class FlowMatching:
    """Learns the velocity x - e of x_t = (1 - t) e + t x, and follows it by Euler steps."""

    noisy = True

    def __init__(self, config: FlowMatchingConfig) -> None:
        self.config = config

    def loss(self, predict: Predict, chunk: Tensor, generator: torch.Generator) -> Tensor:
        """Squared error of each element at a random time, (batch, horizon, actions)."""
        t = torch.rand(len(chunk), generator=generator)
        noise = torch.randn(chunk.shape, generator=generator)
        blend = t[:, None, None]
        return (predict((1.0 - blend) * noise + blend * chunk, t) - (chunk - noise)).square()

    def schedule(self, clip: float) -> FloatArray:
        """Euler's x + v / n by the end point y = x + (1 - t) v of the straight path, so that y can be bounded."""
        count = self.config.draw_steps
        t = np.arange(count) / count
        share = 1.0 / (count * (1.0 - t))
        return np.stack([t, np.ones(count), 1.0 - t, 1.0 - share, share, np.full(count, clip)], axis=1)
