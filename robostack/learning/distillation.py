"""Fitting a network to given values by mini-batches, in numpy: passes on what another learner's critic knows."""

from __future__ import annotations

import numpy as np

from hardware.arrays import FloatArray
from robostack.learning.adam import Adam
from robostack.learning.networks import LEAK, Matrix, Mlp, Vector

BATCH = 256
LEARNING_RATE = 1e-3
"""Adam's step size at the start; it falls linearly to zero."""


def distill(network: Mlp, inputs: FloatArray, targets: FloatArray, steps: int, rng: np.random.Generator) -> float:
    """Fit the one output of `network` to `targets`, by the mean square of the error.

    The fit is of standardised targets; the output layer then takes over their mean and deviation, so that step sizes do
    not depend on the scale of returns.

    Args:
        network: fitted in place, from its present weights.
        inputs: (n, num_inputs).
        targets: (n,).
        steps: mini-batches, drawn with replacement.
        rng: draws them.

    Returns:
        Root mean square of the error on all inputs, as a fraction of the targets' deviation.
    """
    mean, deviation = float(targets.mean()), max(float(targets.std()), 1e-6)
    x, wanted = inputs.astype(network.dtype), ((targets - mean) / deviation).astype(network.dtype)
    adam = Adam(network.parameters.size, LEARNING_RATE, beta1=0.9, dtype=network.dtype)
    gradient = np.zeros_like(network.parameters)
    for step in range(steps):
        adam.learning_rate = LEARNING_RATE * (1.0 - step / steps)
        chosen = rng.integers(len(x), size=min(BATCH, len(x)))
        mean_square_gradient(network, x[chosen], wanted[chosen], gradient)
        adam.step(network.parameters, gradient)
    error = np.concatenate([values(network, part) for part in np.array_split(x, len(x) // 4096 + 1)]) - wanted
    output = network.layers[-1]
    output *= deviation
    output[0, -1] += mean
    return float(np.sqrt(np.mean(error**2)))


def values(network: Mlp, inputs: Matrix) -> Vector:
    """The one output for inputs (n, num_inputs), (n,)."""
    output: Vector = _forward(network, inputs)[0][-1][:, 0]
    return output


def mean_square_gradient(network: Mlp, inputs: Matrix, targets: Vector, out: Vector) -> None:
    """Write the gradient of mean((y - target)^2) by all parameters into `out`; as Mlp.backward, for many inputs."""
    (*below, output), length = _forward(network, inputs)
    gradients = network.stored(out)
    delta = (2.0 / len(targets)) * (output - targets[:, None])
    gradients[-1][:] = delta.T @ below[-1]
    delta = delta @ network.layers[-1][:, :-1]
    for index in range(len(below) - 2, -1, -1):
        value = below[index + 1][:, :-1]
        if network.normalize and index == len(below) - 2:
            # d phi / d h = (I - phi phi^T) / |h|
            delta = (delta - value * np.sum(value * delta, axis=1, keepdims=True)) / length
        delta = np.where(value > 0.0, delta, LEAK * delta)
        np.dot(below[index].T, delta, out=gradients[index])
        delta = delta @ network.layers[index][:-1].T


def _forward(network: Mlp, inputs: Matrix) -> tuple[list[Matrix], Matrix]:
    """Inputs of all layers, each with a trailing 1, and the output; and the last hidden vectors' lengths, (n, 1)."""
    ones = np.ones((len(inputs), 1), dtype=network.dtype)
    passed = [np.concatenate([inputs, ones], axis=1)]
    for layer in network.layers[:-1]:
        hidden = passed[-1] @ layer
        passed.append(np.concatenate([np.maximum(hidden, LEAK * hidden), ones], axis=1))
    features = passed[-1][:, :-1]
    length: Matrix = np.sqrt(np.sum(features * features, axis=1, keepdims=True) + network.epsilon**2)
    if network.normalize:
        features /= length
    return [*passed, passed[-1] @ network.layers[-1].T], length
