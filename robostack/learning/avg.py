"""Action Value Gradient: one transition in, one gradient step for actor and critic, transition dropped.

Vasan et al., "Deep Policy Gradient Methods Without Batch Updates, Target Networks, or Replay Buffers", NeurIPS 2024,
arXiv 2411.15370. The gradients are derived by hand. This file is the algorithm in numpy, and is what runs where no C
compiler was there at installation; elsewhere avg_kernel.c computes the same on the same arrays, some ten times as fast.
Small matrix-vector products gain nothing from several BLAS threads and lose much to waiting: run with
OPENBLAS_NUM_THREADS=1 (`robostack train` sets it).
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from hardware.arrays import Array, FloatArray
from hardware.errors import CheckpointError, ConfigError, NonFiniteError
from robostack.checkpoint import atomic_folder, load_arrays, load_policy, save_arrays, save_policy
from robostack.contract import Contract, require_match
from robostack.learning.adam import Adam
from robostack.learning.kernel import KernelChoice, open_kernel
from robostack.learning.learner import LearnerEntry, Transition
from robostack.learning.networks import LEAK, Mlp, Pass, Vector
from robostack.learning.normalization import RunningNormalizer
from robostack.learning.squashed_gaussian import SquashedGaussian, Variance
from robostack.learning.td_scale import TdScale

LEARNER = LearnerEntry(
    learner="robostack.learning.avg:Avg",
    config="robostack.learning.avg:AvgConfig",
    summary="Action Value Gradient: learns from each step at once, no replay, no deep-learning framework",
)

ANNEALED = 0.05
"""Fraction of the step sizes that is left after `anneal_steps`."""


LAYOUT = 2
"""Number of the order in which a checkpoint holds the networks' parameters."""


@dataclass(frozen=True)
class AvgConfig:
    """Settings of AVG. The defaults are those of the paper's quadruped and humanoid tasks."""

    actor_learning_rate: float = 6.3e-3
    """Adam step size of the actor."""
    critic_learning_rate: float = 8.7e-3
    """Adam step size of the critic."""
    beta1: float = 0.0
    """Adam's decay of the first moment; 0 for none."""
    beta2: float = 0.999
    """Adam's decay of the second moment."""
    entropy_coefficient: float = 0.07
    """alpha: weight of the policy's entropy against the reward; fixed."""
    discount: float = 0.99
    """gamma: discount per step."""
    hidden: tuple[int, ...] = (256, 256)
    """Widths of the hidden layers of actor and critic."""
    feature_epsilon: float = 1e-8
    """Added in quadrature to the length that the last hidden layer is divided by. With a value of the size of that
    length (about 3) the features fade towards the mean observation instead of turning abruptly there, which a task
    that ends at rest in the middle of its observations needs; the published code has none."""
    variance: Variance = "variance"
    """What the actor's second head is the logarithm of: "variance" as published, or "std"."""
    map_actions: bool = True
    """Map the policy's (-1, 1) onto the action bounds; False clips to the bounds instead, as published."""
    reset_return_on_truncation: bool = True
    """Whether a time limit starts a new return in the scale of the error; False as published."""
    anneal_steps: int = 0
    """Steps over which both step sizes fall linearly to a twentieth, where they stay; 0: constant, as published."""
    entropy_final: float | None = None
    """Value that alpha falls to geometrically over `anneal_steps`; None: constant, as published."""
    critic_first: int = 0
    """Steps at the start in which only the critic learns; for an actor that was handed over."""
    average: float = 0.0
    """Decay per step of the running average of the actor, which is exported and acts without exploration; 0: none."""
    precision: Literal["float32", "float64"] = field(default="float32", repr=False)
    """Floating-point type of the networks."""
    kernel: KernelChoice = "auto"
    """What computes: "compiled" C, "numpy" (the same to rounding), or "auto": compiled where it is built."""

    def __post_init__(self) -> None:
        """Check ranges.

        Raises:
            ConfigError: a value is out of range.
        """
        for name in ("actor_learning_rate", "critic_learning_rate", "feature_epsilon", "entropy_final"):
            if getattr(self, name) is not None and not getattr(self, name) > 0.0:
                raise ConfigError(f"AvgConfig.{name} = {getattr(self, name)} must be positive")
        for name in ("beta1", "beta2", "discount", "average"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ConfigError(f"AvgConfig.{name} = {getattr(self, name)} must lie in [0, 1]")
        if not self.hidden or min(self.hidden) < 1:
            raise ConfigError(f"AvgConfig.hidden = {self.hidden} must name one width or more, each at least 1")


class Avg:
    """The learner. Call `act`, then `observe`, then `update`, once per step.

    Args:
        contract: of the task; gives the sizes and the action bounds.
        config: settings.
        seed: of weights and exploration.
    """

    def __init__(self, contract: Contract, config: AvgConfig, seed: int) -> None:
        self.contract, self.config, self.seed = contract, config, seed
        self.rng = np.random.Generator(np.random.PCG64(seed))
        num_observations, num_actions = contract.num_observations * contract.history, contract.num_actions
        dtype = np.float32 if config.precision == "float32" else np.float64
        network: dict[str, Any] = {"epsilon": config.feature_epsilon, "dtype": dtype}
        self.actor = Mlp(num_observations, config.hidden, 2 * num_actions, self.rng, **network)
        self.critic = Mlp(num_observations + num_actions, config.hidden, 1, self.rng, **network)
        adam: dict[str, Any] = {"beta1": config.beta1, "beta2": config.beta2, "dtype": dtype}
        self.actor_optimizer = Adam(self.actor.parameters.size, config.actor_learning_rate, **adam)
        self.critic_optimizer = Adam(self.critic.parameters.size, config.critic_learning_rate, **adam)
        self.normalizer = RunningNormalizer(num_observations)
        self.td_scale = TdScale(config.discount, config.reset_return_on_truncation)
        self.averaged = self.actor.parameters.copy() if config.average > 0.0 else self.actor.parameters
        self._averaged_layers = self.actor.stored(self.averaged)
        low, high = action_bounds(contract)
        self.low, self.high = low, high
        self.center, self.half = (low + high) / 2.0, (high - low) / 2.0
        self.alpha = config.entropy_coefficient
        self.steps = 0
        self.rejected = 0
        """Transitions not learned from because something was not finite."""
        # Working memory: the actor at s and s', the critic at (s, a) and (s', a'), the draws a and a', and the last
        # observation, as measured (undefined before the first) and normalised.
        self.now, self.next = self.actor.new_pass(), self.actor.new_pass()
        self.value, self.next_value = self.critic.new_pass(), self.critic.new_pass()
        self.drawn, self.fresh = (SquashedGaussian(num_actions, config.variance) for _ in range(2))
        self.perceived: FloatArray = np.full(num_observations, np.nan)
        self.normalized: FloatArray = np.zeros(num_observations)
        self._num_actions = num_actions
        self._acted = False
        self._transition: Transition | None = None
        self._kernel = open_kernel(config.kernel, self)

    def act(self, observation: Array, explore: bool = True) -> FloatArray:
        """An action for `observation` (num_observations,), within the contract's bounds, (num_actions,).

        With `explore`, the observation enters the running statistics and the action is drawn from the policy; AVG
        learns from exactly this draw. Without, the policy's mean, and nothing changes.

        Raises:
            NonFiniteError: the observation is not finite.
        """
        if not explore:
            return self._mean_action(_finite(observation))
        self.rng.standard_normal(out=self.drawn.noise)
        action = self._kernel.act(observation) if self._kernel else self._act(_finite(observation))
        self._acted = True
        return action

    def observe(self, transition: Transition) -> None:
        """Take in what the last explored action led to.

        Raises:
            ConfigError: there is no explored action to learn from.
        """
        if not self._acted:
            raise ConfigError("AVG learns from the action it drew last: call act(observation, explore=True) before")
        self._transition = transition

    def update(self) -> dict[str, float]:
        """One gradient step on actor and critic; the transition is dropped.

        Returns:
            td_error, sigma, value, log_probability, rejected (count so far); empty before the first transition.
        """
        if self._transition is None:
            return {}
        transition, self._transition, self._acted = self._transition, None, False
        self.steps += 1
        self._anneal()
        self.rng.standard_normal(out=self.fresh.noise)
        learned, metrics = (self._kernel.update if self._kernel else self._learn)(
            transition.next_observation,
            float(transition.reward),
            bool(transition.terminated),
            bool(transition.truncated),
            (self.alpha, self.actor_optimizer.learning_rate, self.critic_optimizer.learning_rate),
        )
        self.rejected += not learned
        metrics["rejected"] = float(self.rejected)
        return metrics

    def _act(self, observation: FloatArray) -> FloatArray:
        """Draw an action for `observation`."""
        if not np.array_equal(observation, self.perceived):
            self._perceive(observation)
        self.now.inputs[0][:-1] = self.normalized
        self.drawn.draw(self.actor.forward(self.now))
        return self._to_bounds(self.drawn.action)

    def _learn(
        self,
        next_observation: Array,
        reward: float,
        terminated: bool,
        truncated: bool,
        rates: tuple[float, float, float],
    ) -> tuple[bool, dict[str, float]]:
        """The algorithm, from s and a as `_act` left them; whether it was learned from, and the metrics."""
        next_observation = np.asarray(next_observation, dtype=np.float64)
        if not (math.isfinite(reward) and np.all(np.isfinite(next_observation))):
            return False, {}
        observation, config, drawn, fresh = self.now.inputs[0][:-1], self.config, self.drawn, self.fresh
        self._perceive(next_observation)
        alpha, log_pi = rates[0], drawn.log_probability

        # Scale of the error, with the entropy bonus in the reward.
        self.td_scale.update(reward - alpha * log_pi, terminated, truncated)
        sigma = self.td_scale.sigma()

        # delta = r + gamma (Q(s', a') - alpha log pi(a'|s')) - Q(s, a), with the current weights.
        self.next.inputs[0][:-1] = self.normalized
        fresh.draw(self.actor.forward(self.next))
        next_value = self._q(self.next_value, self.normalized, fresh.action) - alpha * fresh.log_probability
        value = self._q(self.value, observation, drawn.action)
        delta = reward + config.discount * (0.0 if terminated else next_value) - value

        # One backward pass of the critic gives dQ/da for the actor and dQ/dw for itself.
        slope = self.critic.backward(self.value, np.ones(1))[-self._num_actions :]
        # Actor loss: alpha log pi(a|s) - Q(s, a), through the drawn a.
        self.actor.backward(self.now, drawn.loss_gradient(slope, alpha))
        actor_gradient = self.actor.gradient(self.now)
        # Critic loss: (delta / sigma)^2.
        critic_gradient = self.critic.gradient(self.value, scale=-2.0 * delta / sigma**2)

        size = float(np.dot(actor_gradient, actor_gradient)) + float(np.dot(critic_gradient, critic_gradient))
        finite = math.isfinite(size)
        if finite:
            self.actor_optimizer.step(self.actor.parameters, actor_gradient)
            self.critic_optimizer.step(self.critic.parameters, critic_gradient)
            if config.average > 0.0:
                self.averaged += (1.0 - config.average) * (self.actor.parameters - self.averaged)
        return finite, {"td_error": delta, "sigma": sigma, "value": value, "log_probability": log_pi}

    def _anneal(self) -> None:
        """Set step sizes and alpha for this step."""
        config = self.config
        done = min(1.0, self.steps / config.anneal_steps) if config.anneal_steps > 0 else 0.0
        fraction = 1.0 - (1.0 - ANNEALED) * done
        # With a step size of zero the actor stays to the bit, while the mean squares of its gradients settle.
        waits = self.steps <= config.critic_first
        self.actor_optimizer.learning_rate = 0.0 if waits else fraction * config.actor_learning_rate
        self.critic_optimizer.learning_rate = fraction * config.critic_learning_rate
        if config.entropy_final is not None:
            self.alpha = config.entropy_coefficient * (config.entropy_final / config.entropy_coefficient) ** done

    def _q(self, run: Pass, observation: Vector, action: Vector) -> float:
        """Q(s, a)."""
        joined = run.inputs[0]
        joined[: observation.size] = observation
        joined[observation.size : -1] = action
        return float(self.critic.forward(run)[0])

    def _perceive(self, observation: FloatArray) -> None:
        """Take `observation` into the statistics and normalise it by them."""
        self.normalizer.update(observation)
        self.perceived[:] = observation
        self.normalized[:] = self.normalizer.normalize(observation)

    def _mean_action(self, observation: FloatArray) -> FloatArray:
        self.next.inputs[0][:-1] = self.normalizer.normalize(observation)
        mean = self.actor.forward(self.next, self._averaged_layers)[: self._num_actions]
        return self._to_bounds(np.tanh(mean))

    def _to_bounds(self, squashed: Array) -> FloatArray:
        if self.config.map_actions:
            return np.asarray(self.center + self.half * squashed, dtype=np.float64)
        return np.clip(squashed, self.low, self.high).astype(np.float64)

    def save(self, folder: Path) -> None:
        """Write a checkpoint: the policy, and all that an exact resume needs. Not within act, observe, update."""
        with atomic_folder(folder) as fresh:
            network = {"leak": LEAK, "normalize": self.actor.normalize, "epsilon": self.config.feature_epsilon}
            config = {"kind": "mlp", "network": network, "learner": "avg", **dataclasses.asdict(self.config)}
            provenance = {"seed": self.seed, "steps": self.steps}
            save_policy(fresh, self._policy_arrays(), self.contract, config, provenance)
            scalars = {
                "layout": LAYOUT,
                "steps": self.steps,
                "rejected": self.rejected,
                "rng": self.rng.bit_generator.state,
                "optimizer_steps": [self.actor_optimizer.steps, self.critic_optimizer.steps],
                "observation_count": self.normalizer.count,
                "td_scale": self.td_scale.to_dict(),
                "perceived": None if np.isnan(self.perceived).any() else self.perceived.tolist(),
                "normalized": self.normalized.tolist(),
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
                    raise CheckpointError(
                        f"{folder}: {name} is {stored[name].dtype}{stored[name].shape}, the configuration asks for "
                        f"{array.dtype}{array.shape}. Resume with the configuration of the run."
                    )
                array[...] = stored[name]
            scalars = document["scalars"]
            if scalars["layout"] != LAYOUT:
                raise CheckpointError(f"{folder}: written by another version. Resume with that, or start anew.")
            self.steps, self.rejected = int(scalars["steps"]), int(scalars["rejected"])
            self.rng.bit_generator.state = scalars["rng"]
            self.actor_optimizer.steps, self.critic_optimizer.steps = scalars["optimizer_steps"]
            self.normalizer.count = float(scalars["observation_count"])
            self.td_scale.from_dict(scalars["td_scale"])
            perceived, normalized = scalars["perceived"], scalars["normalized"]
            self.perceived[:] = np.nan if perceived is None else perceived
            self.normalized[:] = normalized
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"{folder}: the learner's state lacks {error}. Use another checkpoint.") from error
        self._acted, self._transition = False, None

    def state_arrays(self) -> dict[str, Any]:
        """Every array of the state, by name; the arrays themselves, so that `load` can write into them."""
        arrays = {
            "actor": self.actor.parameters,
            "actor_first_moment": self.actor_optimizer.first,
            "actor_second_moment": self.actor_optimizer.second,
            "critic": self.critic.parameters,
            "critic_first_moment": self.critic_optimizer.first,
            "critic_second_moment": self.critic_optimizer.second,
            "observation_mean": self.normalizer.mean,
            "observation_variance": self.normalizer.variance,
        }
        return {**arrays, "averaged": self.averaged} if self.config.average > 0.0 else arrays

    def _policy_arrays(self) -> dict[str, Any]:
        """The deterministic policy, as robostack.policies.mlp reads it."""
        arrays: dict[str, Any] = {
            "observation_mean": self.normalizer.mean,
            "observation_scale": self.normalizer.scale(),
            "action_center": self.center if self.config.map_actions else np.zeros_like(self.center),
            "action_half": self.half if self.config.map_actions else np.ones_like(self.half),
            "action_low": self.low,
            "action_high": self.high,
        }
        layers = self.actor.matrices(self.averaged)
        for index, layer in enumerate(layers):
            rows = slice(None) if index + 1 < len(layers) else slice(self._num_actions)
            arrays[f"layer{index}.weight"] = np.ascontiguousarray(layer[rows, :-1])
            arrays[f"layer{index}.bias"] = np.ascontiguousarray(layer[rows, -1])
        return arrays


def _finite(observation: Array) -> FloatArray:
    observation = np.asarray(observation, dtype=np.float64)
    if not np.all(np.isfinite(observation)):
        raise NonFiniteError(f"the observation is not finite: {observation}")
    return observation


def action_bounds(contract: Contract) -> tuple[FloatArray, FloatArray]:
    """Bounds of the action vector, each (num_actions,)."""
    low = np.array([term.low for term in contract.action for _ in term.elements], dtype=np.float64)
    high = np.array([term.high for term in contract.action for _ in term.elements], dtype=np.float64)
    return low, high


def finite_action_bounds(contract: Contract) -> tuple[FloatArray, FloatArray]:
    """Bounds of the action vector, each (num_actions,), for learners whose policy needs both.

    Raises:
        ConfigError: an action has no bounds.
    """
    low, high = action_bounds(contract)
    if not np.all(np.isfinite(high - low)):
        raise ConfigError(f"task '{contract.task}' has actions without bounds; give each action term low and high")
    return low, high
