"""A policy on its way from the learner to an actor: safetensors and JSON, with a hash, bound to its contract."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as read_tensors
from safetensors.numpy import save as tensor_bytes

from hardware.errors import ProtocolError
from robostack.checkpoint import SavedPolicy
from robostack.contract import Contract, contract_from_json, require_match
from robostack.policies.exploring import ExploringPolicy


def packed(version: int, arrays: Mapping[str, Any], config: Mapping[str, Any], contract: Contract) -> dict[str, Any]:
    """The values of a message `weights`."""
    tensors = tensor_bytes({name: np.ascontiguousarray(array) for name, array in arrays.items()})
    policy = json.dumps({"contract": json.loads(contract.to_json()), "config": config})
    return {"version": version, "policy": policy, "tensors": tensors, "sha256": hashlib.sha256(tensors).hexdigest()}


def unpacked(values: Mapping[str, Any], contract: Contract) -> ExploringPolicy:
    """The policy in a message `weights`.

    Args:
        values: of the message.
        contract: of the robot and task at hand.

    Raises:
        ProtocolError: it is damaged.
        CheckpointError: it is no policy that can explore.
        ContractMismatchError: it was trained for something else.
    """
    if hashlib.sha256(values["tensors"]).hexdigest() != values["sha256"]:
        raise ProtocolError("the learner's weights are damaged: their hash is not the one that was sent")
    try:
        document = json.loads(values["policy"])
        found, config = json.dumps(document["contract"]), dict(document["config"])
        arrays = read_tensors(values["tensors"])
    except (ValueError, KeyError, TypeError, SafetensorError) as error:
        raise ProtocolError(f"the learner's weights cannot be read: {error}") from error
    trained = contract_from_json(found, "the learner's policy")
    require_match(trained, contract, "the learner's policy")
    return ExploringPolicy(SavedPolicy(arrays, trained, config, {}, values["sha256"]))
