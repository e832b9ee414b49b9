"""Diffusion Policy (Chi et al. 2023): DDPM training (Ho et al. 2020), drawing by DDIM (Song et al. 2021)."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from hardware.arrays import FloatArray
from robostack.learning.imitation.config import DiffusionConfig
from robostack.learning.imitation.head import Predict

OFFSET = 0.008
"""Of the cosine schedule (Nichol and Dhariwal 2021)."""
BETA_MAX = 0.999


def signal_shares(levels: int) -> FloatArray:
    """The cumulative products a_k of the squared-cosine schedule, falling, (levels,): x_k ~ N(sqrt(a_k) x, 1 - a_k)."""
    t = np.arange(levels + 1) / levels
    share = np.cos((t + OFFSET) / (1.0 + OFFSET) * math.pi / 2.0) ** 2
    beta = np.minimum(1.0 - share[1:] / share[:-1], BETA_MAX)
    return np.cumprod(1.0 - beta)


class Diffusion:
    """Learns to take noise off a chunk, at every level of noise.

    With x_k = sqrt(a) x + sqrt(1 - a) e, the network predicts e ("epsilon"), x ("sample"), or
    v = sqrt(a) e - sqrt(1 - a) x ("v", Salimans and Ho 2022).
    """

    noisy = True

    def __init__(self, config: DiffusionConfig) -> None:
        self.config = config
        self.shares = signal_shares(config.train_steps)
        self._signal = torch.from_numpy(np.sqrt(self.shares)).float()
        self._noise = torch.from_numpy(np.sqrt(1.0 - self.shares)).float()

    def loss(self, predict: Predict, chunk: Tensor, generator: torch.Generator) -> Tensor:
        """Squared error of each element at a random level, (batch, horizon, actions)."""
        level = torch.randint(self.config.train_steps, (len(chunk),), generator=generator)
        noise = torch.randn(chunk.shape, generator=generator)
        signal, spread = self._signal[level][:, None, None], self._noise[level][:, None, None]
        wanted = {"epsilon": noise, "sample": chunk, "v": signal * noise - spread * chunk}[self.config.prediction]
        answer = predict(signal * chunk + spread * noise, level / self.config.train_steps)
        return (answer - wanted).square()

    def levels(self) -> list[int]:
        """Levels visited when a chunk is drawn, falling.

        They end at the lowest step of an even grid and begin at the top one, where hardly any signal is left. From
        there "epsilon" cannot tell the chunk, so that its grid begins one step lower, as published.
        """
        steps = self.config.train_steps
        if self.config.prediction == "epsilon":
            stride = steps // self.config.draw_steps
            return [place * stride for place in reversed(range(self.config.draw_steps))]
        return [
            round(steps * (place + 1) / self.config.draw_steps) - 1 for place in reversed(range(self.config.draw_steps))
        ]

    def schedule(self, clip: float) -> FloatArray:
        """DDIM without added noise: x' = sqrt(a') y + sqrt(1 - a') (x - sqrt(a) y) / sqrt(1 - a)."""
        rows = []
        levels = self.levels()
        for level, following in zip(levels, [*levels[1:], None], strict=True):
            share = self.shares[level]
            after = 1.0 if following is None else self.shares[following]
            signal, spread = math.sqrt(share), math.sqrt(1.0 - share)
            to_chunk = {"epsilon": (1.0 / signal, -spread / signal), "sample": (0.0, 1.0), "v": (signal, -spread)}
            kept = math.sqrt(1.0 - after) / spread
            rows.append(
                (
                    level / self.config.train_steps,
                    *to_chunk[self.config.prediction],
                    kept,
                    math.sqrt(after) - signal * kept,
                    clip,
                )
            )
        return np.array(rows)
