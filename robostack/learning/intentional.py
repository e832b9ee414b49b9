"""A streaming actor-critic whose step sizes are solved from what a step is to achieve; one setting for many tasks.

After the idea of Sharifnassab et al., "Intentional Updates for Streaming Reinforcement Learning", arXiv 2604.19033: the
critic's step removes a fixed fraction of the temporal-difference error, the actor's changes the log-probability of the
action by a bounded amount. Written from that idea, without the authors' code; what is chosen differently is said below.
One transition in, one step of actor and critic, transition dropped. Gradients by hand, numpy only.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hardware.arrays import Array, FloatArray
from hardware.errors import CheckpointError, ConfigError, NonFiniteError
from robostack.checkpoint import atomic_folder, load_arrays, load_policy, save_arrays, save_policy
from robostack.contract import Contract, require_match
from robostack.learning.avg import action_bounds
from robostack.learning.learner import LearnerEntry, Transition
from robostack.learning.networks import LEAK, Mlp, Vector
from robostack.learning.normalization import RunningMoments, RunningNormalizer

LEARNER = LearnerEntry(
    learner="robostack.learning.intentional:Intentional",
    config="robostack.learning.intentional:IntentionalConfig",
    summary="Intentional actor-critic: learns from each step at once with one setting for many tasks",
)

DEVIATION_MIN = 1e-3
"""Smallest standard deviation of the policy, before tanh."""
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
        for name in ("value_fraction", "policy_change", "clip"):
            if not getattr(self, name) > 0.0:
                raise ConfigError(f"IntentionalConfig.{name} = {getattr(self, name)} must be positive")
        for name in ("trace", "discount", "square_decay", "smoothing"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ConfigError(f"IntentionalConfig.{name} = {getattr(self, name)} must lie in [0, 1]")
        if not self.hidden or min(self.hidden) < 1:
            raise ConfigError(f"IntentionalConfig.hidden = {self.hidden} must name one width or more, each at least 1")


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
        self.steps, self.response = 0, 0.0

    def step(self, parameters: Vector, gradient: Vector, amount: float, decay: float) -> bool:
        """Move `parameters`, (size,), by the gradient (size,); returns whether everything was finite.

        Where it was not, parameters and trace stay.
        """
        if not math.isfinite(float(np.dot(gradient, gradient))) or not math.isfinite(amount):
            return False
        self.steps += 1
        self.trace *= decay
        self.trace += gradient
        self.square *= self.square_decay
        self.square += (1.0 - self.square_decay) * gradient * gradient
        direction = self.trace / (np.sqrt(self.square / (1.0 - self.square_decay**self.steps)) + EPSILON)
        response = abs(float(np.dot(gradient, direction)))
        share = 1.0 if self.steps == 1 else 1.0 - self.smoothing
        self.response += share * (response - self.response)
        parameters += np.float32(amount / max(response, self.response, EPSILON)) * direction
        return True


class Intentional:
    """The learner. Call `act`, then `observe`, then `update`, once per step.

    Args:
        contract: of the task; gives the sizes and the action bounds.
        config: settings.
        seed: of weights and exploration.
    """

    def __init__(self, contract: Contract, config: IntentionalConfig, seed: int) -> None:
        self.contract, self.config, self.seed = contract, config, seed
        self.rng = np.random.Generator(np.random.PCG64(seed))
        observations, actions = contract.num_observations * contract.history, contract.num_actions
        self.actor = Mlp(observations, config.hidden, 2 * actions, self.rng)
        self.critic = Mlp(observations, config.hidden, 1, self.rng)
        for network in (self.actor, self.critic):
            network.layers[-1] *= np.float32(HEAD_SCALE)
        decays = config.square_decay, config.smoothing
        self.actor_step = IntentionalStep(self.actor.parameters.size, *decays)
        self.critic_step = IntentionalStep(self.critic.parameters.size, *decays)
        self.normalizer = RunningNormalizer(observations)
        self.returns, self.discounted_return = RunningMoments(), 0.0
        self.error_square = 0.0
        self.low, self.high = action_bounds(contract)
        self.center, self.half = (self.low + self.high) / 2.0, (self.high - self.low) / 2.0
        self.steps, self.rejected = 0, 0
        self.perceived, self.normalized = np.full(observations, np.nan), np.zeros(observations)
        self._now, self._other = self.actor.new_pass(), self.actor.new_pass()
        self._value, self._next_value = self.critic.new_pass(), self.critic.new_pass()
        self._noise: FloatArray = np.zeros(actions)
        self._acted = False
        self._transition: Transition | None = None

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
        terminated, truncated = bool(transition.terminated), bool(transition.truncated)
        if not (math.isfinite(reward) and np.all(np.isfinite(following))):
            self.rejected += 1
            return {"rejected": float(self.rejected)}
        sigma = self._reward_scale(reward, terminated or truncated)
        # delta = r / sigma + gamma V(s') - V(s), clipped against rare large ones.
        self._value.inputs[0][:-1] = self._now.inputs[0][:-1]
        self._perceive(following)
        self._next_value.inputs[0][:-1] = self.normalized
        value = float(self.critic.forward(self._value)[0])
        next_value = 0.0 if terminated else float(self.critic.forward(self._next_value)[0])
        delta, usual = self._clipped(reward / sigma + self.config.discount * next_value - value)
        # Critic: V(s) is to move by a fraction of delta. Actor: log pi(a|s) by a share of delta over its usual size.
        decay = self.config.discount * self.config.trace
        self.critic.backward(self._value, np.ones(1))
        gradient = self.critic.gradient(self._value)
        finite = self.critic_step.step(self.critic.parameters, gradient, self.config.value_fraction * delta, decay)
        self.actor.backward(self._now, self._head_gradient(math.copysign(1.0, delta)))
        amount = self.config.policy_change * delta / usual
        finite &= self.actor_step.step(self.actor.parameters, self.actor.gradient(self._now), amount, decay)
        self.rejected += not finite
        if terminated or truncated:
            self.critic_step.trace[:] = 0.0
            self.actor_step.trace[:] = 0.0
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
        self.discounted_return = self.discounted_return * self.config.discount + reward
        self.returns.push(self.discounted_return)
        if ended:
            self.discounted_return = 0.0
        return max(math.sqrt(self.returns.variance), 1e-4) if self.returns.count > 1 else 1.0

    def _clipped(self, delta: float) -> tuple[float, float]:
        """`delta` within so many times its root mean square, and that root."""
        decay = self.config.square_decay
        self.error_square = decay * self.error_square + (1.0 - decay) * delta * delta
        usual = math.sqrt(self.error_square / (1.0 - decay**self.steps)) + EPSILON
        limit = self.config.clip * usual
        return min(max(delta, -limit), limit), usual

    def _perceive(self, observation: FloatArray) -> None:
        self.normalizer.update(observation)
        self.perceived[:] = observation
        self.normalized[:] = self.normalizer.normalize(observation)

    def _to_bounds(self, u: Array) -> FloatArray:
        return np.asarray(self.center + self.half * np.tanh(u), dtype=np.float64)

    def save(self, folder: Path) -> None:
        """Write a checkpoint: the policy, and all that an exact resume needs."""
        with atomic_folder(folder) as fresh:
            network = {"leak": LEAK, "normalize": True, "epsilon": self.actor.epsilon}
            config = {"kind": "mlp", "network": network, "learner": "intentional", **dataclasses.asdict(self.config)}
            save_policy(fresh, self._policy_arrays(), self.contract, config, {"seed": self.seed, "steps": self.steps})
            scalars = {
                "steps": [self.steps, self.rejected, self.actor_step.steps, self.critic_step.steps],
                "floats": [self.actor_step.response, self.critic_step.response, self.error_square],
                "discounted_return": self.discounted_return,
                "rng": self.rng.bit_generator.state,
            }
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
            self.steps, self.rejected, self.actor_step.steps, self.critic_step.steps = scalars["steps"]
            self.actor_step.response, self.critic_step.response, self.error_square = scalars["floats"]
            self.discounted_return = float(scalars["discounted_return"])
            self.rng.bit_generator.state = scalars["rng"]
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"{folder}: the learner's state lacks {error}. Use another checkpoint.") from error
        self._acted, self._transition = False, None

    def state_arrays(self) -> dict[str, Any]:
        return {
            "actor": self.actor.parameters,
            "actor_trace": self.actor_step.trace,
            "actor_square": self.actor_step.square,
            "critic": self.critic.parameters,
            "critic_trace": self.critic_step.trace,
            "critic_square": self.critic_step.square,
            "observation_count": self.normalizer.weight,
            "observation_mean": self.normalizer.mean,
            "observation_variance": self.normalizer.variance,
            "returns": self.returns.state,
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


def _deviation(spread: FloatArray) -> FloatArray:
    """Standard deviation of the policy, before tanh, from its head."""
    return np.logaddexp(0.0, spread) + DEVIATION_MIN
