"""An ONNX file that holds a policy: opened on one thread, its contract checked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hardware.errors import CheckpointError, MissingExtraError
from robostack.contract import Contract, contract_from_json, require_match


class OnnxFile:
    """A session and what is written beside the graph.

    Args:
        path: the file that `robostack.export.export_onnx` wrote.
        offered: contract of the robot and task at hand; None: not checked.

    Raises:
        MissingExtraError: ONNX Runtime is not installed.
        CheckpointError: the file is missing, damaged, or carries no contract.
        ContractMismatchError: the policy was trained for another robot or task.
    """

    def __init__(self, path: Path, offered: Contract | None = None) -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise MissingExtraError("onnxruntime", "onnx", "running an ONNX policy") from error
        options = onnxruntime.SessionOptions()
        # More threads only wake each other up for a network of this size, and compete with the control loop.
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.path = Path(path)
        try:
            self.session: Any = onnxruntime.InferenceSession(
                self.path.read_bytes(), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # ONNX Runtime's errors share no narrower base
            raise CheckpointError(f"{path} is not a readable ONNX policy ({error}). Export it again.") from error
        self.metadata: dict[str, str] = dict(self.session.get_modelmeta().custom_metadata_map)
        if "contract" not in self.metadata:
            raise CheckpointError(f"{path} carries no contract. Export it with: robostack export POLICY")
        self.contract = contract_from_json(self.metadata["contract"], str(path))
        if offered is not None:
            require_match(self.contract, offered, f"policy {path}")

    @property
    def kind(self) -> str:
        """What sort of policy the graph is: "mlp" or "chunk"."""
        return self.metadata.get("kind", "mlp")
