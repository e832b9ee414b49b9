"""A policy in an ONNX file, run by ONNX Runtime on one thread."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hardware.arrays import Array, FloatArray
from hardware.errors import CheckpointError, NonFiniteError
from robostack.contract import Contract
from robostack.policies.onnx_file import OnnxFile


class OnnxPolicy:
    """One session; input `obs` (batch, num_observations), output `actions` (batch, num_actions), both float32.

    Args:
        source: the file that `robostack.export.export_onnx` wrote, or that file opened.
        offered: contract of the robot and task at hand; None: not checked.

    Raises:
        MissingExtraError: ONNX Runtime is not installed.
        CheckpointError: the file is missing, damaged, of another kind, or carries no contract.
        ContractMismatchError: the policy was trained for another robot or task.
    """

    def __init__(self, source: Path | OnnxFile, offered: Contract | None = None) -> None:
        file = source if isinstance(source, OnnxFile) else OnnxFile(source, offered)
        if file.kind != "mlp":
            raise CheckpointError(f"{file.path} holds a policy of kind '{file.kind}'; open it with open_policy")
        self._session, self.metadata, self.contract = file.session, file.metadata, file.contract
        self.period_s = self.contract.control_period_s
        """Time between two actions [s]."""

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
