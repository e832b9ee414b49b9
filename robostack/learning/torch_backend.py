"""torch, or an error that says how to get it; and tensors as arrays that a checkpoint can hold."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hardware.errors import CheckpointError, ConfigError, MissingExtraError

try:
    import torch
except ImportError as error:
    raise MissingExtraError("torch", "train", "this learner") from error

Tensor = torch.Tensor


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


def use_threads(count: int) -> int:
    """Let torch compute with `count` threads in this process; how many it had."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    return before
