"""A trained multi-layer perceptron, run by numpy: normaliser inside, deterministic action, mapped onto the bounds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from hardware.arrays import Array, FloatArray
from hardware.errors import CheckpointError, NonFiniteError
from robostack.checkpoint import SavedPolicy, latest_checkpoint
from robostack.checkpoint import load_policy as read_policy
from robostack.contract import Contract, require_match
from robostack.policies.gripper_head import GripperHead
from robostack.policies.policy import Policy


class MlpPolicy:
    """a = clip(center + half tanh(mlp((o - mean) / scale)), low, high), for one observation or a batch.

    LeakyReLU between the layers. Where the checkpoint says so, it is tanh instead, each layer's pre-activations are
    normalised to zero mean and unit variance before it, the last hidden vector is divided by its length, or there is no
    tanh around the network's output. A gripper may have a network of its own.

    Args:
        saved: what the checkpoint holds.
        inputs: length of what the network is given; None: the task's observation.

    Raises:
        CheckpointError: an array is missing or has the wrong shape.
    """

    def __init__(self, saved: SavedPolicy, inputs: int | None = None) -> None:
        self.contract = saved.contract
        self.period_s = saved.contract.control_period_s
        """Time between two actions [s]."""
        try:
            network = saved.config["network"]
            self.leak, self.normalize = float(network["leak"]), bool(network["normalize"])
            self.epsilon, self.layer_norm = float(network["epsilon"]), float(network.get("layer_norm", 0.0))
            self.activation, self.squash = network.get("activation", "leaky_relu"), bool(network.get("squash", True))
            arrays = saved.arrays
            count = sum(name.endswith(".weight") for name in arrays)
            self.layers = [(arrays[f"layer{index}.weight"], arrays[f"layer{index}.bias"]) for index in range(count)]
            self.gripper = GripperHead(network["gripper"], arrays) if network.get("gripper") else None
            self.mean, self.scale = arrays["observation_mean"], arrays["observation_scale"]
            self.center, self.half = arrays["action_center"], arrays["action_half"]
            self.low, self.high = arrays["action_low"], arrays["action_high"]
        except KeyError as error:
            raise CheckpointError(f"the policy lacks {error}. Use another checkpoint, or train again.") from error
        self._require_shapes(self.contract.num_observations * self.contract.history if inputs is None else inputs)
        self._layers = [(np.ascontiguousarray(weight.T), bias) for weight, bias in self.layers]

    def _require_shapes(self, expected: int) -> None:
        widths = [self.mean.size, *(weight.shape[0] for weight, _ in self.layers)]
        actions = widths[-1] + (self.gripper is not None)
        fits = widths[0] == expected and actions == self.contract.num_actions == self.center.size
        fits &= all(
            weight.shape == (rows, columns) and bias.shape == (rows,)
            for (weight, bias), columns, rows in zip(self.layers, widths[:-1], widths[1:], strict=True)
        )
        if not self.layers or not fits:
            raise CheckpointError(f"layers of widths {widths} do not fit the contract. Use another checkpoint.")

    def reset(self) -> None:
        """There is no memory."""

    def act(self, observation: Array, deviation: Callable[[Any], Array] | None = None) -> FloatArray:
        """The action for `observation` (..., num_observations), (..., num_actions).

        Args:
            observation: what the task observes.
            deviation: from the last hidden layer to what is added to the network's output, to explore; None: nothing.

        Raises:
            NonFiniteError: the observation or the result is not finite.
        """
        normalized = ((np.asarray(observation, dtype=np.float64) - self.mean) / self.scale).astype(np.float32)
        hidden = normalized
        for weight, bias in self._layers[:-1]:
            hidden = hidden @ weight + bias
            if self.layer_norm:
                hidden = hidden - np.mean(hidden, axis=-1, keepdims=True)
                square = np.mean(hidden * hidden, axis=-1, keepdims=True)
                hidden = hidden / np.sqrt(square + np.float32(self.layer_norm))
            hidden = np.tanh(hidden) if self.activation == "tanh" else np.maximum(hidden, self.leak * hidden)
        if self.normalize:
            square = np.sum(hidden * hidden, axis=-1, keepdims=True)
            hidden = hidden / np.sqrt(square + self.epsilon**2)
        weight, bias = self._layers[-1]
        mean = (hidden @ weight + bias).astype(np.float64)
        if deviation is not None:
            mean = mean + deviation(hidden)
        squashed = np.tanh(mean) if self.squash else mean
        if self.gripper is not None:
            squashed = self.gripper.insert(normalized, squashed)
        action: FloatArray = np.clip(self.center + self.half * squashed, self.low, self.high)
        if not np.all(np.isfinite(action)):
            raise NonFiniteError(f"the action is not finite for observation {observation}")
        return action


def load_policy(folder: Path, offered: Contract | None = None) -> Policy:
    """The policy in a checkpoint folder, or of the newest checkpoint of a run folder.

    Args:
        folder: the folder.
        offered: contract of the robot and task at hand; None: not checked.

    Raises:
        CheckpointError: a file is missing or damaged, or of a kind that this cannot run.
        ContractMismatchError: the policy was trained for another robot or task.
    """
    folder = latest_checkpoint(Path(folder))
    saved = read_policy(folder)
    if offered is not None:
        require_match(saved.contract, offered, f"policy {folder}")
    kinds: dict[str, Callable[[SavedPolicy], Policy]] = {"mlp": MlpPolicy, "image-mlp": _seeing, "chunk": _chunked}
    kind = saved.config.get("kind")
    if kind not in kinds:
        raise CheckpointError(f"{folder}: policy of kind {kind!r}; this version runs {', '.join(kinds)}.")
    return kinds[kind](saved)


def _chunked(saved: SavedPolicy) -> Policy:
    from robostack.policies.chunk_network import ChunkNetwork
    from robostack.policies.chunked import ChunkedPolicy

    return ChunkedPolicy(ChunkNetwork(saved))


def _seeing(saved: SavedPolicy) -> Policy:
    from robostack.policies.image_mlp import ImageMlpPolicy

    return ImageMlpPolicy(saved)
