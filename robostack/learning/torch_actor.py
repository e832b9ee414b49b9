"""The actor of the off-policy torch learners: a = tanh(u), u = mu + sigma eps, with reparameterised draws."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from robostack.learning.networks import LEAK
from robostack.learning.rlpd_config import Architecture
from robostack.learning.squashed_gaussian import LOG_MAX, LOG_MIN, Variance
from robostack.learning.torch_backend import Tensor, torch


class SquashedActor(torch.nn.Module):
    """Heads (mu, l) of a multi-layer perceptron; sigma = exp(l) or exp(l / 2).

    Args:
        inputs: length of the observation.
        hidden: widths of the hidden layers.
        actions: length of the action.
        rng: draws the weights (Glorot, uniform; biases zero).
        architecture: "relu", or that of AVG's actor: LeakyReLU, and the last hidden vector divided by its length.
        epsilon: added in quadrature to that length.
        variance: what l is the logarithm of.
    """

    def __init__(
        self,
        inputs: int,
        hidden: Sequence[int],
        actions: int,
        rng: np.random.Generator,
        architecture: Architecture = "relu",
        epsilon: float = 1e-8,
        variance: Variance = "std",
    ) -> None:
        super().__init__()
        self.actions, self.epsilon = actions, epsilon
        self.leak = LEAK if architecture == "avg" else 0.0
        self.normalize = architecture == "avg"
        self.factor = 0.5 if variance == "variance" else 1.0
        sizes = (inputs, *hidden, 2 * actions)
        layers = [torch.nn.Linear(fan_in, fan_out) for fan_in, fan_out in itertools.pairwise(sizes)]
        self.linear: Any = torch.nn.ModuleList(layers)
        with torch.no_grad():
            for layer in layers:
                rows, columns = layer.weight.shape
                limit = math.sqrt(6.0 / (rows + columns))
                layer.weight.copy_(torch.from_numpy(rng.uniform(-limit, limit, (rows, columns)).astype(np.float32)))
                layer.bias.zero_()

    def forward(self, observation: Tensor) -> tuple[Tensor, Tensor]:
        """The heads mu and l for observations (batch, inputs), each (batch, actions)."""
        hidden = observation
        for layer in self.linear[:-1]:
            hidden = layer(hidden)
            hidden = torch.nn.functional.leaky_relu_(hidden, self.leak) if self.leak else torch.relu_(hidden)
        if self.normalize:
            square = (hidden * hidden).sum(-1, keepdim=True)
            hidden = hidden / torch.sqrt(square + self.epsilon**2)
        mean, log = self.linear[-1](hidden).split(self.actions, dim=-1)
        return mean, log.clamp(LOG_MIN, LOG_MAX)

    def draw(self, observation: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Actions (batch, actions) in (-1, 1) for standard normal `noise`, and their log-probabilities (batch,)."""
        mean, log = self(observation)
        log = self.factor * log
        u = mean + torch.exp(log) * noise
        # log(1 - tanh(u)^2) = 2 (log 2 - u - softplus(-2u)), which does not underflow.
        correction = 2.0 * (math.log(2.0) - u - torch.nn.functional.softplus(-2.0 * u))
        gaussian = -0.5 * noise * noise - log - 0.5 * math.log(2.0 * math.pi)
        return torch.tanh(u), (gaussian - correction).sum(-1)

    def policy_arrays(self) -> dict[str, np.ndarray[Any, Any]]:
        """Layers as `robostack.policies.mlp` reads them; of the last only the rows of mu."""
        arrays = {}
        for index, layer in enumerate(self.linear):
            rows = slice(None) if index + 1 < len(self.linear) else slice(self.actions)
            arrays[f"layer{index}.weight"] = layer.weight[rows].detach().cpu().numpy().copy()
            arrays[f"layer{index}.bias"] = layer.bias[rows].detach().cpu().numpy().copy()
        return arrays

    def spread_arrays(self) -> dict[str, np.ndarray[Any, Any]]:
        """The rows of l in the last layer, as `robostack.policies.exploring` reads them."""
        last = self.linear[-1]
        return {
            "spread.kernel": last.weight[self.actions :].detach().cpu().numpy().copy(),
            "spread.bias": last.bias[self.actions :].detach().cpu().numpy().copy(),
        }

    def matrices(self) -> list[np.ndarray[Any, Any]]:
        """One [weight, bias] per layer, (fan_out, fan_in + 1), the last with both heads: as `networks.Mlp.matrices`."""
        return [
            torch.cat([layer.weight, layer.bias[:, None]], dim=1).detach().cpu().numpy().copy() for layer in self.linear
        ]
