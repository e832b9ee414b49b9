"""Stream AC(lambda): an actor-critic that learns from each step at once, its steps bounded against overshooting.

Elsayed, Vasan and Mahmood, "Streaming Deep Reinforcement Learning Finally Works", 2024, arXiv 2410.14606; written from
the paper. Eligibility traces, layer normalisation and sparse initial weights (`layer_norm.py`), normalised observations
and scaled rewards. What it shares with the intentional actor-critic is in `streaming.py`; from there, and unlike the
paper: actions are squashed to their bounds instead of clipped, and a time limit does not end the bootstrap. The time
since the start of the episode is not appended to the observation, which the task decides.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from robostack.contract import Contract
from robostack.learning.layer_norm import LayerNormMlp
from robostack.learning.learner import LearnerEntry
from robostack.learning.networks import Vector
from robostack.learning.streaming import StreamingActorCritic, check_streaming

LEARNER = LearnerEntry(
    learner="robostack.learning.stream_ac:StreamAc",
    config="robostack.learning.stream_ac:StreamAcConfig",
    summary="Stream AC(lambda): learns from each step at once with bounded steps and one setting for all tasks",
)


@dataclass(frozen=True)
class StreamAcConfig:
    """Settings; the defaults are the paper's, for every task."""

    step_size: float = 1.0
    """Step size of actor and critic, where the bound leaves it."""
    actor_bound: float = 3.0
    """kappa of the actor: the larger, the smaller the largest step."""
    critic_bound: float = 2.0
    """kappa of the critic."""
    trace: float = 0.8
    """lambda: decay of the eligibility traces, beside the discount."""
    discount: float = 0.99
    """gamma: discount per step."""
    entropy_coefficient: float = 0.01
    """Weight of the policy's entropy in the actor's direction."""
    hidden: tuple[int, ...] = (128, 128)
    """Widths of the hidden layers of actor and critic."""
    sparsity: float = 0.9
    """Share of zeros among the initial weights of each unit."""

    def __post_init__(self) -> None:
        """Check ranges.

        Raises:
            ConfigError: a value is out of range.
        """
        check_streaming(self, ("step_size", "actor_bound", "critic_bound"), ("sparsity",))


class BoundedStep:
    """ObGD, overshooting-bounded gradient descent: w += min(alpha, 1 / (kappa max(|delta|, 1) |z|_1)) delta z.

    With z <- decay z + g the trace. The bound keeps the error after the step from changing sign, to the extent that
    kappa covers the curvature (section 3.3 of the paper).

    Args:
        size: number of parameters.
        step_size: alpha.
        bound: kappa.
    """

    def __init__(self, size: int, step_size: float, bound: float) -> None:
        self.step_size, self.bound = step_size, bound
        self.trace = np.zeros(size, dtype=np.float32)

    def step(self, parameters: Vector, gradient: Vector, amount: float, decay: float) -> bool:
        """Move `parameters`, (size,), by the gradient (size,) and delta = `amount`; returns whether all was finite.

        Where it was not, parameters and trace stay.
        """
        if not math.isfinite(float(np.dot(gradient, gradient))) or not math.isfinite(amount):
            return False
        self.trace *= decay
        self.trace += gradient
        limit = self.bound * max(abs(amount), 1.0) * float(np.sum(np.abs(self.trace)))
        parameters += np.float32(amount / max(limit, 1.0 / self.step_size)) * self.trace
        return True

    def state_arrays(self) -> dict[str, Any]:
        """Every array of the state, by name."""
        return {"trace": self.trace}


class StreamAc(StreamingActorCritic):
    """The learner. Call `act`, then `observe`, then `update`, once per step.

    Args:
        contract: of the task; gives the sizes and the action bounds.
        config: settings.
        seed: of weights and exploration.
    """

    name: ClassVar[str] = "stream-ac"

    def __init__(self, contract: Contract, config: StreamAcConfig, seed: int) -> None:
        rng = np.random.Generator(np.random.PCG64(seed))
        observations = contract.num_observations * contract.history
        actor, critic = (
            LayerNormMlp(observations, config.hidden, outputs, rng, sparsity=config.sparsity)
            for outputs in (2 * contract.num_actions, 1)
        )
        rules = (
            BoundedStep(actor.parameters.size, config.step_size, config.actor_bound),
            BoundedStep(critic.parameters.size, config.step_size, config.critic_bound),
        )
        super().__init__(contract, config, seed, rng, (actor, critic), rules)

    def amounts(self, delta: float) -> tuple[float, float, float]:
        """Both steps are multiplied by the error itself."""
        return delta, delta, delta
