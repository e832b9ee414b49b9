"""From a checkpoint to an ONNX file, written from the numpy weights and verified against the numpy policy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hardware.arrays import FloatArray
from hardware.errors import CheckpointError
from robostack import export_chunk
from robostack.checkpoint import SavedPolicy, latest_checkpoint, load_policy, write_durable
from robostack.export_chunk import Comparison
from robostack.files import temporary_sibling
from robostack.onnx_graph import Node, metadata_of, serialized
from robostack.policies.mlp import MlpPolicy
from robostack.policies.onnx_policy import OnnxPolicy

TOLERANCE = 1e-4
"""Largest difference from the numpy policy, as a fraction of half the action range. float32 rounding gives 1e-6."""
RANDOM_OBSERVATIONS = 512


@dataclass(frozen=True)
class Exported:
    """What was written."""

    path: Path
    """The ONNX file."""
    max_error: float
    """Largest difference found, as a fraction of half the action range."""
    observations: int
    """Number of observations compared."""
    sha256: str
    """Of the weights exported."""


def export_onnx(folder: Path, out: Path, recorded: FloatArray | None = None, tolerance: float = TOLERANCE) -> Exported:
    """Export the policy of a checkpoint.

    The graph takes `obs` (batch, num_observations) and gives `actions` (batch, num_actions), both float32, with the
    normaliser and the action bounds inside. That of a chunk policy takes `obs` (batch, past, num_observations) and
    `noise` (batch, horizon, num_actions) and gives `actions` (batch, horizon, num_actions), with every step of the
    drawing inside. Metadata: the contract, sha256 of the weights, the control period.

    Args:
        folder: checkpoint or run folder.
        out: file to write; it appears only if it passed.
        recorded: observations to compare on besides random ones, (n, num_observations).
        tolerance: largest difference accepted, as a fraction of half the action range.

    Raises:
        MissingExtraError: onnx or onnxruntime is not installed.
        CheckpointError: the checkpoint cannot be read, or the exported network differs from it.
    """
    folder = latest_checkpoint(folder)
    saved = load_policy(folder)
    blob, compare = (export_chunk.graph if saved.config.get("kind") == "chunk" else _graph)(saved, recorded)
    draft = temporary_sibling(out)
    write_durable(draft, blob)
    try:
        error, count = compare(draft)
        if not error <= tolerance:
            raise CheckpointError(
                f"the exported network differs from {folder} by {error:.2e} of half the action range, "
                f"limit {tolerance:.0e}; nothing was written. Report this with the checkpoint."
            )
        draft.replace(out)
    finally:
        draft.unlink(missing_ok=True)
    return Exported(out, error, count, saved.sha256)


def _graph(saved: SavedPolicy, recorded: FloatArray | None) -> tuple[bytes, Comparison]:
    """The serialised graph of a policy of kind "mlp", and what compares the file with it."""
    policy = MlpPolicy(saved)
    constants: dict[str, Any] = {}
    sizes = {"obs": policy.mean.size, "actions": policy.low.size}
    obs, actions = ({name: ("batch", size)} for name, size in sizes.items())
    blob = serialized(list(_nodes(policy, constants)), constants, obs, actions, metadata_of(saved))
    observations = _observations(policy, recorded)

    def compare(path: Path) -> tuple[float, int]:
        return _largest_difference(policy, OnnxPolicy(path), observations), len(observations)

    return blob, compare


def _observations(policy: MlpPolicy, recorded: FloatArray | None) -> FloatArray:
    """Random observations spread like those of training, and the recorded ones."""
    rng = np.random.default_rng(0)
    random = policy.mean + 2.0 * policy.scale * rng.standard_normal((RANDOM_OBSERVATIONS, policy.mean.size))
    return random if recorded is None else np.concatenate([random, np.asarray(recorded, dtype=np.float64)])


def _largest_difference(policy: MlpPolicy, exported: OnnxPolicy, observations: FloatArray) -> float:
    half = (policy.high - policy.low) / 2.0
    batch = np.abs(exported.act(observations) - policy.act(observations)) / half
    single = np.abs(exported.act(observations[0]) - policy.act(observations[0])) / half
    return float(max(batch.max(), single.max()))


def _nodes(policy: MlpPolicy, constants: dict[str, Any]) -> Iterator[Node]:
    """Operator, inputs, output and attributes of each node of MlpPolicy.act; fills `constants`."""

    def constant(name: str, value: Any) -> str:
        constants[name] = np.asarray(value, dtype=value.dtype if value.dtype == np.int64 else np.float32)
        return name

    yield "Sub", ["obs", constant("observation_mean", policy.mean)], "centered", {}
    yield "Div", ["centered", constant("observation_scale", policy.scale)], "hidden0", {}
    *inner, last = policy.layers
    for index, (weight, bias) in enumerate(inner):
        names = [constant(f"weight{index}", weight), constant(f"bias{index}", bias)]
        yield "Gemm", [f"hidden{index}", *names], f"linear{index}", {"transB": 1}
        linear = f"linear{index}"
        if policy.layer_norm:
            inputs = [linear, constant(f"gain{index}", np.ones_like(bias))]
            linear = f"normal{index}"
            yield "LayerNormalization", inputs, linear, {"axis": -1, "epsilon": policy.layer_norm}
        if policy.activation == "tanh":
            yield "Tanh", [linear], f"hidden{index + 1}", {}
        else:
            yield "LeakyRelu", [linear], f"hidden{index + 1}", {"alpha": policy.leak}
    feature = f"hidden{len(inner)}"
    if policy.normalize:
        axes = constant("axes", np.array([-1], dtype=np.int64))
        yield "ReduceSumSquare", [feature, axes], "square", {"keepdims": 1}
        yield "Add", ["square", constant("epsilon", np.array([policy.epsilon**2]))], "shifted", {}
        yield "Sqrt", ["shifted"], "length", {}
        yield "Div", [feature, "length"], "feature", {}
        feature = "feature"
    weight, bias = last
    yield "Gemm", [feature, constant("weight", weight), constant("bias", bias)], "mean", {"transB": 1}
    yield "Tanh" if policy.squash else "Identity", ["mean"], "squashed", {}
    action = "squashed"
    if policy.gripper is not None:
        for operator, inputs, output, attributes in policy.gripper.nodes("hidden0", action, len(bias)):
            names = [entry if isinstance(entry, str) else constant(*entry) for entry in inputs]
            yield operator, names, output, attributes
        action = "with_gripper"
    yield "Mul", [action, constant("action_half", policy.half)], "scaled", {}
    yield "Add", ["scaled", constant("action_center", policy.center)], "mapped", {}
    yield "Max", ["mapped", constant("action_low", policy.low)], "above", {}
    yield "Min", ["above", constant("action_high", policy.high)], "actions", {}
