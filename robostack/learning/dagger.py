"""DAgger: learns to act as the task's hand-written policy does, in the states that it reaches itself.

Ross, Gordon and Bagnell, "A Reduction of Imitation Learning and Structured Prediction to No-Regret Online Learning",
AISTATS 2011, arXiv 1011.0686, with its parameter-free choice: the expert acts first, the learner ever after. What is
executed carries noise and what is learned does not, so that the way back is seen from the start (Laskey et al., "DART",
CoRL 2017, arXiv 1703.09327). The expert sees what the policy sees; neither is told the dynamics.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping
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
from robostack.learning.replay import Field, Replay
from robostack.learning.tanh_network import TANH_POLICY, policy_arrays, tanh_network
from robostack.learning.torch_backend import Tensor, open_device, restore, to_arrays, torch
from robostack.policies.policy import Policy
from robostack.tasks.with_history import open_task

LEARNER = LearnerEntry(
    learner="robostack.learning.dagger:Dagger",
    config="robostack.learning.dagger:DaggerConfig",
    summary="DAgger: imitates the task's hand-written policy wherever its own policy comes to",
    simulations=20,
    extra="train",
)


@dataclass(frozen=True)
class DaggerConfig:
    """Settings."""

    expert_steps: int = 20_000
    """Environment steps at the start in which the expert acts."""
    noise: float = 0.15
    """Standard deviation of what is added to the actions in training, as a share of half their range."""
    updates_per_step: float = 0.1
    """Gradient steps per environment step; exact over time, also when many simulations step together."""
    batch_size: int = 512
    """Observations per gradient step."""
    learning_rate: float = 1e-3
    """Adam step size."""
    average_rate: float = 1e-3
    """Rate at which the policy that acts and is saved follows the one that learns, per gradient step; until 1 / rate
    steps it is the plain mean of all."""
    hidden: tuple[int, ...] = (128, 128)
    """Widths of the hidden layers, with tanh."""
    replay_size: int = 1_000_000
    """Observations kept."""
    device: str = "cpu"
    """Where it computes: "cpu" or "cuda"."""

    def __post_init__(self) -> None:
        """Check ranges.

        Raises:
            ConfigError: a value is out of range.
        """
        for name in ("batch_size", "replay_size"):
            if getattr(self, name) < 1:
                raise ConfigError(f"DaggerConfig.{name} = {getattr(self, name)} must be at least 1")
        for name in ("updates_per_step", "learning_rate", "average_rate"):
            if not getattr(self, name) > 0.0:
                raise ConfigError(f"DaggerConfig.{name} = {getattr(self, name)} must be positive")
        for name in ("expert_steps", "noise"):
            if getattr(self, name) < 0:
                raise ConfigError(f"DaggerConfig.{name} = {getattr(self, name)} must not be negative")
        if not self.hidden or min(self.hidden) < 1:
            raise ConfigError(f"DaggerConfig.hidden = {self.hidden} must name one width or more, each at least 1")


class Dagger:
    """The learner. Call `act`, then `observe`, then `update`.

    Args:
        contract: of the task; gives the sizes and the action bounds, which must be finite.
        config: settings.
        seed: of weights, noise and batches.
        expert: who is imitated; None: the hand-written policy of the contract's task.

    Raises:
        ConfigError: the task has no hand-written policy, an action has no bounds, or the device is not there.
    """

    def __init__(self, contract: Contract, config: DaggerConfig, seed: int, expert: Policy | None = None) -> None:
        self.contract, self.config, self.seed = contract, config, seed
        expert = expert if expert is not None else open_task(contract.task).scripted()
        if expert is None:
            raise ConfigError(f"task '{contract.task}' has no hand-written policy to imitate; choose sac or ppo")
        self.expert = expert
        self.expert.reset()
        self.rng = np.random.Generator(np.random.PCG64(seed))
        self.device = open_device(config.device)
        observations, actions = contract.num_observations * contract.history, contract.num_actions
        self.low, self.high = finite_action_bounds(contract)
        self.center, self.half = (self.low + self.high) / 2.0, (self.high - self.low) / 2.0
        self.network = tanh_network((observations, *config.hidden, actions), self.rng, 0.01).to(self.device)
        self.deployed = copy.deepcopy(self.network)
        self.parameters, self.gradient = flatten(self.network.parameters())
        self.average, _ = flatten(self.deployed.parameters())
        self.optimizer = FlatAdam(self.parameters, self.gradient, config.learning_rate)
        self.normalizer = RunningNormalizer(observations)
        fields = {"observation": Field((observations,), "float32"), "action": Field((actions,), "float32")}
        self.replay = Replay(fields, config.replay_size)
        """Observations, and what the expert would have done, as a share of half the range."""
        self.steps, self.updates, self.rejected = 0, 0, 0
        """Environment steps, gradient steps, and steps left out because they were not finite."""
        self._owed = 0.0
        self._metrics: dict[str, float] = {}

    def act(self, observation: Array, explore: bool = True) -> FloatArray:
        """Actions for `observation` (..., num_observations), within the contract's bounds, (..., num_actions).

        With `explore` noise is added, and in the first `expert_steps` steps it is the expert who acts.

        Raises:
            NonFiniteError: the observation is not finite.
        """
        array = np.asarray(observation, dtype=np.float64)
        if not np.all(np.isfinite(array)):
            raise NonFiniteError(f"the observation is not finite: {observation}")
        if explore and self.steps < self.config.expert_steps:
            action = np.asarray(self.expert.act(array))
        else:
            with torch.no_grad():
                share = self.deployed(self._tensor(self.normalizer.normalize(array))).cpu().numpy()
            action = self.center + self.half * share.astype(np.float64)
        if explore:
            action = action + self.config.noise * self.half * self.rng.standard_normal(action.shape)
        return np.clip(action, self.low, self.high)

    def observe(self, transition: Transition) -> None:
        """Keep what the expert would have done; whatever was executed, it and its reward do not matter.

        Observations that are not finite are counted in `rejected` and left out.
        """
        seen = np.atleast_2d(np.asarray(transition.observation, dtype=np.float64))
        self.steps += len(seen)
        self._owed += self.config.updates_per_step * len(seen)
        finite = np.isfinite(seen).all(axis=1)
        self.rejected += len(seen) - int(finite.sum())
        seen = seen[finite]
        if len(seen) == 0:
            return
        wanted = np.clip(np.asarray(self.expert.act(seen)), self.low, self.high)
        self.replay.add({"observation": seen, "action": (wanted - self.center) / self.half})
        self.normalizer.update_batch(seen)

    def update(self) -> dict[str, float]:
        """Do the gradient steps that are due.

        Returns:
            Of the last one: imitation_error, the root mean square of the difference to the expert as a share of half
            the range; and updates, rejected. Empty before the first.
        """
        while self._owed >= 1.0 and len(self.replay):
            self._owed -= 1.0
            self._learn()
        return dict(self._metrics)

    def _learn(self) -> None:
        """One gradient step, and the average after it."""
        batch = self.replay.sample(self.rng, self.config.batch_size)
        self.gradient.zero_()
        state = self._tensor(self.normalizer.normalize(batch["observation"].astype(np.float64)))
        loss = (self.network(state) - self._tensor(batch["action"])).square().mean()
        loss.backward()
        self.optimizer.step()
        self.updates += 1
        self.average.lerp_(self.parameters.detach(), max(self.config.average_rate, 1.0 / self.updates))
        error = float(loss.detach().sqrt())
        if not np.isfinite(error):
            raise NonFiniteError("DAgger's error is not finite: lower learning_rate")
        self._metrics = {
            "imitation_error": error,
            "updates": float(self.updates),
            "rejected": float(self.rejected),
        }

    def _tensor(self, array: Array) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32)).to(self.device)

    def save(self, folder: Path) -> None:
        """Write a checkpoint: the policy, and all that an exact resume needs."""
        config = {
            "kind": "mlp",
            "network": dict(TANH_POLICY),
            "learner": "dagger",
            **dataclasses.asdict(self.config),
        }
        scalars = {
            "steps": self.steps,
            "updates": self.updates,
            "rejected": self.rejected,
            "owed": self._owed,
            "rng": self.rng.bit_generator.state,
            "observation_count": self.normalizer.count,
            "metrics": self._metrics,
        }
        with atomic_folder(folder) as fresh:
            policy = policy_arrays(self.deployed, self.normalizer, self.low, self.high)
            save_policy(fresh, policy, self.contract, config, {"seed": self.seed, "steps": self.steps})
            arrays = {
                **to_arrays(self._tensors()),
                "observation_mean": self.normalizer.mean,
                "observation_variance": self.normalizer.variance,
            }
            save_arrays(fresh, "learner", arrays, {"config": config, "scalars": scalars})
            save_arrays(fresh, "replay", self.replay.state(), {"layout": self.replay.layout()})

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
            scalars: Mapping[str, Any] = document["scalars"]
            self.steps, self.updates = int(scalars["steps"]), int(scalars["updates"])
            self.rejected, self._owed = int(scalars["rejected"]), float(scalars["owed"])
            self.rng.bit_generator.state = scalars["rng"]
            self.normalizer.count = scalars["observation_count"]
            self._metrics = dict(scalars["metrics"])
            self.normalizer.mean[:] = stored["observation_mean"]
            self.normalizer.variance[:] = stored["observation_variance"]
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"{folder}: the learner's state lacks {error}. Use another checkpoint.") from error
        self.replay.restore(load_arrays(folder, "replay")[0], folder)

    def _tensors(self) -> dict[str, Tensor]:
        return {"parameters": self.parameters, "average": self.average, **self.optimizer.tensors("adam")}
