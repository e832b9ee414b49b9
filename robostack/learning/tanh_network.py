"""Networks of linear layers with tanh between them, as PPO and DAgger train them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hardware.arrays import FloatArray
from robostack.learning.normalization import RunningNormalizer
from robostack.learning.torch_backend import torch

TANH_POLICY: Mapping[str, Any] = {
    "leak": 0.0,
    "normalize": False,
    "epsilon": 1e-8,
    "activation": "tanh",
    "squash": False,
}
"""How `robostack.policies.mlp` reads such a network whose outputs are actions."""


def tanh_network(sizes: Sequence[int], rng: np.random.Generator, head_gain: float) -> torch.nn.Sequential:
    """Linear layers with tanh between; orthogonal weights of gain sqrt(2), of the last `head_gain`; biases zero."""
    layers: list[torch.nn.Module] = []
    pairs = list(itertools.pairwise(sizes))
    for index, (fan_in, fan_out) in enumerate(pairs):
        layer = torch.nn.Linear(fan_in, fan_out)
        q, r = np.linalg.qr(rng.standard_normal((max(fan_in, fan_out), min(fan_in, fan_out))))
        q *= np.sign(np.diag(r))
        gain = head_gain if index == len(pairs) - 1 else math.sqrt(2.0)
        with torch.no_grad():
            layer.weight.copy_(torch.from_numpy(gain * (q if fan_out >= fan_in else q.T)))
            layer.bias.zero_()
        layers += [layer, torch.nn.Tanh()]
    return torch.nn.Sequential(*layers[:-1])


def policy_arrays(
    network: torch.nn.Sequential, normalizer: RunningNormalizer, low: FloatArray, high: FloatArray
) -> dict[str, Any]:
    """A deterministic policy as `robostack.policies.mlp` reads it.

    Args:
        network: gives actions as a share of half their range, from its middle.
        normalizer: of the observations that the network is given.
        low: lower bounds of the actions, (num_actions,).
        high: upper bounds, (num_actions,).
    """
    arrays: dict[str, Any] = {
        "observation_mean": normalizer.mean,
        "observation_scale": normalizer.scale(),
        "action_center": (low + high) / 2.0,
        "action_half": (high - low) / 2.0,
        "action_low": low,
        "action_high": high,
    }
    for index, layer in enumerate(part for part in network if isinstance(part, torch.nn.Linear)):
        arrays[f"layer{index}.weight"] = layer.weight.detach().cpu().numpy().copy()
        arrays[f"layer{index}.bias"] = layer.bias.detach().cpu().numpy().copy()
    return arrays
