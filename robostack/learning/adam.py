"""Adam on one flat parameter array, in place."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from robostack.learning.networks import aligned_zeros


class Adam:
    """w -= lr m^ / (sqrt(v^) + eps), bias-corrected (Kingma and Ba 2015, arXiv 1412.6980).

    With beta1 = 0 there is no first moment. The second is kept as n = v / (1 - beta2), which saves a pass over it.

    Args:
        size: number of parameters.
        learning_rate: step size.
        beta1: decay of the first moment; 0 makes it bias-corrected RMSProp.
        beta2: decay of the second moment.
        epsilon: eps above.
        dtype: of the parameters.
    """

    def __init__(
        self,
        size: int,
        learning_rate: float,
        beta1: float = 0.0,
        beta2: float = 0.999,
        epsilon: float = 1e-8,
        dtype: type[np.floating] = np.float32,
    ) -> None:
        self.learning_rate, self.beta1, self.beta2, self.epsilon = learning_rate, beta1, beta2, epsilon
        self.step_count = np.zeros(1, dtype=np.int64)
        """Steps taken, (1,)."""
        self.first = aligned_zeros(size if beta1 > 0.0 else 0, dtype)
        self.second = aligned_zeros(size, dtype)
        self._scratch = np.zeros(size, dtype=dtype)

    @property
    def steps(self) -> int:
        """Steps taken."""
        return int(self.step_count[0])

    @steps.setter
    def steps(self, value: int) -> None:
        self.step_count[0] = value

    def step(self, parameters: NDArray[np.floating], gradient: NDArray[np.floating]) -> None:
        """Move `parameters` (size,) against `gradient` (size,)."""
        self.steps += 1
        second, scratch = self.second, self._scratch
        second *= self.beta2
        np.multiply(gradient, gradient, out=scratch)
        second += scratch
        root = math.sqrt((1.0 - self.beta2) / (1.0 - self.beta2**self.steps))  # sqrt(v^) = root sqrt(n)
        np.sqrt(second, out=scratch)
        scratch += self.epsilon / root
        if self.beta1 > 0.0:
            self.first += (1.0 - self.beta1) * (gradient - self.first)
            np.divide(self.first, scratch, out=scratch)
            scratch *= self.learning_rate / (root * (1.0 - self.beta1**self.steps))
        else:
            np.divide(gradient, scratch, out=scratch)
            scratch *= self.learning_rate / root
        parameters -= scratch
