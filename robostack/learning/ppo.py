"""Proximal policy optimisation with generalised advantages, over many simulations stepped together.

Schulman et al., "Proximal Policy Optimization Algorithms", arXiv 1707.06347; advantages after arXiv 1506.02438. The
policy is a normal distribution whose mean is a network and whose deviation is a parameter; actions are clipped to their
bounds. An episode that a time limit cuts is continued by the value of its last observation.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hardware.arrays import Array, FloatArray
from hardware.errors import CheckpointError, ConfigError, NonFiniteError
from robostack.checkpoint import atomic_folder, load_arrays, load_policy, save_arrays, save_policy
from robostack.contract import Contract, require_match
from robostack.learning.avg import finite_action_bounds
from robostack.learning.flat_adam import FlatAdam, flatten
from robostack.learning.learner import LearnerEntry, Transition
from robostack.learning.normalization import RunningNormalizer
from robostack.learning.tanh_network import TANH_POLICY, policy_arrays, tanh_network
from robostack.learning.torch_backend import Tensor, open_device, restore, to_arrays, torch

LEARNER = LearnerEntry(
    learner="robostack.learning.ppo:Ppo",
    config="robostack.learning.ppo:PpoConfig",
    summary="PPO: learns from each batch of new steps, clipped, over many simulations",
    simulations=16,
    extra="train",
)


@dataclass(frozen=True)
class PpoConfig:
    """Settings. The defaults are those in common use for Gymnasium's MuJoCo tasks."""

    steps_per_update: int = 2048
    """Environment steps between updates, over all simulations together."""
    minibatch: int = 64
    """Steps per gradient step."""
    epochs: int = 10
    """Passes over the steps of an update."""
    learning_rate: float = 3e-4
    """Adam step size."""
    discount: float = 0.99
    """gamma: discount per step."""
    gae_decay: float = 0.95
    """lambda: decay of the weight of later errors in an advantage, beside the discount."""
    clip: float = 0.2
    """Change of an action's probability, as a ratio to 1, beyond which there is no more gradient."""
    target_divergence: float = 0.0
    """Divergence from the policy that acted at which the passes end early [nat]; 0: never."""
    entropy_coefficient: float = 0.0
    """Weight of the policy's entropy."""
    value_coefficient: float = 0.5
    """Weight of the value's squared error."""
    gradient_norm: float = 0.5
    """Longest gradient; longer ones are shortened."""
    initial_deviation: float = 1.0
    """Standard deviation of the policy at the start, as a fraction of half the action range."""
    hidden: tuple[int, ...] = (64, 64)
    """Widths of the hidden layers of policy and value, with tanh."""
    scale_rewards: bool = True
    """Divide rewards by the standard deviation of the discounted return."""
    privileged: int = 0
    """Length of what only the value sees (`Transition.privileged`); 0: nothing."""
    device: str = "cpu"
    """Where it computes: "cpu" or "cuda"."""

    def __post_init__(self) -> None:
        """Check ranges.

        Raises:
            ConfigError: a value is out of range.
        """
        for name in ("steps_per_update", "minibatch", "epochs"):
            if getattr(self, name) < 1:
                raise ConfigError(f"PpoConfig.{name} = {getattr(self, name)} must be at least 1")
        for name in ("learning_rate", "clip", "gradient_norm", "initial_deviation"):
            if not getattr(self, name) > 0.0:
                raise ConfigError(f"PpoConfig.{name} = {getattr(self, name)} must be positive")
        for name in ("discount", "gae_decay"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ConfigError(f"PpoConfig.{name} = {getattr(self, name)} must lie in [0, 1]")
        for name in ("target_divergence", "entropy_coefficient", "value_coefficient", "privileged"):
            if getattr(self, name) < 0:
                raise ConfigError(f"PpoConfig.{name} = {getattr(self, name)} must not be negative")
        if not self.hidden or min(self.hidden) < 1:
            raise ConfigError(f"PpoConfig.hidden = {self.hidden} must name one width or more, each at least 1")


def advantages(
    reward: FloatArray,
    value: FloatArray,
    next_value: FloatArray,
    terminated: Array,
    truncated: Array,
    discount: float,
    decay: float,
) -> FloatArray:
    """Generalised advantages, (steps, count).

    A_t = delta_t + gamma lambda A_{t+1}, the second term only within an episode, with
    delta_t = r_t + gamma V(s'_t) - V(s_t), V(s'_t) = 0 where the episode ended by itself. Where a time limit cut it,
    s'_t is the observation of the cut, not of the next start.

    Args:
        reward: r, (steps, count).
        value: V(s), (steps, count).
        next_value: V(s'), (steps, count).
        terminated: where an episode ended by itself, (steps, count).
        truncated: where a time limit cut one, (steps, count).
        discount: gamma.
        decay: lambda.
    """
    error = reward + discount * np.where(terminated, 0.0, next_value) - value
    within = discount * decay * ~(np.asarray(terminated, dtype=bool) | np.asarray(truncated, dtype=bool))
    found = np.zeros_like(error)
    following = np.zeros(error.shape[1:])
    for step in range(len(error) - 1, -1, -1):
        following = error[step] + within[step] * following
        found[step] = following
    return found


class Ppo:
    """The learner. Call `act`, then `observe`, then `update`, with the same number of simulations every time.

    Args:
        contract: of the task; gives the sizes and the action bounds, which must be finite.
        config: settings.
        seed: of weights, exploration, order of the steps.

    Raises:
        ConfigError: an action has no bounds, or the device is not there.
    """

    def __init__(self, contract: Contract, config: PpoConfig, seed: int) -> None:
        self.contract, self.config, self.seed = contract, config, seed
        self.rng = np.random.Generator(np.random.PCG64(seed))
        self.device = open_device(config.device)
        observations, actions = contract.num_observations * contract.history, contract.num_actions
        self.low, self.high = finite_action_bounds(contract)
        self.center, self.half = (self.low + self.high) / 2.0, (self.high - self.low) / 2.0
        self.policy = tanh_network((observations, *config.hidden, actions), self.rng, 0.01).to(self.device)
        self.value = tanh_network((observations + config.privileged, *config.hidden, 1), self.rng, 1.0).to(self.device)
        start = torch.full((actions,), math.log(config.initial_deviation), device=self.device)
        self.log_deviation = torch.nn.Parameter(start)
        self.parameters, self.gradient = flatten(
            [self.log_deviation, *self.policy.parameters(), *self.value.parameters()]
        )
        self.optimizer = FlatAdam(self.parameters, self.gradient, config.learning_rate, epsilon=1e-5)
        self.normalizer = RunningNormalizer(observations)
        self.return_scale = RunningNormalizer(1)
        self.steps, self.filled = 0, 0
        """Environment steps, and steps of every simulation waiting for the next update."""
        self.rollout: dict[str, FloatArray] = {}
        """What the next update will learn from, each (length, count, ...); empty before the first step."""
        self.returns: FloatArray = np.zeros(0)
        """Discounted return of each simulation so far, (count,)."""
        self._drawn: FloatArray | None = None
        self._metrics: dict[str, float] = {}

    def act(self, observation: Array, explore: bool = True) -> FloatArray:
        """Actions for `observation` (..., num_observations), within the contract's bounds, (..., num_actions).

        With `explore` drawn from the policy, which then learns from exactly this draw; without, the policy's mean.

        Raises:
            NonFiniteError: the observation is not finite.
        """
        array = np.asarray(observation, dtype=np.float64)
        if not np.all(np.isfinite(array)):
            raise NonFiniteError(f"the observation is not finite: {observation}")
        with torch.no_grad():
            mean = self.policy(self._tensor(self.normalizer.normalize(array))).cpu().numpy().astype(np.float64)
            if explore:
                deviation = self.log_deviation.exp().cpu().numpy()
                mean = mean + deviation * self.rng.standard_normal(mean.shape)
                self._drawn = mean.reshape(-1, mean.shape[-1])
        return np.clip(self.center + self.half * mean, self.low, self.high)

    def observe(self, transition: Transition) -> None:
        """Keep what the last explored actions led to.

        Raises:
            ConfigError: there is no explored action, or the number of simulations has changed.
            NonFiniteError: a reward or an observation is not finite.
        """
        if self._drawn is None:
            raise ConfigError("PPO learns from the action it drew last: call act(observation, explore=True) before")
        count = len(self._drawn)
        row = {
            "observation": np.reshape(transition.observation, (count, -1)),
            "next_observation": np.reshape(transition.next_observation, (count, -1)),
            "drawn": self._drawn,
            "reward": np.reshape(transition.reward, count),
            "terminated": np.reshape(transition.terminated, count),
            "truncated": np.reshape(transition.truncated, count),
        }
        if self.config.privileged:
            given: Any = np.zeros(0) if transition.privileged is None else np.asarray(transition.privileged)
            if given.shape[-1] != self.config.privileged:
                raise ConfigError(
                    f"the value expects {self.config.privileged} privileged numbers, not {given.shape[-1]}"
                )
            row["privileged"] = given.reshape(count, self.config.privileged)
        if not all(np.all(np.isfinite(array)) for array in row.values()):
            raise NonFiniteError("a reward or an observation is not finite; PPO cannot leave out a step of an episode")
        if not self.rollout:
            length = -(-self.config.steps_per_update // count)
            self.rollout = {name: np.zeros((length, *np.shape(array))) for name, array in row.items()}
            self.returns = np.zeros(count)
        if len(self.returns) != count:
            raise ConfigError(f"PPO began with {len(self.returns)} simulations and is now given {count}")
        for name, array in row.items():
            self.rollout[name][self.filled] = array
        self._drawn = None
        self.filled += 1
        self.steps += count

    def update(self) -> dict[str, float]:
        """Learn once enough steps are there.

        Returns:
            Of the last update: policy_loss, value_loss, entropy, divergence, clipped; empty before the first.
        """
        if self.rollout and self.filled == len(self.rollout["reward"]):
            self._learn()
            self.filled = 0
        return dict(self._metrics)

    def _learn(self) -> None:
        """All passes over the rollout; then the statistics, so that within a rollout they stand still."""
        config, rollout = self.config, self.rollout
        states = {
            name: self._tensor(self.normalizer.normalize(rollout[name])) for name in ("observation", "next_observation")
        }
        seen = [self._tensor(rollout["privileged"])] if config.privileged else []
        contexts = [torch.cat([state, *seen], dim=-1) for state in states.values()]
        drawn = self._tensor(rollout["drawn"])
        with torch.no_grad():
            value, next_value = (self.value(context)[..., 0].cpu().numpy().astype(np.float64) for context in contexts)
            old_log = self._log_probability(states["observation"], drawn)
        ends = (rollout["terminated"] > 0.0, rollout["truncated"] > 0.0)
        reward = self._scaled(rollout["reward"], ends[0] | ends[1])
        advantage = advantages(reward, value, next_value, *ends, config.discount, config.gae_decay)
        data = [
            states["observation"],
            contexts[0],
            drawn,
            old_log,
            self._tensor(advantage),
            self._tensor(advantage + value),
        ]
        data = [tensor.flatten(0, 1) for tensor in data]
        size = len(data[0])
        for _ in range(config.epochs):
            order = torch.from_numpy(self.rng.permutation(size)).to(self.device)
            parts = [self._step([tensor[chosen] for tensor in data]) for chosen in order.split(config.minibatch)]
            self._metrics = {name: float(np.mean([part[name] for part in parts])) for name in parts[0]}
            if 0.0 < config.target_divergence < self._metrics["divergence"]:
                break
        self.normalizer.update_batch(rollout["observation"].reshape(size, -1))

    def _step(self, batch: Sequence[Tensor]) -> dict[str, float]:
        """One gradient step."""
        state, context, drawn, old_log, advantage, target = batch
        config = self.config
        if len(advantage) > 1:
            advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
        difference = self._log_probability(state, drawn) - old_log
        ratio = difference.exp()
        limited = ratio.clamp(1.0 - config.clip, 1.0 + config.clip)
        policy_loss = -torch.minimum(ratio * advantage, limited * advantage).mean()
        value_loss = (self.value(context)[:, 0] - target).square().mean()
        entropy = (self.log_deviation + 0.5 * math.log(2.0 * math.pi * math.e)).sum()
        self.gradient.zero_()
        loss = policy_loss + config.value_coefficient * value_loss - config.entropy_coefficient * entropy
        loss.backward()
        length = float(self.gradient.norm())
        if not math.isfinite(length):
            raise NonFiniteError("PPO's gradient is not finite: lower learning_rate, or check the task's rewards")
        if length > config.gradient_norm:
            self.gradient.mul_(config.gradient_norm / length)
        self.optimizer.step()
        with torch.no_grad():
            return {
                "policy_loss": float(policy_loss),
                "value_loss": float(value_loss),
                "entropy": float(entropy),
                # The estimator (r - 1) - log r of Schulman's note on approximating KL: unbiased, never negative.
                "divergence": float((ratio - 1.0 - difference).mean()),
                "clipped": float((ratio != limited).float().mean()),
            }

    def _log_probability(self, state: Tensor, drawn: Tensor) -> Tensor:
        """Log-density of what was drawn, before clipping to the bounds, (...,)."""
        deviation = self.log_deviation.exp()
        error = (drawn - self.policy(state)) / deviation
        return (-0.5 * error * error - self.log_deviation - 0.5 * math.log(2.0 * math.pi)).sum(-1)

    def _scaled(self, reward: FloatArray, ended: Array) -> FloatArray:
        """Rewards over the standard deviation of the discounted return, (length, count)."""
        if not self.config.scale_rewards:
            return reward
        history = np.zeros_like(reward)
        for step in range(len(reward)):
            self.returns = self.config.discount * self.returns + reward[step]
            history[step] = self.returns
            self.returns = np.where(ended[step], 0.0, self.returns)
        self.return_scale.update_batch(history.reshape(-1, 1))
        return reward / float(self.return_scale.scale()[0])

    def _tensor(self, array: Array) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32)).to(self.device)

    def save(self, folder: Path) -> None:
        """Write a checkpoint: the policy, and all that an exact resume needs. Not between `act` and `observe`."""
        config = {"kind": "mlp", "network": dict(TANH_POLICY), "learner": "ppo", **dataclasses.asdict(self.config)}
        scalars = {
            "steps": self.steps,
            "filled": self.filled,
            "rng": self.rng.bit_generator.state,
            "counts": [self.normalizer.count, self.return_scale.count],
            "metrics": self._metrics,
        }
        with atomic_folder(folder) as fresh:
            policy = policy_arrays(self.policy, self.normalizer, self.low, self.high)
            save_policy(fresh, policy, self.contract, config, {"seed": self.seed, "steps": self.steps})
            arrays = {**to_arrays(self._tensors()), **self._statistics(), "returns": self.returns}
            arrays |= {f"rollout.{name}": array for name, array in self.rollout.items()}
            save_arrays(fresh, "learner", arrays, {"config": config, "scalars": scalars})

    def load(self, folder: Path) -> None:
        """Continue exactly where `save` left off.

        Raises:
            CheckpointError: a file is missing or damaged, or of another configuration.
            ContractMismatchError: the checkpoint is of another task or robot.
        """
        require_match(load_policy(folder).contract, self.contract, f"checkpoint {folder}")
        stored, document = load_arrays(folder, "learner")
        restore(self._tensors(), stored, folder)
        try:
            scalars = document["scalars"]
            self.steps, self.filled = int(scalars["steps"]), int(scalars["filled"])
            self.rng.bit_generator.state = scalars["rng"]
            self.normalizer.count, self.return_scale.count = scalars["counts"]
            self._metrics = dict(scalars["metrics"])
            for name, array in self._statistics().items():
                array[:] = stored[name]
            self.returns = stored["returns"]
            self.rollout = _with_prefix(stored, "rollout.")
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"{folder}: the learner's state lacks {error}. Use another checkpoint.") from error
        self._drawn = None

    def _tensors(self) -> dict[str, Tensor]:
        return {"parameters": self.parameters, **self.optimizer.tensors("adam")}

    def _statistics(self) -> dict[str, FloatArray]:
        """The arrays of the running statistics themselves."""
        return {
            "observation_mean": self.normalizer.mean,
            "observation_variance": self.normalizer.variance,
            "return_mean": self.return_scale.mean,
            "return_variance": self.return_scale.variance,
        }


def _with_prefix(stored: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    return {name.removeprefix(prefix): array for name, array in stored.items() if name.startswith(prefix)}
