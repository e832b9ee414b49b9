"""Soft actor-critic: RLPD's learner with two critics, one update per step, no LayerNorm.

Haarnoja et al., "Soft Actor-Critic Algorithms and Applications", arXiv 1812.05905.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from robostack.learning.learner import LearnerEntry
from robostack.learning.rlpd_config import RlpdConfig

LEARNER = LearnerEntry(
    learner="robostack.learning.rlpd:Rlpd",
    config="robostack.learning.sac:SacConfig",
    summary="Soft actor-critic: two critics, replay, one update per step",
    simulations=8,
    extra="train",
)


@dataclass(frozen=True)
class SacConfig(RlpdConfig):
    """RLPD's settings with the values published for soft actor-critic."""

    critics: int = 2
    """Number of critics."""
    layer_norm: bool = False
    """Normalise the hidden layers of the critics."""
    actor_objective: Literal["mean", "min"] = "min"
    """Whether the actor maximises the mean or the smallest of all critics."""
    updates_per_step: float = 1.0
    """Steps of the critics per environment step; exact over time, also when it is a fraction or when many simulations
    step together."""
    critic_steps_per_actor_step: int = 1
    """Steps of the critics for each step of the actor and the temperature."""
    learning_starts: int = 1_000
    """Environment steps with uniformly random actions, and without learning, before the first update."""
    target_entropy_per_action: float = -1.0
    """Entropy that the temperature aims at, per dimension of the action [nat]."""
