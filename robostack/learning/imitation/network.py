"""The network behind every head, in torch; `robostack.policies.chunk_network` runs the same arrays in numpy."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hardware.arrays import FloatArray
from robostack.learning.imitation.vision import KeypointNet
from robostack.policies.chunk_network import EPSILON, OBSERVATION_CLIP, TIME_FEATURES, time_embedding
from robostack.policies.keypoint_encoder import FEATURES


class Block(nn.Module):
    """h + W2 silu(W1 norm(h) + V context)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, eps=EPSILON, elementwise_affine=False)
        self.first, self.second = nn.Linear(width, width), nn.Linear(width, width)
        self.context = nn.Linear(width, width, bias=False)
        # Each block starts as the identity, so that depth costs nothing at first.
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.bias)

    def forward(self, hidden: Tensor, context: Tensor) -> Tensor:
        """(batch, width)."""
        inner = self.first(self.norm(hidden)) + self.context(context)
        return hidden + self.second(nn.functional.silu(inner))


class ChunkNet(nn.Module):
    """From a noisy chunk, its noise level and past observations to what the head wants to know.

    Args:
        observations: numbers in all past observations together.
        horizon: actions in a chunk.
        actions: numbers in an action.
        width: units per layer.
        blocks: residual blocks.
        noisy: whether the chunk given is looked at; without, its weights are zero and stay so.
        cameras: number of cameras.
        image_size: width and height of their images [px].
    """

    def __init__(
        self,
        observations: int,
        horizon: int,
        actions: int,
        width: int,
        blocks: int,
        noisy: bool,
        cameras: int = 0,
        image_size: int = 0,
    ) -> None:
        super().__init__()
        self.shape = (horizon, actions)
        self.encoder = KeypointNet(image_size) if cameras else None
        observations += FEATURES * cameras
        self.input = nn.Linear(horizon * actions, width)
        self.condition = nn.Linear(observations, width)
        self.time = nn.Linear(TIME_FEATURES, width, bias=False)
        self.blocks = nn.ModuleList(Block(width) for _ in range(blocks))
        self.norm = nn.LayerNorm(width, eps=EPSILON, elementwise_affine=False)
        self.output = nn.Linear(width, horizon * actions)
        if not noisy:
            nn.init.zeros_(self.input.weight)

    def forward(self, x: Tensor, time: Tensor, observed: Tensor, images: Tensor | None = None) -> Tensor:
        """The answer (batch, horizon, actions).

        Args:
            x: noisy chunk, (batch, horizon, actions).
            time: embedded noise level, (batch, TIME_FEATURES).
            observed: scaled past observations, (batch, past, num_observations).
            images: newest ones, (batch, cameras, 3, size, size) from -1 to 1; None without cameras.
        """
        flat = observed.clamp(-OBSERVATION_CLIP, OBSERVATION_CLIP).flatten(1)
        if self.encoder is not None and images is not None:
            flat = torch.cat([flat, self.encoder(images)], dim=-1)
        context = nn.functional.silu(self.condition(flat) + self.time(time))
        hidden = self.input(x.flatten(1))
        for block in self.blocks:
            hidden = block(hidden, context)
        return self.output(self.norm(hidden)).unflatten(1, self.shape)


def embedded(t: Tensor) -> Tensor:
    """Embedding of noise levels, (batch,) to (batch, TIME_FEATURES)."""
    return torch.from_numpy(time_embedding(t.double().numpy())).float()


@torch.no_grad()
def draw(
    network: nn.Module, schedule: FloatArray, observed: Tensor, noise: Tensor, images: Tensor | None = None
) -> Tensor:
    """A chunk in scaled units by the loop of `robostack.policies.chunk_network`, (batch, horizon, actions)."""
    x = noise
    for t, p, q, r, s, clip in torch.from_numpy(schedule).float():
        answer = network(x, embedded(t.expand(len(x))), observed, images)
        x = r * x + s * (p * x + q * answer).clamp(-clip, clip)
    return x
