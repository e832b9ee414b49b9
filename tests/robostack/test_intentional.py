"""The intentional actor-critic: what its steps achieve, its gradients, guards and resume."""

from __future__ import annotations

import math

import numpy as np
import pytest
from test_avg_kernel import contract

from hardware.errors import CheckpointError, ConfigError, NonFiniteError
from robostack.learning.intentional import Intentional, IntentionalConfig, IntentionalStep
from robostack.learning.learner import LEARNERS, Transition
from robostack.policies.mlp import load_policy

SMALL = IntentionalConfig(hidden=(12, 9))


def feed(learner: Intentional, first: int, last: int) -> list[np.ndarray]:
    stream = np.random.default_rng(0).standard_normal((last + 1, learner.normalizer.mean.size))
    actions = []
    for step in range(first, last):
        actions.append(learner.act(stream[step]))
        reward = float(np.sin(step) - np.sum(actions[-1] ** 2))
        learner.observe(Transition(stream[step], actions[-1], reward, stream[step + 1], step % 9 == 8, step % 7 == 6))
        learner.update()
    return actions


def test_a_step_changes_the_function_by_the_amount():
    """V = w x: the first step moves V(x) by exactly what was asked for, whatever the scale of x."""
    for scale in (1e-3, 1.0, 1e3):
        w, x = np.zeros(4, dtype=np.float32), (scale * np.array([1.0, -2.0, 0.5, 3.0])).astype(np.float32)
        IntentionalStep(4, 0.999, 0.99).step(w, x, 0.7, 0.0)
        assert float(w @ x) == pytest.approx(0.7, rel=1e-4)


def test_a_trace_about_other_states_does_not_make_the_step_explode():
    step, w = IntentionalStep(2, 0.999, 0.99), np.zeros(2, dtype=np.float32)
    step.step(w, np.array([1.0, 0.0], dtype=np.float32), 0.0, 0.8)
    step.trace[:] = [1.0, -1.0]  # orthogonal to the gradient that follows once that is added
    step.step(w, np.array([0.0, 0.8], dtype=np.float32), 0.5, 0.8)
    assert np.abs(w).max() < 2.0


def test_a_gradient_that_is_not_finite_is_refused():
    step, w = IntentionalStep(2, 0.999, 0.99), np.ones(2, dtype=np.float32)
    assert not step.step(w, np.array([np.inf, 0.0], dtype=np.float32), 0.5, 0.8)
    assert not step.step(w, np.array([1.0, 0.0], dtype=np.float32), math.nan, 0.8)
    np.testing.assert_array_equal(w, 1.0)
    assert step.steps == 0 and not step.trace.any()


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_head_gradient_equals_finite_differences(sign):
    learner = Intentional(contract(3, 2), SMALL, seed=0)
    learner.act(np.array([0.3, -1.0, 2.0]))
    heads, noise = learner._now.output.astype(np.float64), learner._noise.copy()

    def deviation(h: np.ndarray) -> np.ndarray:
        return np.log1p(np.exp(h[2:])) + 1e-3

    u = heads[:2] + deviation(heads) * noise  # the draw stays where it is

    def objective(h: np.ndarray) -> float:
        log_pi = -0.5 * ((u - h[:2]) / deviation(h)) ** 2 - np.log(deviation(h))
        return float(np.sum(log_pi) + sign * SMALL.entropy_coefficient * np.sum(np.log(deviation(h))))

    expected = [(objective(heads + step) - objective(heads - step)) / 2e-6 for step in 1e-6 * np.eye(4)]
    np.testing.assert_allclose(learner._head_gradient(sign), expected, rtol=1e-5, atol=1e-7)


def test_errors_are_clipped_at_a_multiple_of_their_usual_size():
    learner = Intentional(contract(3, 2), SMALL, seed=0)
    for learner.steps in range(1, 2001):
        learner._clipped(1.0 if learner.steps % 2 else -1.0)
    learner.steps += 1
    delta, usual = learner._clipped(-1e4)
    assert delta == pytest.approx(-20.0 * usual) and usual == pytest.approx(math.sqrt(0.001 * 1e8 / 0.865), rel=1e-2)


def test_rewards_are_divided_by_the_deviation_of_the_discounted_return():
    learner = Intentional(contract(3, 2), IntentionalConfig(hidden=(4,), discount=0.5), seed=0)
    scales = [learner._reward_scale(reward, ended) for reward, ended in ((4.0, False), (2.0, True), (1.0, False))]
    assert scales[0] == 1.0 and scales[2] == pytest.approx(np.std([4.0, 4.0, 1.0]))


def test_resume_is_exact_to_the_bit(tmp_path):
    learner = Intentional(contract(5, 2), SMALL, seed=1)
    feed(learner, 0, 40)
    learner.save(tmp_path / "checkpoint")
    expected = feed(learner, 40, 80)
    resumed = Intentional(contract(5, 2), SMALL, seed=9)
    resumed.load(tmp_path / "checkpoint")
    np.testing.assert_array_equal(feed(resumed, 40, 80), expected)
    for name, array in learner.state_arrays().items():
        np.testing.assert_array_equal(resumed.state_arrays()[name], array, err_msg=name)
    with pytest.raises(CheckpointError, match="does not fit"):
        Intentional(contract(5, 2), IntentionalConfig(hidden=(3, 3)), seed=0).load(tmp_path / "checkpoint")


def test_the_exported_policy_acts_as_the_learner_without_exploration(tmp_path):
    learner = Intentional(contract(5, 2), SMALL, seed=1)
    feed(learner, 0, 60)
    learner.save(tmp_path / "checkpoint")
    policy = load_policy(tmp_path / "checkpoint")
    observation = np.array([0.1, -0.4, 1.0, 0.3, -2.0])
    np.testing.assert_allclose(policy.act(observation), learner.act(observation, explore=False), rtol=1e-5)


def test_bad_input_is_refused():
    learner = Intentional(contract(3, 1), SMALL, seed=0)
    with pytest.raises(NonFiniteError):
        learner.act(np.array([0.0, math.nan, 0.0]))
    with pytest.raises(ConfigError, match="explore=True"):
        learner.observe(Transition(np.zeros(3), np.zeros(1), 0.0, np.zeros(3), False, False))
    assert learner.update() == {}
    before = learner.critic.parameters.copy()
    action = learner.act(np.ones(3))
    learner.observe(Transition(np.ones(3), action, math.inf, np.zeros(3), False, False))
    assert learner.update() == {"rejected": 1.0}
    np.testing.assert_array_equal(learner.critic.parameters, before)


@pytest.mark.parametrize("change", [{"value_fraction": 0.0}, {"trace": 1.5}, {"hidden": ()}])
def test_configuration_is_checked(change):
    with pytest.raises(ConfigError, match=next(iter(change))):
        IntentionalConfig(**change)


def test_learns_a_bandit():
    """Reward -(a - 0.5)^2: the policy's mean ends near 0.5."""
    learner = LEARNERS.load("intentional").open(contract(2, 1), IntentionalConfig(hidden=(32, 32)), 0)
    stream = np.random.default_rng(0).standard_normal((4001, 2))
    for step in range(4000):
        action = learner.act(stream[step])
        learner.observe(Transition(stream[step], action, -float((action[0] - 0.5) ** 2), stream[step + 1], True, False))
        learner.update()
    means = [float(learner.act(observation, explore=False)[0]) for observation in stream[:50]]
    assert np.mean(np.abs(np.array(means) - 0.5)) < 0.15
