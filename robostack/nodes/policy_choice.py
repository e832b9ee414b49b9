"""From the name in a policy node's parameters to the policy."""

from __future__ import annotations

from pathlib import Path

from hardware.errors import ConfigError
from robostack.contract import contract_of
from robostack.policies.opening import open_policy
from robostack.policies.policy import Policy
from robostack.tasks.task import Task


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
