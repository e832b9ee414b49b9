"""From a checkpoint to an ONNX file, written from the numpy weights and verified against the numpy policy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hardware.arrays import FloatArray
from hardware.errors import CheckpointError, MissingExtraError
from robostack.checkpoint import SavedPolicy, latest_checkpoint, load_policy, write_durable
from robostack.files import temporary_sibling
from robostack.policies.mlp import MlpPolicy
from robostack.policies.onnx_policy import OnnxPolicy

OPSET = 18
IR_VERSION = 9
"""Version of the file format; older ones are read by every ONNX Runtime since 1.14."""
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
    normaliser and the action bounds inside. Metadata: the contract, sha256 of the weights, the control period.

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
    policy = MlpPolicy(saved)
    blob = _model(saved, policy)
    draft = temporary_sibling(out)
    write_durable(draft, blob)
    try:
        observations = _observations(policy, recorded)
        error = _largest_difference(policy, OnnxPolicy(draft), observations)
        if not error <= tolerance:
            raise CheckpointError(
                f"the exported network differs from {folder} by {error:.2e} of half the action range, "
                f"limit {tolerance:.0e}; nothing was written. Report this with the checkpoint."
            )
        draft.replace(out)
    finally:
        draft.unlink(missing_ok=True)
    return Exported(out, error, len(observations), saved.sha256)


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


def _model(saved: SavedPolicy, policy: MlpPolicy) -> bytes:
    """The serialised graph."""
    try:
        import onnx
        from onnx import TensorProto, helper, numpy_helper
    except ImportError as error:
        raise MissingExtraError("onnx", "onnx", "exporting a policy") from error
    constants: dict[str, Any] = {}
    nodes = [
        helper.make_node(operator, inputs, [output], **attributes)
        for operator, inputs, output, attributes in _nodes(policy, constants)
    ]
    sizes = {"obs": policy.mean.size, "actions": policy.low.size}
    obs, actions = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", sizes[name]]) for name in sizes)
    initializers = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "policy", [obs], [actions], initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="robostack")
    model.ir_version = IR_VERSION
    helper.set_model_props(model, _metadata(saved))
    onnx.checker.check_model(model, full_check=True)
    blob: bytes = model.SerializeToString()
    return blob


def _nodes(policy: MlpPolicy, constants: dict[str, Any]) -> Iterator[tuple[str, list[str], str, dict[str, Any]]]:
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
    yield "Tanh", ["mean"], "squashed", {}
    yield "Mul", ["squashed", constant("action_half", policy.half)], "scaled", {}
    yield "Add", ["scaled", constant("action_center", policy.center)], "mapped", {}
    yield "Max", ["mapped", constant("action_low", policy.low)], "above", {}
    yield "Min", ["above", constant("action_high", policy.high)], "actions", {}


def _metadata(saved: SavedPolicy) -> dict[str, str]:
    """Everything a runner needs, and the lists by the names that other deployers read."""
    contract = saved.contract

    def joined(values: Any) -> str:
        return ",".join(str(value) for value in values)

    return {
        "contract": contract.to_json(),
        "sha256": saved.sha256,
        "control_period_s": repr(contract.control_period_s),
        "joint_names": joined(contract.joint_names),
        "joint_stiffness": joined(contract.stiffness),
        "joint_damping": joined(contract.damping),
        "default_joint_pos": joined(contract.default_position),
        "observation_names": joined(term.name for term in contract.observation),
        "action_scale": joined(term.scale for term in contract.action for _ in term.elements),
    }
