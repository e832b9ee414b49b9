"""RLPD: soft actor-critic with an ensemble of critics, many updates per step, and demonstrations in every batch.

Ball et al., "Efficient Online Reinforcement Learning with Offline Data", ICML 2023, arXiv 2302.02948. With two critics,
one update per step and no LayerNorm it is soft actor-critic (Haarnoja et al. 2018, arXiv 1812.05905): see sac.py.

One group of updates: draw all batches at once; for each, one step of every critic towards a target from a random
subset of the moving-average critics; then one step of the actor and of the temperature on the last batch. Policies with
cameras learn the same way on the features of an encoder: see image_input.py.
"""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hardware.arrays import Array, FloatArray
from hardware.errors import CheckpointError, ConfigError, NonFiniteError
from robostack.checkpoint import atomic_folder, load_arrays, load_policy, save_arrays, save_policy
from robostack.contract import Contract, column_of, require_match
from robostack.learning.avg import finite_action_bounds
from robostack.learning.batched_critic import BatchedCritic
from robostack.learning.flat_adam import FlatAdam, flatten
from robostack.learning.frame_replay import FRAMES, NEXT_FRAMES, FrameReplay
from robostack.learning.gripper_critic import GripperCritic
from robostack.learning.image_input import ImageInput, split
from robostack.learning.image_settings import seen_elements
from robostack.learning.imitation_loss import imitation_loss
from robostack.learning.learner import LearnerEntry, Transition
from robostack.learning.normalization import RunningNormalizer
from robostack.learning.replay import SOURCES, Field, Replay, transition_fields
from robostack.learning.rlpd_batches import Batches, gripper_step, mixed
from robostack.learning.rlpd_config import RlpdConfig
from robostack.learning.torch_actor import SquashedActor
from robostack.learning.torch_backend import Tensor, open_device, restore, to_arrays, torch

LEARNER = LearnerEntry(
    learner="robostack.learning.rlpd:Rlpd",
    config="robostack.learning.rlpd_config:RlpdConfig",
    summary="RLPD: ensemble critics, many updates per step, demonstrations and interventions in every batch",
    simulations=8,
    extra="train",
)


class Rlpd:
    """The learner. Feed it with `observe`, in single steps or batches; `update` then does what is due.

    Args:
        contract: of the task; gives the sizes and the action bounds, which must be finite.
        config: settings.
        seed: of weights, exploration, batches.

    Raises:
        ConfigError: an action has no bounds, or the device is not there.
    """

    def __init__(self, contract: Contract, config: RlpdConfig, seed: int) -> None:
        self.contract, self.config, self.seed = contract, config, seed
        self.rng = np.random.Generator(np.random.PCG64(seed))
        self.device = open_device(config.device)
        self._seen = seen_elements(contract, config.unseen)
        observations, actions = len(self._seen), contract.num_actions
        self.low, self.high = finite_action_bounds(contract)
        self.center, self.half = (self.low + self.high) / 2.0, (self.high - self.low) / 2.0
        self._gripper_column = column_of(contract, config.gripper) if config.gripper else -1
        self._arm = [column for column in range(actions) if column != self._gripper_column]
        self.target_entropy = config.target_entropy_per_action * len(self._arm)
        self.images = ImageInput(config, observations, self.rng, self.device) if config.cameras else None
        states = observations if self.images is None else self.images.width
        head = (config.architecture, config.feature_epsilon, config.variance)
        self.actor = SquashedActor(states, config.hidden, len(self._arm), self.rng, *head).to(self.device)
        width = states + config.privileged + len(self._arm)
        form = (config.layer_norm, config.critic_activation, self.device)
        self.critic = BatchedCritic(width, config.hidden, config.critics, self.rng, *form)
        self.gripper = self._open_gripper(states) if config.gripper else None
        self.target = self.critic.parameters.clone()
        self._target_layers = self.critic.view(self.target)
        self.log_temperature = torch.tensor([math.log(config.initial_temperature)], device=self.device)
        slope = torch.zeros_like(self.log_temperature)
        self.actor_optimizer = FlatAdam(*flatten(self.actor.parameters()), config.actor_learning_rate)
        self.deployed, self._average = self._open_average()
        """The policy that acts without exploration and is saved, and its parameters where it is an average."""
        self.critic_optimizer = FlatAdam(self.critic.parameters, self.critic.gradient, config.critic_learning_rate)
        self.temperature_optimizer = FlatAdam(self.log_temperature, slope, config.temperature_learning_rate)
        self.normalizer = RunningNormalizer(observations)
        fields = transition_fields(observations, actions, config.privileged)
        self.online = self._open_replay("online", fields, config.replay_size)
        """What the policy and its corrections experienced."""
        self.demos = self._open_replay("demo", fields, config.demo_size)
        """Demonstrations and corrections."""
        self.steps, self.updates, self.rejected = 0, 0, 0
        self._owed = 0.0
        self._metrics: dict[str, float] = {}

    def _open_replay(self, name: str, fields: Mapping[str, Field], capacity: int) -> Replay | FrameReplay:
        folder = Path(self.config.replay_dir) / name if self.config.replay_dir else None
        if self.images is None:
            return Replay(fields, capacity, folder)
        return FrameReplay(fields, self.images.field, capacity, folder)

    def _open_average(self) -> tuple[SquashedActor, Tensor | None]:
        if self.config.average_rate == 0.0:
            return self.actor, None
        average = copy.deepcopy(self.actor)
        return average, flatten(average.parameters())[0]

    def _open_gripper(self, observations: int) -> GripperCritic:
        config = self.config
        rates = (config.critic_learning_rate, config.target_rate, config.gripper_penalty)
        form = (config.layer_norm, config.critic_activation, self.device)
        return GripperCritic(observations, config.hidden, config.gripper_levels, self.rng, *rates, *form)

    @property
    def pending(self) -> int:
        """Steps of the critics that the promised ratio still asks for."""
        return math.floor(self._owed + 1e-6)  # the sum of many fractions is not exact

    @property
    def image_size(self) -> int | None:
        """Width and height of the images that `act` needs [px]; None: none."""
        return self.config.image_size if self.images is not None else None

    def act(self, observation: Any, explore: bool = True) -> FloatArray:
        """Actions for `observation` (..., num_observations), within the contract's bounds, (..., num_actions).

        With `explore` drawn from the policy, and uniformly before `learning_starts`; without, the policy's mean.
        With cameras the observation is a dictionary: "state", and the image of each camera under its name.

        Raises:
            ConfigError: an image is missing.
            NonFiniteError: the observation is not finite.
        """
        vector, pictures = (observation, None) if self.images is None else split(observation)
        array = np.asarray(vector, dtype=np.float64)
        array = array if self.images is None else array[..., self._seen]
        if not np.all(np.isfinite(array)):
            raise NonFiniteError(f"the observation is not finite: {observation}")
        shape = (*array.shape[:-1], self.center.size)
        if explore and self.steps < self.config.learning_starts:
            drawn = self.rng.uniform(self.low, self.high, shape)
            if self.gripper is not None:
                level = self.rng.choice(np.array(self.config.gripper_levels), shape[:-1])
                drawn[..., self._gripper_column] = (self.center + self.half * level[..., None])[
                    ..., self._gripper_column
                ]
            return drawn
        state = self._tensor(self._normalized(array)).reshape(-1, array.shape[-1])
        with torch.no_grad():
            if self.images is not None and pictures is not None:
                state = self.images.look(self.images.images(pictures), state)
            if explore:
                squashed = self.actor.draw(state, self._noise(state.shape[0]))[0].cpu().numpy().astype(np.float64)
            else:
                squashed = np.tanh(self.deployed(state)[0].cpu().numpy().astype(np.float64))
            if self.gripper is not None:
                level = self.gripper.choose(state)[:, 0].cpu().numpy()
                squashed = np.insert(squashed, self._gripper_column, level, axis=-1)
        return np.clip(self.center + self.half * squashed.reshape(shape), self.low, self.high)

    def observe(self, transition: Transition) -> None:
        """Keep one transition or a batch; those that are not finite are counted in `rejected` and left out.

        Demonstrations go to `demos`, what the policy did to `online`, a person's corrections to both.

        Raises:
            ConfigError: the privileged observation is missing or has another length than `config.privileged`.
            CheckpointError: the disk is full; nothing of this call is kept.
        """
        rows = self._rows(transition)
        count = len(rows["reward"])
        if count == 0:
            return
        if transition.source in ("demo", "intervention"):
            self.demos.add(rows)
        if transition.source != "demo":
            self.online.add(rows)
            self._count(count)
        if self.config.normalize_observations:
            self.normalizer.update_batch(np.asarray(rows["observation"], dtype=np.float64))

    def _count(self, steps: int) -> None:
        """Enter environment steps, and the updates that they ask for."""
        self.steps += steps
        self._owed += self.config.updates_per_step * min(steps, max(0, self.steps - self.config.learning_starts))

    def _rows(self, transition: Transition) -> dict[str, Any]:
        """The finite ones of a transition's steps, as the replay takes them."""
        observation, pictures = self._observed(transition.observation)
        following, next_pictures = self._observed(transition.next_observation)
        count = len(observation)
        rows: dict[str, Any] = {
            **({} if self.images is None else {FRAMES: pictures, NEXT_FRAMES: next_pictures}),
            "observation": observation,
            "next_observation": following,
            "action": np.atleast_2d(np.asarray(transition.action, dtype=np.float32)),
            "reward": np.broadcast_to(np.asarray(transition.reward, dtype=np.float32), (count,)),
            "weight": np.full(count, transition.weight, dtype=np.float32),
            "terminated": np.broadcast_to(np.asarray(transition.terminated, dtype=np.uint8), (count,)),
            "truncated": np.broadcast_to(np.asarray(transition.truncated, dtype=np.uint8), (count,)),
            "source": np.full(count, SOURCES.index(transition.source), dtype=np.uint8),
        }
        if self.config.privileged:
            given = np.zeros(0) if transition.privileged is None else np.asarray(transition.privileged)
            if given.shape[-1] != self.config.privileged:
                raise ConfigError(
                    f"the critics expect {self.config.privileged} privileged numbers, "
                    f"the transition has {given.shape[-1]}"
                )
            rows["privileged"] = np.broadcast_to(given.astype(np.float32), (count, self.config.privileged))
        finite = np.ones(count, dtype=bool)
        for name in ("observation", "next_observation", "action", "reward", "privileged"):
            if name in rows:
                finite &= np.isfinite(rows[name]).reshape(count, -1).all(axis=1)
        self.rejected += count - int(finite.sum())
        return rows if finite.all() else {name: array[finite] for name, array in rows.items()}

    def _observed(self, observation: Any) -> tuple[Any, Any]:
        """What the replay keeps of an observation: vectors (n, seen), and frames (n, ...) with cameras."""
        if self.images is None:
            return np.atleast_2d(np.asarray(observation, dtype=np.float32)), None
        vector, pictures = split(observation)
        state = np.atleast_2d(np.asarray(vector, dtype=np.float32))[:, self._seen]
        return state, self.images.frames(self.images.images(pictures))

    def update(self, limit: int | None = None) -> dict[str, float]:
        """Do the groups of updates that are due, at most `limit` of them.

        Returns:
            Of the last group: critic_loss, value, entropy, temperature; and updates, rejected. Empty before the first.
        """
        group, done = self.config.critic_steps_per_actor_step, 0
        while self.pending >= group and (limit is None or done < limit) and len(self.online) + len(self.demos):
            self._owed -= group
            self.learn()
            done += 1
        return dict(self._metrics)

    def learn(self, actor: bool = True) -> None:
        """One group of updates, whether due or not; without `actor`, of the critics only."""
        config = self.config
        with torch.no_grad():
            batches = self._draw(config.critic_steps_per_actor_step)
            group, batch = batches.reward.shape
            noise, chosen = self._noise(group * batch).view(group, batch, -1), self._subsets(group)
            temperature = float(self.log_temperature.exp())
            for index in range(group):
                features, state, following, inputs, context = self._inputs(batches, index)
                action, log_probability = self.actor.draw(following, noise[index])
                target = self._target(torch.cat([context, action], dim=-1), chosen[index])
                if config.entropy_backup:
                    target -= temperature * log_probability
                target = batches.reward[index] + batches.bootstrap[index] * target
                error = self._critic_step(inputs, target, batches.weight[index], features)
                if self.gripper is not None:
                    step = gripper_step(batches, index, state, following)
                    self._metrics["gripper_loss"] = self.gripper.learn(step)
        self.updates += group
        self._metrics |= {"critic_loss": float(error.square().mean())}
        if actor:
            value, entropy = self._actor_step(state, inputs, batches.shown)
            self._metrics |= {"value": value, "entropy": entropy}
        self._metrics |= {
            "temperature": float(self.log_temperature.exp()),
            "updates": float(self.updates),
            "rejected": float(self.rejected),
        }

    def _target(self, next_input: Tensor, chosen: Tensor) -> Tensor:
        """Smallest value of the chosen moving-average critics, (batch,)."""
        everyone = len(chosen) == self.config.critics
        layers = self._target_layers if everyone else self.critic.subset(self._target_layers, chosen)
        values, _ = self.critic.forward(next_input, layers)
        return values[:, :, 0].amin(dim=0)

    def _inputs(self, batches: Batches, index: int) -> tuple[Tensor | None, Tensor, Tensor, Tensor, Tensor]:
        """What one batch gives the networks.

        Returns:
            Features that can be differentiated, None without cameras; what the actor sees, and after the step; what
            the critics are given, and after the step but for the action.
        """
        state, following = batches.state[index], batches.next_state[index]
        inputs, context = batches.critic_input[index], batches.next_context[index]
        if self.images is None:
            return None, state, following, inputs, context
        features = self.images.features(batches.frames[index], state, learn=True)
        state, following = features.detach(), self.images.features(batches.next_frames[index], following, learn=False)
        return features, state, following, torch.cat([state, inputs], dim=-1), torch.cat([following, context], dim=-1)

    def _critic_step(self, inputs: Tensor, target: Tensor, weight: Tensor, features: Tensor | None) -> Tensor:
        """One step of all critics, and of the encoder, on the mean of weight (q - target)^2.

        Args:
            inputs: state or features, privileged observation and action.
            target: (batch,).
            weight: (batch,).
            features: what the encoder gave, if there is one; the first columns of `inputs`.

        Returns:
            The errors, (critics, batch, 1).
        """
        values, run = self.critic.forward(inputs)
        error = values - target[:, None]
        self.critic.backward(run, error * (weight[:, None] * (2.0 / len(target))))
        if self.images is not None and features is not None:
            self.images.learn(features, self.critic.input_gradient(run)[:, : features.shape[1]])
        self.critic_optimizer.step()
        self.target.lerp_(self.critic.parameters, self.config.target_rate)
        return error

    def _actor_step(self, state: Tensor, critic_input: Tensor, shown: int) -> tuple[float, float]:
        """One step of actor and temperature, the first `shown` being demonstrated; the mean value and the entropy."""
        batch, actions = len(state), len(self._arm)
        action, log_probability = self.actor.draw(state, self._noise(batch))
        with torch.no_grad():
            inputs = torch.cat([critic_input[:, :-actions], action], dim=1)
            values, run = self.critic.forward(inputs)
            share = torch.full_like(values, 1.0 / (batch * self.config.critics))
            if self.config.actor_objective == "min":
                share = (values == values.amin(dim=0, keepdim=True)) / float(batch)
            self.critic.backward(run, share, parameters=False)
            slope = self.critic.input_gradient(run)
            temperature = self.log_temperature.exp()
        # The gradient of mean(alpha log pi - Q), with Q's part through the action.
        loss = temperature * log_probability.mean() - (action * slope[:, -actions:]).sum()
        if shown and self.config.imitation_weight > 0.0:
            imitated = imitation_loss(self.actor, self.critic, state[:shown], critic_input[:shown])
            loss = loss + self.config.imitation_weight * (shown / batch) * imitated
        self.actor_optimizer.gradient.zero_()
        loss.backward()
        self.actor_optimizer.step()
        if self._average is not None:
            self._average.lerp_(self.actor_optimizer.parameters, self.config.average_rate)
        entropy = -float(log_probability.detach().mean())
        if self.config.temperature_learning_rate > 0.0:
            self.temperature_optimizer.gradient.copy_(temperature * (entropy - self.target_entropy))
            self.temperature_optimizer.step()
        return float((values * share).sum()), entropy

    def _subsets(self, count: int) -> Tensor:
        """For each of `count` steps the numbers of the critics in the target, without repetition, (count, subset)."""
        config = self.config
        if config.target_subset == config.critics:
            order = np.broadcast_to(np.arange(config.critics), (count, config.critics)).copy()
        else:
            order = np.argsort(self.rng.random((count, config.critics)), axis=1)[:, : config.target_subset]
        return torch.from_numpy(np.ascontiguousarray(order)).to(self.device)

    def _draw(self, group: int) -> Batches:
        """The batches of one group: each with its share of demonstrations."""
        config = self.config
        rows, shown = mixed(self.online, self.demos, self.rng, (group, config.batch_size), config.demo_fraction)
        state, following = (self._tensor(self._normalized(rows[name])) for name in ("observation", "next_observation"))
        executed = self._tensor(np.clip((rows["action"] - self.center) / self.half, -1.0, 1.0))
        action, level = executed[..., self._arm], executed[..., self._gripper_column]
        privileged = [self._tensor(rows["privileged"])] if config.privileged else []
        first = 0 if self.images is None else 1  # features take the state's place
        return Batches(
            state=state,
            next_state=following,
            critic_input=torch.cat([state, *privileged, action][first:], dim=-1),
            next_context=torch.cat([following, *privileged, following[..., :0]][first:], dim=-1),
            reward=self._tensor(rows["reward"]),
            bootstrap=self._tensor(config.discount * (1.0 - rows["terminated"])),
            weight=self._tensor(rows["weight"]),
            gripper=level[:0] if self.gripper is None else self.gripper.nearest(level),
            shown=shown,
            frames=rows.get(FRAMES),
            next_frames=rows.get(NEXT_FRAMES),
        )

    def _normalized(self, observation: Array) -> Array:
        return self.normalizer.normalize(observation) if self.config.normalize_observations else observation

    def _tensor(self, array: Array) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32)).to(self.device)

    def _noise(self, count: int) -> Tensor:
        """Standard normal numbers from the learner's own generator, (count, num_actions)."""
        noise = self.rng.standard_normal((count, len(self._arm)), dtype=np.float32)
        return torch.from_numpy(noise).to(self.device)

    def flush(self) -> None:
        """Wait until every observed transition is on the disk (with `replay_dir`)."""
        self.online.flush()
        self.demos.flush()

    def save(self, folder: Path) -> None:
        """Write a checkpoint: the policy, and all that an exact resume needs."""
        config = self._policy_config()
        scalars = {
            "steps": self.steps,
            "updates": self.updates,
            "owed": self._owed,
            "rejected": self.rejected,
            "rng": self.rng.bit_generator.state,
            "observation_count": self.normalizer.count,
            "metrics": self._metrics,
        }
        with atomic_folder(folder) as fresh:
            arrays = self._policy_arrays(self.deployed)
            save_policy(fresh, arrays, self.contract, config, {"seed": self.seed, "steps": self.steps})
            arrays = {
                **to_arrays(self._tensors()),
                "observation_mean": self.normalizer.mean,
                "observation_variance": self.normalizer.variance,
            }
            save_arrays(fresh, "learner", arrays, {"config": config, "scalars": scalars})
            for name, replay in (("replay", self.online), ("demonstrations", self.demos)):
                save_arrays(fresh, name, replay.state(), {"layout": replay.layout()})

    def load(self, folder: Path, keep_later: bool = False) -> None:
        """Continue exactly where `save` left off.

        Args:
            folder: the checkpoint.
            keep_later: keep what is on the disk: transitions from after the checkpoint count as steps, so that the
                updates they ask for are made; fewer than at the checkpoint, because some were damaged, will do.

        Raises:
            CheckpointError: a file is missing or damaged, or of another configuration.
            ContractMismatchError: the checkpoint is of another task or robot.
        """
        policy = load_policy(folder)
        require_match(policy.contract, self.contract, f"checkpoint {folder}")
        if self.images is not None:
            self.images.require_match(policy.config, f"checkpoint {folder}")
        stored, document = load_arrays(folder, "learner")
        restore(self._tensors(), stored, folder)
        try:
            scalars = document["scalars"]
            self.steps, self.updates = int(scalars["steps"]), int(scalars["updates"])
            self._owed = float(scalars["owed"])
            self.rejected, self._metrics = int(scalars["rejected"]), dict(scalars["metrics"])
            self.rng.bit_generator.state = scalars["rng"]
            self.normalizer.count = float(scalars["observation_count"])
            self.normalizer.mean[:] = stored["observation_mean"]
            self.normalizer.variance[:] = stored["observation_variance"]
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"{folder}: the learner's state lacks {error}. Use another checkpoint.") from error
        for name, replay in (("replay", self.online), ("demonstrations", self.demos)):
            state, _ = load_arrays(folder, name)
            replay.restore(state, folder, keep_later)
            if name == "replay":
                self._count(max(0, replay.total - int(state["total"][0])))

    def exploring_policy(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Arrays and configuration of the policy with its spread, as `robostack.policies.exploring` reads them."""
        config = self._policy_config()
        network = {**config["network"], "spread_factor": self.actor.factor}
        return {**self._policy_arrays(self.actor), **self.actor.spread_arrays()}, {**config, "network": network}

    def _policy_config(self) -> dict[str, Any]:
        """What `robostack.policies.mlp` must know of the network, and the settings."""
        actor = self.actor
        network: dict[str, Any] = {"leak": actor.leak, "normalize": actor.normalize, "epsilon": actor.epsilon}
        if self.gripper is not None:
            network["gripper"] = self.gripper.network(self._gripper_column)
        settings = {key: value for key, value in dataclasses.asdict(self.config).items() if key != "replay_dir"}
        if self.images is None:
            return {"kind": "mlp", "network": network, "learner": "rlpd", **settings}
        return {"kind": "image-mlp", "network": network, "learner": "rlpd", **settings, "images": self.images.blocks()}

    def _tensors(self) -> dict[str, Tensor]:
        """Every tensor of the state, by name; the tensors themselves, so that `load` can write into them."""
        tensors = {f"actor.{name}": value.detach() for name, value in self.actor.named_parameters()}
        tensors |= {"critic": self.critic.parameters, "target": self.target, "log_temperature": self.log_temperature}
        tensors |= {} if self._average is None else {"average": self._average}
        tensors |= {} if self.gripper is None else self.gripper.tensors()
        tensors |= {} if self.images is None else self.images.tensors()
        tensors |= self.actor_optimizer.tensors("actor_adam") | self.critic_optimizer.tensors("critic_adam")
        return tensors | self.temperature_optimizer.tensors("temperature_adam")

    def _policy_arrays(self, actor: SquashedActor) -> dict[str, Any]:
        """The deterministic policy of `actor`, as robostack.policies.mlp reads it."""
        normalized = self.config.normalize_observations
        return {
            "observation_mean": self.normalizer.mean if normalized else np.zeros_like(self.normalizer.mean),
            "observation_scale": self.normalizer.scale() if normalized else np.ones_like(self.normalizer.mean),
            "action_center": self.center,
            "action_half": self.half,
            "action_low": self.low,
            "action_high": self.high,
            **actor.policy_arrays(),
            **({} if self.gripper is None else self.gripper.policy_arrays()),
            **({} if self.images is None else self.images.encoder.arrays()),
        }
