"""A policy in an ONNX file, run by ONNX Runtime on one thread."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from hardware.arrays import Array, FloatArray
from hardware.errors import CheckpointError, MissingExtraError, NonFiniteError
from robostack.contract import Contract, contract_from_json, require_match


class OnnxPolicy:
    """One session; input `obs` (batch, num_observations), output `actions` (batch, num_actions), both float32.

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
        try:
            self._session: Any = onnxruntime.InferenceSession(
                Path(path).read_bytes(), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # ONNX Runtime's errors share no narrower base
            raise CheckpointError(f"{path} is not a readable ONNX policy ({error}). Export it again.") from error
        self.metadata: dict[str, str] = dict(self._session.get_modelmeta().custom_metadata_map)
        if "contract" not in self.metadata:
            raise CheckpointError(f"{path} carries no contract. Export it with: robostack export POLICY")
        self.contract = contract_from_json(self.metadata["contract"], str(path))
        self.period_s = self.contract.control_period_s
        """Time between two actions [s]."""
        if offered is not None:
            require_match(self.contract, offered, f"policy {path}")

    def reset(self) -> None:
        """There is no memory."""

    def act(self, observation: Array) -> FloatArray:
        """The action for `observation` (..., num_observations), (..., num_actions).

        Raises:
            NonFiniteError: the observation or the result is not finite.
        """
        observation = np.asarray(observation, dtype=np.float32)
        batch = observation.reshape(-1, observation.shape[-1])
        (action,) = self._session.run(["actions"], {"obs": batch})
        if not np.all(np.isfinite(action)):
            raise NonFiniteError(f"the action is not finite for observation {observation}")
        return np.asarray(action, dtype=np.float64).reshape(*observation.shape[:-1], -1)
