"""Keeps an actor near what was demonstrated, wherever the critics value that more than what the actor would do.

Behaviour cloning with a Q filter: Nair et al., "Overcoming Exploration in Reinforcement Learning with Demonstrations",
arXiv 1709.10089, section IV.B and IV.C. Its weight is relative to the mean |Q| as in TD3+BC (Fujimoto and Gu, arXiv
2106.06860, equation 5), so that it means the same at every scale of rewards.
"""

from __future__ import annotations

from robostack.learning.batched_critic import BatchedCritic
from robostack.learning.torch_actor import SquashedActor
from robostack.learning.torch_backend import Tensor, torch


def imitation_loss(actor: SquashedActor, critic: BatchedCritic, state: Tensor, critic_input: Tensor) -> Tensor:
    """Mean over the batch of mean|Q| [Q(s, a) > Q(s, tanh(mu))] |tanh(mu) - a|^2; gradients go to the actor alone.

    Args:
        actor: gives mu.
        critic: its members are averaged.
        state: what the actor sees where somebody demonstrated, (batch, inputs).
        critic_input: what the critics are given there, the demonstrated action a, within -1 and 1, last.
    """
    own = torch.tanh(actor(state)[0])
    actions = own.shape[1]
    shown = critic_input[:, -actions:]
    with torch.no_grad():
        value = critic.forward(critic_input)[0][:, :, 0].mean(dim=0)
        own_value = critic.forward(torch.cat([critic_input[:, :-actions], own], dim=1))[0][:, :, 0].mean(dim=0)
        weight = value.abs().mean() * (value > own_value)
    loss: Tensor = (weight * ((own - shown) ** 2).sum(dim=-1)).mean()
    return loss
