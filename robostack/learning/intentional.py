"""A streaming actor-critic whose step sizes are solved from what a step is to achieve; one setting for many tasks.

After the idea of Sharifnassab et al., "Intentional Updates for Streaming Reinforcement Learning", arXiv 2604.19033: the
critic's step removes a fixed fraction of the temporal-difference error, the actor's changes the log-probability of the
action by a bounded amount. Written from that idea, without the authors' code; what is chosen differently is said below.
What it shares with stream AC(lambda) is in `streaming.py`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from robostack.contract import Contract
from robostack.learning.learner import LearnerEntry
from robostack.learning.networks import Mlp, Vector
from robostack.learning.streaming import StreamingActorCritic, check_streaming

LEARNER = LearnerEntry(
    learner="robostack.learning.intentional:Intentional",
    config="robostack.learning.intentional:IntentionalConfig",
    summary="Intentional actor-critic: learns from each step at once with one setting for many tasks",
)

HEAD_SCALE = 0.1
"""Factor on the initial weights of both output layers: the policy starts near its mean, the value near zero."""
EPSILON = 1e-8


@dataclass(frozen=True)
class IntentionalConfig:
    """Settings; the defaults are meant for every task."""

    value_fraction: float = 0.5
    """Fraction of the temporal-difference error that one step of the critic is to remove."""
    policy_change: float = 0.05
    """Change of the log-probability by one step of the actor at an error of usual size."""
    trace: float = 0.8
    """lambda: decay of the eligibility traces, beside the discount."""
    discount: float = 0.99
    """gamma: discount per step."""
    entropy_coefficient: float = 0.01
    """Weight of the policy's entropy in the actor's direction."""
    hidden: tuple[int, ...] = (128, 128)
    """Widths of the hidden layers of actor and critic."""
    square_decay: float = 0.999
    """Decay of the mean squares of gradients and errors."""
    smoothing: float = 0.99
    """Decay of the mean response to a unit step."""
    clip: float = 20.0
    """Errors are clipped at this many times their root mean square."""

    def __post_init__(self) -> None:
        """Check ranges.

        Raises:
            ConfigError: a value is out of range.
        """
        check_streaming(self, ("value_fraction", "policy_change", "clip"), ("square_decay", "smoothing"))


class IntentionalStep:
    """w += amount / response P z, with z <- decay z + g the trace, P = 1 / rms(g) per parameter, response = |g^T P z|.

    To first order the step changes the function whose gradient is g by `amount`. A response far below its running mean
    says that the trace is about other states; the running mean then takes its place, so that the step stays bounded.

    Args:
        size: number of parameters.
        square_decay: of the mean square of g.
        smoothing: of the mean response.
    """

    def __init__(self, size: int, square_decay: float, smoothing: float) -> None:
        self.square_decay, self.smoothing = square_decay, smoothing
        self.trace, self.square = np.zeros(size, dtype=np.float32), np.zeros(size, dtype=np.float32)
        self._count, self._response = np.zeros(1, dtype=np.int64), np.zeros(1)

    @property
    def steps(self) -> int:
        """Steps taken."""
        return int(self._count[0])

    def step(self, parameters: Vector, gradient: Vector, amount: float, decay: float) -> bool:
        """Move `parameters`, (size,), by the gradient (size,); returns whether everything was finite.

        Where it was not, parameters and trace stay.
        """
        if not math.isfinite(float(np.dot(gradient, gradient))) or not math.isfinite(amount):
            return False
        self._count += 1
        self.trace *= decay
        self.trace += gradient
        self.square *= self.square_decay
        self.square += (1.0 - self.square_decay) * gradient * gradient
        direction = self.trace / (np.sqrt(self.square / (1.0 - self.square_decay**self.steps)) + EPSILON)
        response, usual = abs(float(np.dot(gradient, direction))), float(self._response[0])
        share = 1.0 if self.steps == 1 else 1.0 - self.smoothing
        usual += share * (response - usual)
        self._response[0] = usual
        parameters += np.float32(amount / max(response, usual, EPSILON)) * direction
        return True

    def state_arrays(self) -> dict[str, Any]:
        """Every array of the state, by name."""
        return {"trace": self.trace, "square": self.square, "count": self._count, "response": self._response}


class Intentional(StreamingActorCritic):
    """The learner. Call `act`, then `observe`, then `update`, once per step.

    Args:
        contract: of the task; gives the sizes and the action bounds.
        config: settings.
        seed: of weights and exploration.
    """

    name: ClassVar[str] = "intentional"

    def __init__(self, contract: Contract, config: IntentionalConfig, seed: int) -> None:
        rng = np.random.Generator(np.random.PCG64(seed))
        observations = contract.num_observations * contract.history
        actor = Mlp(observations, config.hidden, 2 * contract.num_actions, rng)
        critic = Mlp(observations, config.hidden, 1, rng)
        for network in (actor, critic):
            network.layers[-1] *= np.float32(HEAD_SCALE)
        decays = config.square_decay, config.smoothing
        rules = IntentionalStep(actor.parameters.size, *decays), IntentionalStep(critic.parameters.size, *decays)
        super().__init__(contract, config, seed, rng, (actor, critic), rules)
        self.settings = config
        self.error_square = np.zeros(1)
        """Mean square of the error, (1,)."""

    def amounts(self, delta: float) -> tuple[float, float, float]:
        """V(s) is to move by a fraction of delta, log pi(a|s) by a share of delta over its usual size."""
        delta, usual = self._clipped(delta)
        return delta, self.settings.value_fraction * delta, self.settings.policy_change * delta / usual

    def _clipped(self, delta: float) -> tuple[float, float]:
        """`delta` within so many times its root mean square, and that root."""
        decay = self.settings.square_decay
        square = decay * float(self.error_square[0]) + (1.0 - decay) * delta * delta
        self.error_square[0] = square
        usual = math.sqrt(square / (1.0 - decay**self.steps)) + EPSILON
        limit = self.settings.clip * usual
        return min(max(delta, -limit), limit), usual

    def state_arrays(self) -> dict[str, Any]:
        """Every array of the state, by name."""
        return {**super().state_arrays(), "error_square": self.error_square}
