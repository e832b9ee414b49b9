"""FlatAdam against torch's Adam; flattened parameters stay the network's own."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from robostack.learning.flat_adam import FlatAdam, flatten  # noqa: E402


def test_equals_torch_adam_on_a_flattened_network():
    mine, theirs = (
        torch.nn.Sequential(torch.nn.Linear(3, 5), torch.nn.Tanh(), torch.nn.Linear(5, 2)) for _ in range(2)
    )
    theirs.load_state_dict(mine.state_dict())
    flat, gradient = flatten(mine.parameters())
    optimizer, reference = FlatAdam(flat, gradient, 1e-2), torch.optim.Adam(theirs.parameters(), lr=1e-2)
    for _ in range(20):
        x = torch.randn(7, 3)
        gradient.zero_()
        mine(x).square().sum().backward()
        optimizer.step()
        reference.zero_grad()
        theirs(x).square().sum().backward()
        reference.step()
    for one, other in zip(mine.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)
    assert flat.numel() == sum(parameter.numel() for parameter in theirs.parameters())
    assert int(optimizer.tensors("adam")["adam.steps"]) == 20


def test_the_first_step_by_hand():
    """Bias correction makes the first step the learning rate times the sign of the gradient."""
    parameters, gradient = torch.tensor([1.0, -2.0, 3.0]), torch.tensor([0.5, -4.0, 0.0])
    FlatAdam(parameters, gradient, 0.1).step()
    torch.testing.assert_close(parameters, torch.tensor([0.9, -1.9, 3.0]))
