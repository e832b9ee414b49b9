"""Values of a gripper's few levels, learned beside the arm's continuous actions by double Q-learning.

A continuous actor turns a gripper into a switch that chatters; a critic with one output per level does not, and needs
no actor. After Luo et al., "Precise and Dexterous Robotic Manipulation via Human-in-the-Loop Reinforcement Learning",
arXiv 2410.21845: the greedy level is taken, each one that moves the gripper costs a little, and the arm's critics do
not see it. Double Q-learning: van Hasselt et al. 2016, arXiv 1509.06461.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from robostack.learning.batched_critic import EPSILON, BatchedCritic
from robostack.learning.flat_adam import FlatAdam
from robostack.learning.rlpd_config import Activation
from robostack.learning.torch_backend import Tensor, torch


class GripperStep(NamedTuple):
    """A batch of what the gripper did."""

    state: Tensor
    """(batch, num_observations), normalised."""
    next_state: Tensor
    chosen: Tensor
    """Number of the level, (batch,) int64."""
    reward: Tensor
    """(batch,); the cost of moving is taken off here."""
    bootstrap: Tensor
    """Discount, or 0 where the episode ended by itself, (batch,)."""
    weight: Tensor
    """Weight in the loss, (batch,)."""


class GripperCritic:
    """Q(s, level) for every level, and its moving average.

    Args:
        inputs: length of the observation.
        hidden: widths of the hidden layers.
        levels: the gripper's action at each level, as a fraction of half its range; one that is 0 leaves it alone.
        rng: draws the weights.
        learning_rate: Adam step size.
        target_rate: rate at which the moving average follows.
        penalty: reward lost by each level that is not 0.
        layer_norm: normalise the hidden layers.
        activation: of the hidden layers.
        device: where it computes.
    """

    def __init__(
        self,
        inputs: int,
        hidden: Sequence[int],
        levels: Sequence[float],
        rng: np.random.Generator,
        learning_rate: float,
        target_rate: float,
        penalty: float,
        layer_norm: bool,
        activation: Activation,
        device: torch.device,
    ) -> None:
        self.critic = BatchedCritic(inputs, hidden, 1, rng, layer_norm, activation, device, outputs=len(levels))
        self.target = self.critic.parameters.clone()
        self._target_layers = self.critic.view(self.target)
        self.optimizer = FlatAdam(self.critic.parameters, self.critic.gradient, learning_rate)
        self.levels = torch.tensor(levels, dtype=torch.float32, device=device)
        self.cost = penalty * (self.levels != 0.0)
        """Reward lost at each level, (levels,)."""
        self.target_rate = target_rate

    def choose(self, state: Tensor) -> Tensor:
        """The greedy level for each state, as its action, (batch, 1)."""
        values, _ = self.critic.forward(state)
        return self.levels[values[0].argmax(dim=-1)][:, None]

    def nearest(self, action: Tensor) -> Tensor:
        """Number of the level that is nearest to an executed action (...,), (...,) int64."""
        return (action[..., None] - self.levels).abs().argmin(dim=-1)

    def learn(self, batch: GripperStep) -> float:
        """One step on the mean of weight (Q - target)^2; the mean squared error."""
        best = self.critic.forward(batch.next_state)[0][0].argmax(dim=-1, keepdim=True)
        following = self.critic.forward(batch.next_state, self._target_layers)[0][0].gather(1, best)[:, 0]
        aim = batch.reward - self.cost[batch.chosen] + batch.bootstrap * following
        values, run = self.critic.forward(batch.state)
        error = values[0].gather(1, batch.chosen[:, None])[:, 0] - aim
        slope = torch.zeros_like(values)
        slope[0].scatter_(1, batch.chosen[:, None], (error * batch.weight * (2.0 / len(aim)))[:, None])
        self.critic.backward(run, slope)
        self.optimizer.step()
        self.target.lerp_(self.critic.parameters, self.target_rate)
        return float(error.square().mean())

    def tensors(self) -> dict[str, Tensor]:
        """The state by name, for a checkpoint; the tensors themselves."""
        state = {"gripper": self.critic.parameters, "gripper_target": self.target}
        return state | self.optimizer.tensors("gripper_adam")

    def policy_arrays(self) -> dict[str, np.ndarray[Any, Any]]:
        """Layers as `robostack.policies.gripper_head` reads them."""
        arrays = {}
        for index, layer in enumerate(self.critic.layers):
            last = index + 1 == len(self.critic.layers)
            arrays[f"gripper{index}.kernel"] = (layer.weight[0] if last else layer.weight[0].T).cpu().numpy().copy()
            arrays[f"gripper{index}.bias"] = layer.bias[0, 0].cpu().numpy().copy()
            if layer.gain is not None and layer.shift is not None:
                arrays[f"gripper{index}.gain"] = layer.gain[0, 0].cpu().numpy().copy()
                arrays[f"gripper{index}.shift"] = layer.shift[0, 0].cpu().numpy().copy()
        return arrays

    def network(self, column: int) -> dict[str, Any]:
        """What `robostack.policies.gripper_head` must know besides the arrays.

        Args:
            column: the gripper's place in the action.
        """
        levels = [float(level) for level in self.levels]
        return {"column": column, "levels": levels, "activation": self.critic.activation, "epsilon": EPSILON}
