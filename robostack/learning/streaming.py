"""What actor-critics on state values that learn from each step at once have in common.

One transition in, one step of actor and critic along their eligibility traces, transition dropped. How far a step goes
is what the algorithms differ in: `intentional.py`, `stream_ac.py`. Gradients by hand, numpy only.
"""

from __future__ import annotations

import dataclasses
import math
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np

from hardware.arrays import Array, FloatArray
from hardware.errors import CheckpointError, ConfigError, NonFiniteError
from robostack.checkpoint import atomic_folder, load_arrays, load_policy, save_arrays, save_policy
from robostack.contract import Contract, require_match
from robostack.learning.avg import action_bounds
from robostack.learning.learner import Transition
from robostack.learning.networks import LEAK, Mlp, Vector
from robostack.learning.normalization import RunningMoments, RunningNormalizer

DEVIATION_MIN = 1e-3
"""Smallest standard deviation of the policy, before tanh."""


class StepRule(Protocol):
    """How parameters move, and the trace z <- decay z + g that they move along."""

    trace: Vector
    """z, (size,)."""

    def step(self, parameters: Vector, gradient: Vector, amount: float, decay: float) -> bool:
        """Move `parameters`, (size,), by the gradient g (size,); returns whether everything was finite.

        Where it was not, the parameters stay.
        """
        ...

    def state_arrays(self) -> dict[str, Any]:
        """Every array of the state, by name."""
        ...


class StreamingConfig(Protocol):
    """Settings that all of them have."""

    @property
    def trace(self) -> float:
        """lambda: decay of the eligibility traces, beside the discount."""
        ...

    @property
    def discount(self) -> float:
        """gamma: discount per step."""
        ...

    @property
    def entropy_coefficient(self) -> float:
        """Weight of the policy's entropy in the actor's direction."""
        ...


class StreamingActorCritic(ABC):
    """The learner but for `amounts`. Call `act`, then `observe`, then `update`, once per step.

    a = center + half tanh(mu + sigma noise), sigma = softplus(head) + DEVIATION_MIN; V(s) from a network of its own.

    Args:
        contract: of the task; gives the sizes and the action bounds.
        config: settings, a frozen dataclass.
        seed: of weights and exploration; recorded.
        rng: drew the weights; draws the exploration.
        networks: actor, with 2 num_actions outputs, and critic.
        rules: of actor and critic.
    """

    name: ClassVar[str]
    """Registry name of the algorithm."""

    def __init__(
        self,
        contract: Contract,
        config: StreamingConfig,
        seed: int,
        rng: np.random.Generator,
        networks: tuple[Mlp, Mlp],
        rules: tuple[StepRule, StepRule],
    ) -> None:
        self.contract, self.config, self.seed, self.rng = contract, config, seed, rng
        (self.actor, self.critic), (self.actor_rule, self.critic_rule) = networks, rules
        observations, actions = self.actor.sizes[0], contract.num_actions
        self.normalizer = RunningNormalizer(observations)
        self.returns, self.discounted_return = RunningMoments(), np.zeros(1)
        self.low, self.high = action_bounds(contract)
        self.center, self.half = (self.low + self.high) / 2.0, (self.high - self.low) / 2.0
        self.steps, self.rejected = 0, 0
        self.perceived, self.normalized = np.full(observations, np.nan), np.zeros(observations)
        self._now, self._other = self.actor.new_pass(), self.actor.new_pass()
        self._value, self._next_value = self.critic.new_pass(), self.critic.new_pass()
        self._noise: FloatArray = np.zeros(actions)
        self._acted = False
        self._transition: Transition | None = None

    @abstractmethod
    def amounts(self, delta: float) -> tuple[float, float, float]:
        """What the rules' steps are multiplied by: the error as it is used, the critic's amount and the actor's."""

    def act(self, observation: Array, explore: bool = True) -> FloatArray:
        """An action for `observation` (num_observations,), within the contract's bounds, (num_actions,).

        Raises:
            NonFiniteError: the observation is not finite.
        """
        observation = np.asarray(observation, dtype=np.float64)
        if not np.all(np.isfinite(observation)):
            raise NonFiniteError(f"the observation is not finite: {observation}")
        if not explore:
            self._other.inputs[0][:-1] = self.normalizer.normalize(observation)
            return self._to_bounds(self.actor.forward(self._other)[: self.low.size])
        if not np.array_equal(observation, self.perceived):
            self._perceive(observation)
        self._now.inputs[0][:-1] = self.normalized
        mean, spread = np.split(self.actor.forward(self._now).astype(np.float64), 2)
        self.rng.standard_normal(out=self._noise)
        self._acted = True
        return self._to_bounds(mean + _deviation(spread) * self._noise)

    def observe(self, transition: Transition) -> None:
        """Take in what the last explored action led to.

        Raises:
            ConfigError: there is no explored action to learn from.
        """
        if not self._acted:
            raise ConfigError("it learns from the action it drew last: call act(observation, explore=True) before")
        self._transition = transition

    def update(self) -> dict[str, float]:
        """One step of actor and critic; returns td_error, value, sigma (scale of rewards), rejected (count so far)."""
        if self._transition is None:
            return {}
        transition, self._transition, self._acted = self._transition, None, False
        self.steps += 1
        reward, following = float(transition.reward), np.asarray(transition.next_observation, dtype=np.float64)
        terminated, ended = bool(transition.terminated), bool(transition.terminated) or bool(transition.truncated)
        if not (math.isfinite(reward) and np.all(np.isfinite(following))):
            self.rejected += 1
            return {"rejected": float(self.rejected)}
        sigma = self._reward_scale(reward, ended)
        # delta = r / sigma + gamma V(s') - V(s). Only a termination ends the bootstrap; any end ends the traces.
        self._value.inputs[0][:-1] = self._now.inputs[0][:-1]
        self._perceive(following)
        self._next_value.inputs[0][:-1] = self.normalized
        value = float(self.critic.forward(self._value)[0])
        next_value = 0.0 if terminated else float(self.critic.forward(self._next_value)[0])
        delta, critic_amount, actor_amount = self.amounts(reward / sigma + self.config.discount * next_value - value)
        decay = self.config.discount * self.config.trace
        self.critic.backward(self._value, np.ones(1))
        gradient = self.critic.gradient(self._value)
        finite = self.critic_rule.step(self.critic.parameters, gradient, critic_amount, decay)
        self.actor.backward(self._now, self._head_gradient(math.copysign(1.0, delta)))
        finite &= self.actor_rule.step(self.actor.parameters, self.actor.gradient(self._now), actor_amount, decay)
        self.rejected += not finite
        if ended:
            self.critic_rule.trace[:] = 0.0
            self.actor_rule.trace[:] = 0.0
        return {"td_error": delta, "value": value, "sigma": sigma, "rejected": float(self.rejected)}

    def _head_gradient(self, sign: float) -> Vector:
        """Gradient of log pi(a|s) + sign(delta) entropy weight H(pi) by the heads, (2 num_actions,).

        The amount that the step is multiplied by has the sign of delta, so that entropy always grows.
        """
        spread = self._now.output[self.low.size :].astype(np.float64)
        deviation, slope = _deviation(spread), 1.0 / (1.0 + np.exp(-spread))
        by_spread = slope * (self._noise**2 - 1.0 + sign * self.config.entropy_coefficient) / deviation
        return np.concatenate([self._noise / deviation, by_spread])

    def _reward_scale(self, reward: float, ended: bool) -> float:
        """Standard deviation of the discounted return so far, what rewards are divided by."""
        discounted = float(self.discounted_return[0]) * self.config.discount + reward
        self.returns.push(discounted)
        self.discounted_return[0] = 0.0 if ended else discounted
        return max(math.sqrt(self.returns.variance), 1e-4) if self.returns.count > 1 else 1.0

    def _perceive(self, observation: FloatArray) -> None:
        self.normalizer.update(observation)
        self.perceived[:] = observation
        self.normalized[:] = self.normalizer.normalize(observation)

    def _to_bounds(self, u: Array) -> FloatArray:
        return np.asarray(self.center + self.half * np.tanh(u), dtype=np.float64)

    def save(self, folder: Path) -> None:
        """Write a checkpoint: the policy, and all that an exact resume needs."""
        settings: dict[str, Any] = dataclasses.asdict(self.config)  # type: ignore[call-overload]
        with atomic_folder(folder) as fresh:
            network = {"leak": LEAK, "normalize": self.actor.normalize, "epsilon": self.actor.epsilon}
            network["layer_norm"] = self.actor.layer_norm
            config = {"kind": "mlp", "network": network, "learner": self.name, **settings}
            save_policy(fresh, self._policy_arrays(), self.contract, config, {"seed": self.seed, "steps": self.steps})
            scalars = {"steps": self.steps, "rejected": self.rejected, "rng": self.rng.bit_generator.state}
            save_arrays(fresh, "learner", self.state_arrays(), {"config": config, "scalars": scalars})

    def load(self, folder: Path) -> None:
        """Continue exactly where `save` left off.

        Raises:
            CheckpointError: a file is missing or damaged, or of another configuration.
            ContractMismatchError: the checkpoint is of another task or robot.
        """
        require_match(load_policy(folder).contract, self.contract, f"checkpoint {folder}")
        stored, document = load_arrays(folder, "learner")
        try:
            for name, array in self.state_arrays().items():
                if stored[name].shape != array.shape or stored[name].dtype != array.dtype:
                    raise CheckpointError(f"{folder}: {name} does not fit. Resume with the configuration of the run.")
                array[...] = stored[name]
            scalars = document["scalars"]
            self.steps, self.rejected = int(scalars["steps"]), int(scalars["rejected"])
            self.rng.bit_generator.state = scalars["rng"]
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"{folder}: the learner's state lacks {error}. Use another checkpoint.") from error
        self._acted, self._transition = False, None

    def state_arrays(self) -> dict[str, Any]:
        """Every array of the state, by name; the arrays themselves, so that `load` can write into them."""
        rules = {"actor": self.actor_rule, "critic": self.critic_rule}
        return {
            "actor": self.actor.parameters,
            "critic": self.critic.parameters,
            **{f"{net}_{name}": array for net, rule in rules.items() for name, array in rule.state_arrays().items()},
            "observation_count": self.normalizer.weight,
            "observation_mean": self.normalizer.mean,
            "observation_variance": self.normalizer.variance,
            "returns": self.returns.state,
            "discounted_return": self.discounted_return,
            "perceived": self.perceived,
            "normalized": self.normalized,
        }

    def _policy_arrays(self) -> dict[str, Any]:
        """The deterministic policy, as robostack.policies.mlp reads it."""
        arrays: dict[str, Any] = {
            "observation_mean": self.normalizer.mean,
            "observation_scale": self.normalizer.scale(),
            "action_center": self.center,
            "action_half": self.half,
            "action_low": self.low,
            "action_high": self.high,
        }
        layers = self.actor.matrices(self.actor.parameters)
        for index, layer in enumerate(layers):
            rows = slice(None) if index + 1 < len(layers) else slice(self.low.size)
            arrays[f"layer{index}.weight"] = np.ascontiguousarray(layer[rows, :-1])
            arrays[f"layer{index}.bias"] = np.ascontiguousarray(layer[rows, -1])
        return arrays


def check_streaming(config: StreamingConfig, positive: tuple[str, ...], fractions: tuple[str, ...]) -> None:
    """Check the ranges of a configuration with `hidden`.

    Args:
        config: what to check.
        positive: names of settings that must be above 0.
        fractions: names of settings that must lie in [0, 1], beside trace and discount.

    Raises:
        ConfigError: a value is out of range.
    """
    kind, hidden = type(config).__name__, getattr(config, "hidden", ())
    for name in positive:
        if not getattr(config, name) > 0.0:
            raise ConfigError(f"{kind}.{name} = {getattr(config, name)} must be positive")
    for name in ("trace", "discount", *fractions):
        if not 0.0 <= getattr(config, name) <= 1.0:
            raise ConfigError(f"{kind}.{name} = {getattr(config, name)} must lie in [0, 1]")
    if not hidden or min(hidden) < 1:
        raise ConfigError(f"{kind}.hidden = {hidden} must name one width or more, each at least 1")


def _deviation(spread: FloatArray) -> FloatArray:
    """Standard deviation of the policy, before tanh, from its head."""
    return np.logaddexp(0.0, spread) + DEVIATION_MIN
