"""What a head is: how chunks are learned and how they are drawn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeAlias

import torch
from torch import Tensor

from hardware.arrays import FloatArray

Predict: TypeAlias = Callable[[Tensor, Tensor], Tensor]
"""The network, observations filled in: noisy chunk (batch, horizon, actions) and level (batch,) to its answer."""


class Head(Protocol):
    """One way to learn and draw chunks; all share the network and the loop that draws."""

    noisy: bool
    """Whether a chunk depends on the noise it is drawn from."""

    def loss(self, predict: Predict, chunk: Tensor, generator: torch.Generator) -> Tensor:
        """Loss of each element of scaled chunks, (batch, horizon, actions)."""
        ...

    def schedule(self, clip: float) -> FloatArray:
        """Rows (t, p, q, r, s, clip) of the loop in `robostack.policies.chunk_network`, (steps, 6)."""
        ...
