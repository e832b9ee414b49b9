"""A multi-layer perceptron with layer normalisation and sparse initial weights, as stream AC(lambda) uses it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from robostack.learning.networks import LEAK, Matrix, Mlp, Pass, Vector

VARIANCE_EPSILON = 1e-5
"""Added to the variance of a layer's pre-activations, as usual (Ba et al. 2016, arXiv 1607.06450)."""


class LayerNormMlp(Mlp):
    """h_l = LeakyReLU(n(W_l [h_{l-1}; 1])),  y = W [h_L; 1],  n(x) = (x - mean(x)) / sqrt(Var(x) + eps), no gain.

    Initial weights are uniform within 1/sqrt(fan_in); of each unit's inputs the share `sparsity`, rounded up but not
    all, is then cut. Biases are zero.

    Args:
        num_inputs: length of x.
        hidden: widths of the hidden layers, at least one.
        num_outputs: length of y.
        rng: draws the initial weights.
        sparsity: share of zeros in each row of the initial weights.
        dtype: float32 to learn, float64 to check gradients.
    """

    layer_norm = VARIANCE_EPSILON

    def __init__(
        self,
        num_inputs: int,
        hidden: Sequence[int],
        num_outputs: int,
        rng: np.random.Generator,
        *,
        sparsity: float = 0.9,
        dtype: type[np.floating] = np.float32,
    ) -> None:
        super().__init__(num_inputs, hidden, num_outputs, rng, normalize=False, dtype=dtype)
        for matrix in self.matrices(self.parameters):
            matrix[:, :-1] = sparse_uniform(matrix.shape[0], matrix.shape[1] - 1, sparsity, rng)

    def forward(self, run: Pass, layers: Sequence[Matrix] | None = None) -> Vector:
        """The output for the input in `run.inputs[0][:-1]`; the returned buffer belongs to `run`.

        Args:
            run: buffers; `backward` needs them as they are left here.
            layers: other weights to use, from `stored`.
        """
        layers = layers if layers is not None else self.layers
        for index, (layer, normal) in enumerate(zip(layers[:-1], run.hidden, strict=True)):
            np.dot(run.inputs[index], layer, out=normal)
            normal -= normal.mean()
            run.deviations[index] = math.sqrt(float(np.dot(normal, normal)) / normal.size + self.layer_norm)
            normal *= 1.0 / run.deviations[index]
            np.maximum(normal, LEAK * normal, out=run.inputs[index + 1][:-1])
        np.dot(layers[-1], run.inputs[-1], out=run.output)
        return run.output

    def backward(self, run: Pass, output_gradient: Vector) -> Vector:
        """Carry dL/dy back to dL/dx, (num_inputs,), leaving every layer's delta in `run`."""
        run.deltas[-1][:] = output_gradient
        for index in range(len(run.hidden) - 1, -1, -1):
            delta, normal, slope = run.deltas[index], run.hidden[index], run.scratch[index]
            if index == len(run.hidden) - 1:
                np.dot(run.deltas[-1], self.layers[-1][:, :-1], out=delta)
            else:
                np.dot(self.layers[index + 1][:-1], run.deltas[index + 1], out=delta)
            np.greater(normal, 0.0, out=slope)  # LeakyReLU keeps the sign
            slope *= 1.0 - LEAK
            slope += LEAK
            delta *= slope
            # d n / d x = (I - 1 1^T / m - n n^T / m) / deviation
            np.multiply(normal, np.dot(normal, delta) / normal.size, out=slope)
            delta -= delta.mean()
            delta -= slope
            delta *= 1.0 / run.deviations[index]
        gradient: Vector = np.dot(self.layers[0][:-1], run.deltas[0])
        return gradient


def sparse_uniform(rows: int, columns: int, sparsity: float, rng: np.random.Generator) -> Matrix:
    """Weights within 1/sqrt(columns), (rows, columns); of each row the share `sparsity` is zero, but never all."""
    bound = 1.0 / math.sqrt(columns)
    weights = rng.uniform(-bound, bound, size=(rows, columns))
    zeros = min(math.ceil(sparsity * columns), columns - 1)
    for row in weights:
        row[rng.permutation(columns)[:zeros]] = 0.0
    return weights
