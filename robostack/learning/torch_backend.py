"""torch, or an error that says how to get it; and Adam and tensors as arrays that a checkpoint can hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hardware.errors import CheckpointError, ConfigError, MissingExtraError

try:
    import torch
except ImportError as error:
    raise MissingExtraError("torch", "train", "this learner") from error

Tensor = torch.Tensor


def adam(parameters: Sequence[Tensor], learning_rate: float, epsilon: float = 1e-8) -> torch.optim.Adam:
    """Adam in one pass per tensor, with its moments already there, so that `adam_arrays` can name them."""
    optimizer = torch.optim.Adam(list(parameters), lr=learning_rate, eps=epsilon, fused=True)
    for parameter in parameters:
        optimizer.state[parameter] = {
            # The fused step counts beside the parameters.
            "step": torch.zeros((), dtype=torch.float32, device=parameter.device),
            "exp_avg": torch.zeros_like(parameter),
            "exp_avg_sq": torch.zeros_like(parameter),
        }
    return optimizer


def adam_arrays(prefix: str, optimizer: torch.optim.Adam) -> dict[str, Tensor]:
    """Moments and step count of each parameter, by name."""
    names = {"exp_avg": "first", "exp_avg_sq": "second", "step": "steps"}
    parameters = optimizer.param_groups[0]["params"]
    return {
        f"{prefix}.{index}.{names[key]}": optimizer.state[parameter][key]
        for index, parameter in enumerate(parameters)
        for key in names
    }


def to_arrays(tensors: Mapping[str, Tensor]) -> dict[str, np.ndarray[Any, Any]]:
    """Copies on the host."""
    return {name: tensor.detach().cpu().numpy().copy() for name, tensor in tensors.items()}


def restore(tensors: Mapping[str, Tensor], stored: Mapping[str, np.ndarray[Any, Any]], folder: Path) -> None:
    """Write stored arrays into `tensors`.

    Raises:
        CheckpointError: one is missing or has another shape or type.
    """
    for name, tensor in tensors.items():
        if name not in stored:
            raise CheckpointError(f"{folder}: the learner's state lacks {name!r}. Use another checkpoint.")
        found = torch.from_numpy(np.array(stored[name]))
        found = found.reshape(()) if tensor.dim() == 0 and found.numel() == 1 else found  # files hold no scalars
        if found.shape != tensor.shape or found.dtype != tensor.dtype:
            raise CheckpointError(
                f"{folder}: {name} is {found.dtype}{tuple(found.shape)}, the configuration asks for "
                f"{tensor.dtype}{tuple(tensor.shape)}. Resume with the configuration of the run."
            )
        with torch.no_grad():
            tensor.copy_(found)


def open_device(name: str) -> torch.device:
    """The device called `name` ("cpu", "cuda").

    Raises:
        ConfigError: this machine has no such device.
    """
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(f"device {name!r} cannot be used here: {str(error).splitlines()[0]}. Use cpu.") from error
    return device
