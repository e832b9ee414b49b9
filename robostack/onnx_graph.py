"""Writing an ONNX model from a list of nodes, with what a runner needs written beside the graph."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from numpy.typing import NDArray

from hardware.errors import MissingExtraError
from robostack.checkpoint import SavedPolicy

OPSET = 18
IR_VERSION = 9
"""Version of the file format; older ones are read by every ONNX Runtime since 1.14."""

Node: TypeAlias = tuple[str, list[str], str, dict[str, Any]]
"""Operator, inputs, output, attributes."""


def serialized(
    nodes: Iterable[Node],
    constants: Mapping[str, NDArray[Any]],
    inputs: Mapping[str, Sequence[str | int]],
    outputs: Mapping[str, Sequence[str | int]],
    metadata: Mapping[str, str],
) -> bytes:
    """The checked model.

    Args:
        nodes: in order of computation; read to the end before `constants` are.
        constants: by name.
        inputs: name -> shape; float32.
        outputs: name -> shape; float32.
        metadata: written beside the graph.

    Raises:
        MissingExtraError: onnx is not installed.
    """
    try:
        import onnx
        from onnx import TensorProto, helper, numpy_helper
    except ImportError as error:
        raise MissingExtraError("onnx", "onnx", "exporting a policy") from error
    made = [helper.make_node(operator, names, [output], **attributes) for operator, names, output, attributes in nodes]
    first, last = (
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape)) for name, shape in values.items()]
        for values in (inputs, outputs)
    )
    initializers = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(made, "policy", first, last, initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="robostack")
    model.ir_version = IR_VERSION
    helper.set_model_props(model, dict(metadata))
    onnx.checker.check_model(model, full_check=True)
    blob: bytes = model.SerializeToString()
    return blob


def metadata_of(saved: SavedPolicy) -> dict[str, str]:
    """Everything a runner needs, and the lists by the names that other deployers read."""
    contract = saved.contract

    def joined(values: Any) -> str:
        return ",".join(str(value) for value in values)

    return {
        "contract": contract.to_json(),
        "kind": str(saved.config.get("kind", "mlp")),
        "sha256": saved.sha256,
        "control_period_s": repr(contract.control_period_s),
        "joint_names": joined(contract.joint_names),
        "joint_stiffness": joined(contract.stiffness),
        "joint_damping": joined(contract.damping),
        "default_joint_pos": joined(contract.default_position),
        "observation_names": joined(term.name for term in contract.observation),
        "action_scale": joined(term.scale for term in contract.action for _ in term.elements),
    }
