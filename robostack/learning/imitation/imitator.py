"""Learns a chunk policy from demonstrations, gradient step by gradient step."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hardware.config import plain
from hardware.errors import CheckpointError, ConfigError, NonFiniteError, UnknownNameError
from robostack.checkpoint import load_arrays, load_policy, save_arrays, save_policy
from robostack.contract import Contract, require_match
from robostack.env import bounds
from robostack.learning.image_augmentation import shifted
from robostack.learning.imitation.behaviour_cloning import BehaviourCloning
from robostack.learning.imitation.config import ImitationConfig
from robostack.learning.imitation.demonstrations import sha256_of
from robostack.learning.imitation.diffusion import Diffusion
from robostack.learning.imitation.flow_matching import FlowMatching
from robostack.learning.imitation.head import Head
from robostack.learning.imitation.network import ChunkNet, draw, embedded
from robostack.learning.imitation.scaling import fitted, hiding
from robostack.learning.imitation.schedule import average_decay, learning_rate
from robostack.learning.imitation.vision import as_tensor
from robostack.learning.imitation.windows import Demonstration, Windows
from robostack.policies.chunk_network import ChunkNetwork

LEARNER = "learner"
"""Stem of the files that an exact resume needs."""
BETAS = (0.95, 0.999)
"""Of AdamW, as published with Diffusion Policy."""
GRADIENT_MAX = 1.0
"""Largest length of a gradient."""
CLIP = {"min_max": 1.0, "quantile": 1.5}
"""Largest element of a scaled chunk while it is drawn: demonstrated actions reach 1, or a little more by quantiles."""
TOLERANCE = 1e-4
"""Largest difference between torch and numpy, as a fraction of half the action range; float32 rounding gives 1e-6."""
CHECKED = 16
"""Windows on which both are compared at every checkpoint."""

Arrays = dict[str, NDArray[Any]]


def make_head(config: ImitationConfig) -> Head:
    """The head that a configuration names."""
    if config.head == "bc":
        return BehaviourCloning(config.bc)
    return Diffusion(config.diffusion) if config.head == "diffusion" else FlowMatching(config.flow)


class Imitator:
    """A network, its moving average, and the batches they learn from. The same seed gives the same run.

    Args:
        contract: of the task that was demonstrated.
        demonstrations: episodes.
        config: settings.

    Raises:
        ConfigError: the demonstrations do not fit the contract.
    """

    def __init__(self, contract: Contract, demonstrations: Sequence[Demonstration], config: ImitationConfig) -> None:
        self.contract, self.config, self.steps = contract, config, 0
        chunk = config.chunk
        self.windows = Windows(demonstrations, chunk.past, chunk.horizon, config.return_temperature)
        self._require_fit()
        self.demonstrations_sha256 = sha256_of(demonstrations)
        observation = fitted(self.windows.observations, config.normalization)
        self.observation = hiding(observation, blocked_elements(contract, config.hidden))
        self.action = fitted(self.windows.actions, config.normalization)
        # Scaled once, because this is what every step would spend its time on.
        self._observed = torch.from_numpy(self.observation.scaled(self.windows.observations)).float()
        self._acted = torch.from_numpy(self.action.scaled(self.windows.actions)).float()
        self.head = make_head(config)
        self._rng = np.random.default_rng(config.seed)
        self._noise = torch.Generator().manual_seed(config.seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.network, self.average = self._network(), self._network()
        self.average.load_state_dict(self.network.state_dict())
        parameters, decay = self.network.parameters(), config.weight_decay
        self._optimizer = torch.optim.AdamW(
            parameters, lr=config.learning_rate, betas=BETAS, weight_decay=decay, fused=True
        )

    def _network(self) -> ChunkNet:
        contract, config = self.contract, self.config
        return ChunkNet(
            observations=config.chunk.past * contract.num_observations,
            horizon=config.chunk.horizon,
            actions=contract.num_actions,
            width=config.width,
            blocks=config.blocks,
            noisy=self.head.noisy,
            cameras=len(config.cameras),
            image_size=self.image_size,
        )

    def _require_fit(self) -> None:
        found = self.windows.observations.shape[1], self.windows.actions.shape[1]
        wanted = self.contract.num_observations, self.contract.num_actions
        if found != wanted:
            raise ConfigError(
                f"the demonstrations hold {found[0]} observed and {found[1]} commanded numbers per frame, task "
                f"'{self.contract.task}' has {wanted[0]} and {wanted[1]}. Record them with this task."
            )
        images = self.windows.images
        if self.config.cameras and (images is None or images.shape[1] != len(self.config.cameras)):
            raise ConfigError(f"the demonstrations hold no images of the cameras {', '.join(self.config.cameras)}")
        self.image_size = images.shape[2] if self.config.cameras and images is not None else 0

    def update(self) -> dict[str, float]:
        """One gradient step on one batch; returns what is worth logging.

        Raises:
            NonFiniteError: the loss is not finite.
        """
        observed, chunk, real, images = self._batch()

        def predict(x: Tensor, t: Tensor) -> Tensor:
            answer: Tensor = self.network(x, embedded(t), observed, images)
            return answer

        elements = self.head.loss(predict, chunk, self._noise)
        if self.config.mask_padding:
            weight = real[:, :, None].expand_as(elements)
            loss = (elements * weight).sum() / weight.sum()
        else:
            loss = elements.mean()
        if not torch.isfinite(loss):
            raise NonFiniteError(f"the loss is {loss.item()} after {self.steps} steps; lower learning_rate")
        self._optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), GRADIENT_MAX)
        rate = learning_rate(self.steps, self.config)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        self._optimizer.step()
        self.steps += 1
        self._follow()
        return {"loss": loss.item(), "gradient": norm.item(), "learning_rate": rate}

    def _batch(self) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        """Scaled observations, scaled chunks, which actions are real, and shifted images."""
        chosen = self.windows.sample(self._rng, self.config.batch)
        frames, real = self.windows.future_frames(chosen)
        observed = self._observed[torch.from_numpy(self.windows.past_frames(chosen))]
        if self.config.observation_noise > 0.0:
            observed += self.config.observation_noise * torch.randn(observed.shape, generator=self._noise)
        images = None
        if self.config.cameras and self.windows.images is not None:
            images = as_tensor(shifted(self.windows.images[chosen], self._rng))
        chunk = self._acted[torch.from_numpy(frames)]
        return observed, chunk, torch.from_numpy(real).float(), images

    @torch.no_grad()
    def _follow(self) -> None:
        """Let the average follow the network."""
        decay = average_decay(self.steps, self.config.average_max)
        torch._foreach_lerp_(list(self.average.parameters()), list(self.network.parameters()), 1.0 - decay)

    def save(self, folder: Path) -> None:
        """Write the policy and all that an exact resume needs into `folder`, which should be an `atomic_folder`.

        Raises:
            CheckpointError: numpy, which runs the policy, computes something else than torch.
        """
        config = {**plain(self.config), "kind": "chunk", "image_size": self.image_size}
        provenance = {
            "seed": self.config.seed,
            "steps": self.steps,
            "demonstrations_sha256": self.demonstrations_sha256,
            "torch": torch.__version__,
        }
        save_policy(folder, self._policy_arrays(), self.contract, config, provenance)
        self._require_same_in_numpy(folder)
        arrays: Arrays = {"noise_state": self._noise.get_state().numpy()}
        for prefix, network in (("network", self.network), ("average", self.average)):
            arrays |= {f"{prefix}.{name}": value.numpy() for name, value in network.state_dict().items()}
        for index, state in self._optimizer.state_dict()["state"].items():
            arrays |= {f"adam.{index}.{name}": value.numpy() for name, value in state.items()}
        meta = {"steps": self.steps, "rng": self._rng.bit_generator.state, "fingerprint": self.demonstrations_sha256}
        save_arrays(folder, LEARNER, arrays, meta)

    def load(self, folder: Path) -> None:
        """Continue exactly where `save` left off.

        Raises:
            CheckpointError: a file is missing or damaged, or belongs to other demonstrations.
            ContractMismatchError: the checkpoint is of another task or robot.
        """
        require_match(load_policy(folder).contract, self.contract, f"checkpoint {folder}")
        arrays, meta = load_arrays(folder, LEARNER)
        if meta.get("fingerprint") != self.demonstrations_sha256:
            raise CheckpointError(f"{folder} was learned from other demonstrations. Start a new run in another folder.")
        try:
            tensors = {name: torch.from_numpy(value.copy()) for name, value in arrays.items()}
            for prefix, network in (("network.", self.network), ("average.", self.average)):
                network.load_state_dict(_below(tensors, prefix))
            state = self._optimizer.state_dict()
            count = len(list(self.network.parameters()))
            state["state"] = {index: found for index in range(count) if (found := _below(tensors, f"adam.{index}."))}
            self._optimizer.load_state_dict(state)
            self._noise.set_state(tensors["noise_state"])
            self._rng.bit_generator.state = meta["rng"]
            self.steps = int(meta["steps"])
        except (KeyError, RuntimeError, ValueError) as error:
            raise CheckpointError(f"{folder} does not fit this run ({error}). Use another checkpoint.") from error

    def _policy_arrays(self) -> Arrays:
        """What runs the policy: averaged weights, scalings, bounds and the schedule."""
        low, high = bounds(self.contract.action)
        arrays: Arrays = {name: value.numpy() for name, value in self.average.state_dict().items()}
        return arrays | {
            "observation_center": self.observation.center,
            "observation_half": self.observation.half,
            "action_center": self.action.center,
            "action_half": self.action.half,
            "action_low": low,
            "action_high": high,
            "schedule": self.head.schedule(CLIP[self.config.normalization]),
        }

    def _require_same_in_numpy(self, folder: Path) -> None:
        model = ChunkNetwork(load_policy(folder))
        chosen = np.linspace(0, len(self.windows) - 1, CHECKED).astype(np.int64)
        past, future, _ = self.windows.batch(chosen)
        images = self.windows.images[chosen] if self.config.cameras and self.windows.images is not None else None
        noise = np.random.default_rng(0).standard_normal(future.shape)
        observed = torch.from_numpy(self.observation.scaled(past)).float()
        seen = None if images is None else as_tensor(images)
        drawn = draw(self.average, model.schedule, observed, torch.from_numpy(noise).float(), seen).double().numpy()
        expected = np.clip(drawn * self.action.half + self.action.center, model.low, model.high)
        error = float(np.max(np.abs(model.predict(past, noise, images) - expected) / ((model.high - model.low) / 2.0)))
        if not error <= TOLERANCE:
            raise CheckpointError(f"numpy differs from torch by {error:.2e} of half the action range. Report this.")


def blocked_elements(contract: Contract, hidden: Sequence[str]) -> NDArray[np.bool_]:
    """Which elements of the observation belong to the blocks `hidden`, (num_observations,).

    Raises:
        UnknownNameError: the observation has no such block.
    """
    names = [term.name for term in contract.observation]
    for name in hidden:
        if name not in names:
            raise UnknownNameError("block of the observation", name, names)
    return np.array([term.name in hidden for term in contract.observation for _ in term.elements])


def _below(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors under a prefix, without it."""
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
