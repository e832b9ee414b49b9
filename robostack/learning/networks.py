"""A multi-layer perceptron with hand-derived gradients, its parameters in one flat array."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.floating]
Matrix = NDArray[np.floating]

LEAK = 0.01
"""Slope of LeakyReLU below zero."""


@dataclass(slots=True)
class Pass:
    """Buffers of one forward and backward pass; nothing is allocated after they are made."""

    inputs: list[Vector]
    """Input of each layer with a trailing 1 that multiplies the bias, (fan_in + 1,)."""
    hidden: list[Vector]
    """LeakyReLU of each hidden layer, before normalisation, (width,)."""
    output: Vector
    """Output of the network, (num_outputs,)."""
    deltas: list[Vector]
    """Derivative of the scalar in question by the pre-activation of each layer, (fan_out,)."""
    scratch: list[Vector]
    """One temporary per hidden layer, (width,)."""
    deviations: list[float]
    """Standard deviation of each hidden layer's pre-activations; only with layer normalisation."""
    norm: float = 1.0
    """Length of the last hidden vector."""


class Mlp:
    """h_l = LeakyReLU(W_l [h_{l-1}; 1]),  phi = h_L / sqrt(|h_L|^2 + eps^2),  y = W [phi; 1].

    The weight gradient of a layer is delta x^T: it is kept as its two factors until `gradient` writes it out.
    `parameters` holds the transpose of each hidden layer's matrix, (fan_in + 1, fan_out), and the output layer's as it
    is, (fan_out, fan_in + 1), so that the compiled kernel runs along the hidden units in every loop.

    Args:
        num_inputs: length of x.
        hidden: widths of the hidden layers, at least one.
        num_outputs: length of y.
        rng: draws the orthogonal initial weights (gain 1; biases are zero).
        normalize: whether the last hidden vector is divided by its length.
        epsilon: eps above; keeps the gradient finite at h_L = 0.
        dtype: float32 to learn, float64 to check gradients.
    """

    layer_norm: float = 0.0
    """What is added to the variance in a layer normalisation; 0: there is none."""

    def __init__(
        self,
        num_inputs: int,
        hidden: Sequence[int],
        num_outputs: int,
        rng: np.random.Generator,
        *,
        normalize: bool = True,
        epsilon: float = 1e-8,
        dtype: type[np.floating] = np.float32,
    ) -> None:
        self.sizes = (num_inputs, *hidden, num_outputs)
        self.normalize, self.epsilon, self.dtype = normalize, epsilon, dtype
        pairs = list(itertools.pairwise(self.sizes))
        self._shapes = shapes = [(fan_in + 1, fan_out) for fan_in, fan_out in pairs[:-1]]
        shapes.append((pairs[-1][1], pairs[-1][0] + 1))
        self.parameters = aligned_zeros(sum(rows * columns for rows, columns in shapes), dtype)
        self._gradient = np.zeros(self.parameters.size, dtype=dtype)  # takes memory only when it is used
        self.layers = _views(self.parameters, shapes)
        self._layer_gradients = _views(self._gradient, shapes)
        for matrix in self.matrices(self.parameters):
            matrix[:, :-1] = _orthogonal(matrix.shape[0], matrix.shape[1] - 1, rng, dtype)

    def stored(self, parameters: Vector) -> list[Matrix]:
        """Views of `parameters`, laid out as this network's, as `forward` takes them."""
        return _views(parameters, self._shapes)

    def matrices(self, parameters: Vector) -> list[Matrix]:
        """Views of `parameters` as one [weight, bias] matrix per layer, (fan_out, fan_in + 1)."""
        *hidden, output = self.stored(parameters)
        return [*(matrix.T for matrix in hidden), output]

    def new_pass(self) -> Pass:
        """Buffers for one pass."""
        widths = self.sizes[1:-1]
        return Pass(
            inputs=[np.ones(size + 1, dtype=self.dtype) for size in self.sizes[:-1]],
            hidden=[np.zeros(size, dtype=self.dtype) for size in widths],
            output=np.zeros(self.sizes[-1], dtype=self.dtype),
            deltas=[np.zeros(size, dtype=self.dtype) for size in self.sizes[1:]],
            scratch=[np.zeros(size, dtype=self.dtype) for size in widths],
            deviations=[1.0 for _ in widths],
        )

    def forward(self, run: Pass, layers: Sequence[Matrix] | None = None) -> Vector:
        """The output for the input in `run.inputs[0][:-1]`; the returned buffer belongs to `run`.

        Args:
            run: buffers; `backward` needs them as they are left here.
            layers: other weights to use, from `stored`.
        """
        layers = layers if layers is not None else self.layers
        for index, (layer, hidden, scratch) in enumerate(zip(layers, run.hidden, run.scratch, strict=False)):
            np.dot(run.inputs[index], layer, out=hidden)
            np.multiply(hidden, LEAK, out=scratch)
            np.maximum(hidden, scratch, out=hidden)
            if index + 1 < len(run.hidden) or not self.normalize:
                run.inputs[index + 1][:-1] = hidden
        if self.normalize:
            last = run.hidden[-1]
            run.norm = float(np.sqrt(np.dot(last, last) + self.epsilon**2))
            np.multiply(last, 1.0 / run.norm, out=run.inputs[-1][:-1])
        np.dot(layers[-1], run.inputs[-1], out=run.output)
        return run.output

    def backward(self, run: Pass, output_gradient: Vector) -> Vector:
        """Carry dL/dy back to dL/dx, (num_inputs,), leaving every layer's delta in `run`."""
        run.deltas[-1][:] = output_gradient
        for index in range(len(run.hidden) - 1, -1, -1):
            delta, hidden, slope = run.deltas[index], run.hidden[index], run.scratch[index]
            if index == len(run.hidden) - 1:
                np.dot(run.deltas[-1], self.layers[-1][:, :-1], out=delta)
            else:
                np.dot(self.layers[index + 1][:-1], run.deltas[index + 1], out=delta)
            if self.normalize and index == len(run.hidden) - 1:
                # d phi / d h = (I - phi phi^T) / |h|
                phi = run.inputs[-1][:-1]
                np.multiply(phi, np.dot(phi, delta), out=slope)
                delta -= slope
                delta *= 1.0 / run.norm
            np.greater(hidden, 0.0, out=slope)  # LeakyReLU keeps the sign
            slope *= 1.0 - LEAK
            slope += LEAK
            delta *= slope
        gradient: Vector = np.dot(self.layers[0][:-1], run.deltas[0])
        return gradient

    def gradient(self, run: Pass, scale: float = 1.0) -> Vector:
        """`scale` times the gradient by all parameters, flat, after `backward`; the next call reuses it."""
        if scale != 1.0:
            for delta in run.deltas:
                delta *= scale
        for delta, value, out in zip(run.deltas[:-1], run.inputs, self._layer_gradients, strict=False):
            np.multiply(value[:, None], delta, out=out)
        np.multiply(run.deltas[-1][:, None], run.inputs[-1], out=self._layer_gradients[-1])
        return self._gradient


def aligned_zeros(size: int, dtype: type[np.floating]) -> Vector:
    """Zeros, (size,), that begin with a cache line: vector loads then never straddle two."""
    line = 64
    room = np.zeros(size * np.dtype(dtype).itemsize + line, dtype=np.uint8)
    start = -room.ctypes.data % line
    return room[start : start + size * np.dtype(dtype).itemsize].view(dtype)


def _views(flat: Vector, shapes: Sequence[tuple[int, int]]) -> list[Matrix]:
    """Consecutive pieces of `flat` as matrices."""
    ends = np.cumsum([rows * columns for rows, columns in shapes])
    return [
        flat[end - rows * columns : end].reshape(rows, columns)
        for end, (rows, columns) in zip(ends, shapes, strict=True)
    ]


def _orthogonal(rows: int, columns: int, rng: np.random.Generator, dtype: type[np.floating]) -> Matrix:
    """A matrix with orthonormal rows or columns, whichever are fewer; Haar-distributed by the sign of R's diagonal."""
    q, r = np.linalg.qr(rng.standard_normal((max(rows, columns), min(rows, columns))).astype(dtype))
    q *= np.sign(np.diag(r))
    return q if rows >= columns else q.T
