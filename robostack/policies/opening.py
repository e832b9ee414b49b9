"""From a file or folder to the policy in it, whatever its kind."""

from __future__ import annotations

from pathlib import Path

from hardware.errors import ConfigError
from robostack.contract import Contract, contract_of
from robostack.policies.chunked import ChunkedPolicy
from robostack.policies.mlp import load_policy
from robostack.policies.onnx_chunk import OnnxChunkModel
from robostack.policies.onnx_file import OnnxFile
from robostack.policies.onnx_policy import OnnxPolicy
from robostack.policies.policy import Policy
from robostack.tasks.task import Task


def open_policy(source: Path, offered: Contract | None = None) -> Policy:
    """The policy in an ONNX file, a checkpoint folder, or the newest checkpoint of a run folder.

    Args:
        source: the file or folder.
        offered: contract of the robot and task at hand; None: not checked.

    Raises:
        MissingExtraError: ONNX Runtime is needed and not installed.
        CheckpointError: the source is missing, damaged, or of a kind that this cannot run.
        ContractMismatchError: the policy was trained for another robot or task.
    """
    if Path(source).suffix != ".onnx":
        return load_policy(Path(source), offered)
    file = OnnxFile(source, offered)
    return ChunkedPolicy(OnnxChunkModel(file)) if file.kind == "chunk" else OnnxPolicy(file)


def policy_for(name: str, task: Task) -> Policy:
    """The policy called `name`: "scripted", an ONNX file, or a checkpoint folder.

    Raises:
        ConfigError: the task has no scripted policy.
        CheckpointError: the file or folder cannot be read.
        ContractMismatchError: the policy was trained for something else.
    """
    if name == "scripted":
        scripted = task.scripted()
        if scripted is None:
            raise ConfigError(f"task {task.name} has no scripted policy; give a checkpoint folder or an ONNX file")
        return scripted
    return open_policy(Path(name), contract_of(task))
