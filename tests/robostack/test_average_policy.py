"""The averaged policy: its recursion by hand, who acts by it, what is saved, and an exact resume."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from toy_contract import toy_contract  # noqa: E402

from robostack.learning.learner import Transition  # noqa: E402
from robostack.learning.rlpd import Rlpd, RlpdConfig  # noqa: E402
from robostack.policies.mlp import load_policy  # noqa: E402

RATE = 0.25
SEEN = np.random.default_rng(5).standard_normal((7, 4))


def learner(rate: float = RATE) -> Rlpd:
    config = RlpdConfig(critics=2, hidden=(16, 16), batch_size=8, critic_steps_per_actor_step=1, learning_starts=0)
    made = Rlpd(toy_contract(), dataclasses.replace(config, average_rate=rate, actor_learning_rate=0.01), 0)
    rng = np.random.default_rng(0)
    state, over = rng.standard_normal((50, 4)), np.zeros(50, dtype=bool)
    made.observe(Transition(state, rng.uniform(-1.0, 3.0, (50, 2)), rng.standard_normal(50), state, over, over))
    return made


def parameters(actor: torch.nn.Module) -> np.ndarray:
    return torch.cat([parameter.detach().flatten() for parameter in actor.parameters()]).numpy().copy()


def test_it_follows_the_actor_at_the_rate_and_acts_where_nothing_is_explored():
    made, plain = learner(), learner(0.0)
    expected = parameters(made.actor)
    for _ in range(6):
        made.learn()
        plain.learn()
        expected += RATE * (parameters(made.actor) - expected)
    np.testing.assert_allclose(parameters(made.deployed), expected, atol=1e-6)
    np.testing.assert_array_equal(parameters(made.actor), parameters(plain.actor))
    assert plain.deployed is plain.actor
    explored = [one.act(SEEN) for one in (made, plain)]
    np.testing.assert_array_equal(*explored)
    own = 1.0 + 2.0 * np.tanh(made.deployed(torch.from_numpy(SEEN.astype(np.float32)))[0].detach().numpy())
    np.testing.assert_allclose(made.act(SEEN, explore=False), own, atol=1e-6)
    assert np.abs(made.act(SEEN, explore=False) - plain.act(SEEN, explore=False)).max() > 1e-3


def test_it_is_what_is_saved_and_it_resumes_exactly(tmp_path: Path):
    made, again = learner(), learner()
    for _ in range(4):
        made.learn()
    made.save(tmp_path)
    np.testing.assert_allclose(
        load_policy(tmp_path, toy_contract()).act(SEEN), made.act(SEEN, explore=False), atol=1e-6
    )
    again.load(tmp_path)
    for one in (made, again):
        one.learn()
    np.testing.assert_array_equal(parameters(made.deployed), parameters(again.deployed))
    arrays, _ = made.exploring_policy()
    np.testing.assert_array_equal(arrays["layer0.bias"], made.actor.linear[0].bias.detach().numpy())
