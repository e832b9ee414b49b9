"""The batched critic: values and gradients against autograd on plain layers, and each member on its own."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from robostack.learning.batched_critic import EPSILON, BatchedCritic  # noqa: E402


def critic(layer_norm=True, activation="relu", outputs=1, members=3) -> BatchedCritic:
    rng = np.random.default_rng(0)
    made = BatchedCritic(5, (8, 6), members, rng, layer_norm, activation, outputs=outputs)
    made.parameters += torch.from_numpy(0.3 * rng.standard_normal(len(made.parameters), dtype=np.float32))
    return made


def plain(made: BatchedCritic, flat: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """The same function in plain torch, one member after the other."""
    values = []
    for member in range(made.members):
        hidden = x
        *inner, last = made.view(flat)
        for layer in inner:
            hidden = hidden @ layer.weight[member] + layer.bias[member]
            if layer.gain is not None:
                normal = torch.nn.functional.layer_norm(hidden, hidden.shape[-1:], eps=EPSILON)
                hidden = normal * layer.gain[member] + layer.shift[member]
            hidden = torch.relu(hidden) if made.activation == "relu" else torch.tanh(hidden)
        values.append(hidden @ last.weight[member].T + last.bias[member])
    return torch.stack(values)


@pytest.mark.parametrize("activation", ["relu", "tanh"])
@pytest.mark.parametrize("layer_norm", [True, False])
@pytest.mark.parametrize("outputs", [1, 3])
def test_values_and_gradients_equal_autograd(activation, layer_norm, outputs):
    made = critic(layer_norm, activation, outputs)
    flat, x = made.parameters.clone().requires_grad_(), torch.randn(7, 5, requires_grad=True)
    by_output = torch.randn(3, 7, outputs)
    expected = plain(made, flat, x)
    (expected * by_output).sum().backward()
    with torch.no_grad():
        values, run = made.forward(x.detach())
        made.backward(run, by_output)
        by_input = made.input_gradient(run)
    torch.testing.assert_close(values, expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(made.gradient, flat.grad, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(by_input, x.grad, atol=1e-5, rtol=1e-4)


def test_a_subset_gives_the_values_of_its_members():
    made, x = critic(), torch.randn(4, 5)
    all_values = made.forward(x)[0].clone()
    some, _ = made.forward(x, made.subset(made.layers, torch.tensor([2, 0])))
    torch.testing.assert_close(some, all_values[[2, 0]])


def test_other_parameters_and_the_input_gradient_leave_the_gradient_alone():
    made, x = critic(), torch.randn(4, 5)
    other = made.parameters + 1.0
    torch.testing.assert_close(made.forward(x, made.view(other))[0], plain(made, other, x), atol=1e-4, rtol=1e-4)
    made.gradient.fill_(7.0)
    _, run = made.forward(x)
    made.backward(run, torch.ones(3, 4, 1), parameters=False)
    assert made.input_gradient(run).shape == (4, 5)
    assert torch.all(made.gradient == 7.0)


def test_initial_weights_differ_between_members_and_biases_are_zero():
    made = BatchedCritic(5, (8,), 2, np.random.default_rng(3))
    first, last = made.layers
    limit = np.sqrt(6.0 / (5 + 8))
    assert not torch.equal(first.weight[0], first.weight[1])
    assert 0.8 * limit < float(first.weight.abs().max()) <= limit
    assert float(first.bias.abs().max()) == 0.0 and float(last.bias.abs().max()) == 0.0
    assert torch.all(first.gain == 1.0) and torch.all(first.shift == 0.0)
    assert made.parameters.numel() == 2 * (5 * 8 + 3 * 8 + 8 + 1)
