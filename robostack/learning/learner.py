"""What a learner is to the loops that feed it, and how one is registered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from hardware.arrays import Array
from hardware.registry import Registry
from robostack.contract import Contract

Source = Literal["sim", "real", "demo", "intervention"]


@dataclass(frozen=True, slots=True)
class Transition:
    """One step, or a batch of them."""

    observation: Array
    """(..., num_observations)."""
    action: Array
    """The action as executed, (..., num_actions)."""
    reward: Array | float
    """(...,)."""
    next_observation: Array
    """(..., num_observations); at an end, the observation of the end, not of the next start."""
    terminated: Array | bool
    """Ended in a state from which no return follows: no bootstrap, (...,)."""
    truncated: Array | bool
    """Cut by the time limit: bootstrap, (...,)."""
    source: Source = "sim"
    """Where it came from."""
    weight: float = 1.0
    """Weight in the loss."""
    privileged: Array | None = None
    """What only the critic may see (the true dynamics), the same before and after the step, (..., num_privileged)."""


class Learner(Protocol):
    """A learning algorithm: one sample or a batch, with or without replay. A policy need not give a log-probability."""

    def act(self, observation: Array, explore: bool = True) -> Array:
        """The action for `observation`; with `explore`, as in training."""
        ...

    def observe(self, transition: Transition) -> None:
        """Take in what an action led to."""
        ...

    def update(self) -> Mapping[str, float]:
        """Learn; returns what is worth logging."""
        ...

    def save(self, folder: Path) -> None:
        """Write a checkpoint, atomically: policy, configuration, and all that an exact resume needs. Never pickle."""
        ...

    def load(self, folder: Path) -> None:
        """Continue exactly where `save` left off.

        Raises:
            CheckpointError: a file is missing or damaged.
            ContractMismatchError: the checkpoint is of another task or robot.
        """
        ...


@dataclass(frozen=True)
class LearnerEntry:
    """How a learner registers: `LEARNER = LearnerEntry(...)` at the top level of its module."""

    learner: str
    """"module:Class"; called as `Class(contract, config, seed)`."""
    config: str
    """"module:Class" of its configuration, a frozen dataclass with defaults."""
    summary: str
    """One line for `robostack list learners`."""
    simulations: int = 0
    """Simulations stepped together for it if nothing else is asked for; 0: it takes no batches, one step at a time."""
    extra: str | None = None
    """Optional extra it needs ("train"); None: works with the base install."""

    def open(self, contract: Contract, config: Any, seed: int) -> Learner:
        """A fresh learner."""
        from hardware.registry import load_object

        create: Any = load_object(self.learner)
        made: Learner = create(contract, config, seed)
        return made


LEARNERS: Registry[LearnerEntry] = Registry("learner", "robostack.learning", "LEARNER")
"""Every learner: modules of this package, and entry points of the group `robostack.learners`."""
