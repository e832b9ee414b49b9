"""Behaviour cloning: the chunk as the answer of a regression."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from hardware.arrays import FloatArray
from robostack.learning.imitation.config import BehaviourCloningConfig
from robostack.learning.imitation.head import Predict


class BehaviourCloning:
    """min |a - network(observations)| or its square, over whole chunks (ACT without its latent, Zhao et al. 2023).

    Where demonstrations differ in the same place, the answer is their median (l1) or mean (mse), which may be neither.
    """

    noisy = False

    def __init__(self, config: BehaviourCloningConfig) -> None:
        self.config = config

    def loss(self, predict: Predict, chunk: Tensor, generator: torch.Generator) -> Tensor:
        """Loss of each element, (batch, horizon, actions)."""
        difference = predict(torch.zeros_like(chunk), torch.zeros(len(chunk))) - chunk
        return difference.abs() if self.config.loss == "l1" else difference.square()

    def schedule(self, clip: float) -> FloatArray:
        """One row: the answer is the chunk."""
        return np.array([[0.0, 0.0, 1.0, 0.0, 1.0, clip]])
