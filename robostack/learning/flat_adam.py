"""Adam on one flat tensor: a handful of operations however many layers and networks it holds."""

from __future__ import annotations

import math
from collections.abc import Iterable

from robostack.learning.torch_backend import Tensor, torch


class FlatAdam:
    """w -= lr m^ / (sqrt(v^) + eps), bias-corrected (Kingma and Ba 2015, arXiv 1412.6980).

    Args:
        parameters: w, (size,).
        gradient: where the gradient is at every step, (size,).
        learning_rate: lr.
        beta1: decay of the first moment m.
        beta2: decay of the second moment v.
        epsilon: eps.
    """

    def __init__(
        self,
        parameters: Tensor,
        gradient: Tensor,
        learning_rate: float,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-8,
    ) -> None:
        self.parameters, self.gradient, self.learning_rate = parameters, gradient, learning_rate
        self.beta1, self.beta2, self.epsilon = beta1, beta2, epsilon
        self.first, self.second = torch.zeros_like(parameters), torch.zeros_like(parameters)
        self.steps = torch.zeros(1, dtype=torch.int64)
        """Steps taken, (1,)."""
        self._scratch = torch.empty_like(parameters)

    @torch.no_grad()
    def step(self) -> None:
        """One step along the gradient as it is now."""
        self.steps += 1
        steps = int(self.steps)
        # sqrt(v^) = sqrt(v) / correction: the factor goes to the step size, which saves a pass.
        correction = math.sqrt(1.0 - self.beta2**steps)
        self.first.lerp_(self.gradient, 1.0 - self.beta1)
        self.second.mul_(self.beta2).addcmul_(self.gradient, self.gradient, value=1.0 - self.beta2)
        torch.sqrt(self.second, out=self._scratch).add_(self.epsilon * correction)
        size = self.learning_rate * correction / (1.0 - self.beta1**steps)
        self.parameters.addcdiv_(self.first, self._scratch, value=-size)

    def tensors(self, prefix: str) -> dict[str, Tensor]:
        """The state by name, for a checkpoint; the tensors themselves."""
        return {f"{prefix}.first": self.first, f"{prefix}.second": self.second, f"{prefix}.steps": self.steps}


def flatten(parameters: Iterable[torch.nn.Parameter]) -> tuple[Tensor, Tensor]:
    """Move parameters and their gradients into two flat tensors, of which they become views; returns both.

    Set gradients to zero through the flat one: `zero_grad(set_to_none=True)` would cut the tie.
    """
    listed = list(parameters)
    flat = torch.cat([parameter.detach().reshape(-1) for parameter in listed])
    gradient = torch.zeros_like(flat)
    start = 0
    for parameter in listed:
        end = start + parameter.numel()
        parameter.data = flat[start:end].view_as(parameter)
        parameter.grad = gradient[start:end].view_as(parameter)
        start = end
    return flat, gradient
