"""Imitation of demonstrated actions: the filter and the weight by hand, whom the gradient reaches, and its effect."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from toy_contract import toy_contract  # noqa: E402

from robostack.learning.imitation_loss import imitation_loss  # noqa: E402
from robostack.learning.learner import Transition  # noqa: E402
from robostack.learning.rlpd import Rlpd, RlpdConfig  # noqa: E402


class Values:
    """Two members with Q = -(a - best)^2 + 3 and + 5, `best` being the first element of the state."""

    def forward(self, given):
        away = (given[:, 1:] - given[:, :1]).square().sum(1)
        return torch.stack([3.0 - away, 5.0 - away])[:, :, None], None


class Fixed(torch.nn.Module):
    """An actor whose heads are what they are."""

    def __init__(self, mean: list[float]) -> None:
        super().__init__()
        self.mean = torch.nn.Parameter(torch.tensor(mean)[:, None])

    def forward(self, state):
        return self.mean, torch.zeros_like(self.mean)


def test_only_what_is_valued_more_is_imitated_relative_to_the_mean_value():
    actor = Fixed([0.0, 0.0, np.arctanh(0.5)])
    state = torch.tensor([[0.5], [0.0], [0.5]])  # the best action
    shown = torch.tensor([[0.3], [0.4], [-0.9]])
    # Q of what was shown: 4 - (0.2^2, 0.4^2, 1.4^2) = 3.96, 3.84, 2.04; mean 3.28. The actor's: 3.75, 4, 4.
    loss = imitation_loss(actor, Values(), state, torch.cat([state, shown], dim=1))
    assert float(loss.detach()) == pytest.approx(3.28 * 0.3**2 / 3.0, rel=1e-5)
    loss.backward()
    # d/dmu (tanh(mu) - a)^2 = 2 (tanh(mu) - a) (1 - tanh(mu)^2), at mu = 0.
    np.testing.assert_allclose(actor.mean.grad[:, 0], [3.28 * 2.0 * -0.3 / 3.0, 0.0, 0.0], rtol=1e-5)


def learner(weight: float) -> Rlpd:
    config = RlpdConfig(critics=2, hidden=(16, 16), batch_size=8, critic_steps_per_actor_step=1, learning_starts=0)
    made = Rlpd(toy_contract(1, 1, -1.0, 1.0), dataclasses.replace(config, imitation_weight=weight), 0)
    rng = np.random.default_rng(0)
    for source, count in (("demo", 30), ("sim", 50)):
        state, action = rng.uniform(-1.0, 1.0, (2, count, 1))
        over = np.ones(count, dtype=bool)
        made.observe(Transition(state, action, rng.normal(size=count), state, over, ~over, source))
    return made


def test_it_is_added_for_the_demonstrated_part_of_the_batch_and_trains_the_actor_alone():
    with_it, without = learner(0.7), learner(0.0)
    state, given = torch.rand(8, 1), torch.rand(8, 2) - 0.5
    given[:, :1] = state
    imitation_loss(without.actor, without.critic, state[:4], given[:4]).backward()
    expected = [0.7 * 4 / 8 * parameter.grad.clone() for parameter in without.actor.parameters()]
    assert max(float(gradient.abs().max()) for gradient in expected) > 1e-3
    critics = with_it.critic.parameters.clone()
    for made in (with_it, without):
        made._actor_step(state, given, shown=4)
    gradients = [[parameter.grad for parameter in made.actor.parameters()] for made in (with_it, without)]
    for one, other, part in zip(*gradients, expected, strict=True):
        torch.testing.assert_close(one - other, part, atol=1e-6, rtol=1e-4)
    assert torch.equal(critics, with_it.critic.parameters) and with_it.critic.parameters.grad is None


def test_a_learner_counts_its_demonstrations():
    made, seen = learner(0.7), []
    step = made._actor_step
    made._actor_step = lambda state, inputs, shown: (seen.append(shown), step(state, inputs, shown))[1]
    made.learn()
    assert seen == [4]
