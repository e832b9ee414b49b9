"""Ours against plain autograd on the same noise; needs torch."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from avg_reference import ReferenceAvg  # noqa: E402
from test_avg_kernel import HOPPER, contract  # noqa: E402

from robostack.learning import kernel  # noqa: E402
from robostack.learning.avg import Avg, AvgConfig  # noqa: E402
from robostack.learning.learner import Transition  # noqa: E402

BACKENDS = [
    "numpy",
    pytest.param("compiled", marks=pytest.mark.skipif(kernel.library() is None, reason="kernel not built")),
]
CHEETAH = dataclasses.replace(HOPPER, actor_learning_rate=6.3e-3, critic_learning_rate=8.7e-3, entropy_coefficient=0.07)


def reference_of(learner: Avg, config: AvgConfig, observations: int, actions: int) -> ReferenceAvg:
    reference = ReferenceAvg(
        observations,
        actions,
        actor_learning_rate=config.actor_learning_rate,
        critic_learning_rate=config.critic_learning_rate,
        alpha=config.entropy_coefficient,
        gamma=config.discount,
        beta1=config.beta1,
        hidden=config.hidden,
        dtype=torch.float32 if config.precision == "float32" else torch.float64,
    )
    reference.actor.set_weights(learner.actor.matrices(learner.actor.parameters))
    reference.critic.set_weights(learner.critic.matrices(learner.critic.parameters))
    return reference


def compare(config: AvgConfig, steps: int, observations: int = 11, actions: int = 3) -> dict[str, float]:
    """Largest distance of a layer's weights relative to their length, of actor and critic, after `steps` steps."""
    learner = Avg(contract(observations, actions), config, seed=1)
    reference = reference_of(learner, config, observations, actions)
    noise = np.random.Generator(np.random.PCG64())
    noise.bit_generator.state = learner.rng.bit_generator.state
    stream = np.random.default_rng(7).standard_normal((steps + 1, observations))
    for step in range(steps):
        ours = learner.act(stream[step])
        theirs = reference.act(stream[step], noise.standard_normal(actions))
        np.testing.assert_allclose(ours, np.clip(theirs, -1.0, 0.6), atol=2e-4)
        reward = float(np.cos(step) + stream[step + 1, 0])
        end, cut = step % 100 == 99, step % 70 == 69
        learner.observe(Transition(stream[step], ours, reward, stream[step + 1], end, cut))
        metrics = learner.update()
        delta = reference.update(stream[step + 1], reward, end, noise.standard_normal(actions))
        assert metrics["td_error"] == pytest.approx(delta, rel=1e-3, abs=1e-3)
    return {
        name: max(
            float(np.linalg.norm(a - b) / np.linalg.norm(b))
            for a, b in zip(network.matrices(network.parameters), other.weights(), strict=True)
        )
        for name, network, other in (
            ("actor", learner.actor, reference.actor),
            ("critic", learner.critic, reference.critic),
        )
    }


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_thousand_steps_of_the_published_hopper_settings(backend):
    apart = compare(dataclasses.replace(HOPPER, kernel=backend), 1000)
    assert max(apart.values()) <= 1e-6, apart


@pytest.mark.parametrize("backend", BACKENDS)
def test_large_steps_and_a_first_moment_in_double_precision(backend):
    """Steps 500 times as large drive any two implementations in single precision apart within a hundred steps."""
    config = dataclasses.replace(CHEETAH, kernel=backend, precision="float64", beta1=0.9)
    assert max(compare(config, 30, 17, 6).values()) <= 1e-9


@pytest.mark.parametrize("backend", BACKENDS)
def test_first_steps_of_the_published_cheetah_and_humanoid_settings(backend):
    assert max(compare(dataclasses.replace(CHEETAH, kernel=backend), 3, 376, 17).values()) <= 1e-5
