"""Mini-batch gradients against the single-sample ones, and fits of known functions."""

from __future__ import annotations

import numpy as np
import pytest

from robostack.learning.distillation import distill, mean_square_gradient, values
from robostack.learning.networks import Mlp


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("hidden", [(6,), (7, 5)])
def test_the_gradient_is_the_mean_of_those_of_single_samples(normalize, hidden):
    rng = np.random.default_rng(0)
    network = Mlp(3, hidden, 1, rng, normalize=normalize, epsilon=0.3, dtype=np.float64)
    network.parameters += 0.1 * rng.standard_normal(network.parameters.size)
    inputs, targets, run = rng.standard_normal((9, 3)), rng.standard_normal(9), network.new_pass()
    outputs, expected = np.zeros(9), np.zeros(network.parameters.size)
    for index in range(9):
        run.inputs[0][:-1] = inputs[index]
        outputs[index] = network.forward(run)[0]
        network.backward(run, np.ones(1))
        expected += network.gradient(run) * 2.0 * (outputs[index] - targets[index]) / 9.0
    np.testing.assert_allclose(values(network, inputs), outputs, rtol=1e-12)
    found = np.zeros(network.parameters.size)
    mean_square_gradient(network, inputs, targets, found)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


def test_a_smooth_function_of_any_scale_is_fitted():
    rng = np.random.default_rng(1)
    inputs = rng.standard_normal((2000, 3))
    targets = 1e4 + 300.0 * np.sin(inputs[:, 0]) + 100.0 * inputs[:, 1]
    network = Mlp(3, (32, 32), 1, rng)
    fraction = distill(network, inputs, targets, 1500, rng)
    assert fraction < 0.2
    error = values(network, inputs.astype(np.float32)) - targets
    assert np.sqrt(np.mean(error**2)) == pytest.approx(fraction * targets.std(), rel=0.01)


def test_constant_targets_are_fitted():
    rng = np.random.default_rng(2)
    network = Mlp(2, (8,), 1, rng)
    distill(network, rng.standard_normal((50, 2)), np.full(50, -7.0), 200, rng)
    np.testing.assert_allclose(values(network, np.zeros((3, 2), dtype=np.float32)), -7.0, atol=1e-3)
