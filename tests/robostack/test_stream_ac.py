"""Stream AC(lambda): its networks' gradients, traces and bounded steps, guards and resume."""

from __future__ import annotations

import math

import numpy as np
import pytest
from test_avg import differences
from test_avg_kernel import contract
from test_intentional import feed

from hardware.errors import CheckpointError, ConfigError, NonFiniteError
from robostack.export import export_onnx
from robostack.learning.layer_norm import LayerNormMlp, sparse_uniform
from robostack.learning.learner import LEARNERS, Transition
from robostack.learning.networks import LEAK
from robostack.learning.stream_ac import BoundedStep, StreamAc, StreamAcConfig
from robostack.policies.mlp import load_policy

SMALL = StreamAcConfig(hidden=(12, 9))


def vector(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float32)


@pytest.mark.parametrize("hidden", [(6,), (7, 5), (4, 6, 3)])
def test_network_gradient_equals_finite_differences(hidden):
    rng = np.random.default_rng(0)
    network = LayerNormMlp(3, hidden, 2, rng, sparsity=0.0, dtype=np.float64)
    network.parameters += 0.1 * rng.standard_normal(network.parameters.size)
    run, weights, x = network.new_pass(), np.array([0.7, -1.3]), rng.standard_normal(3)

    def loss(parameters: np.ndarray, at: np.ndarray) -> float:
        run.inputs[0][:-1] = at
        return float(weights @ network.forward(run, network.stored(parameters)))

    by_parameters = differences(lambda p: loss(p, x), network.parameters)
    by_input = differences(lambda at: loss(network.parameters, at), x)
    loss(network.parameters, x)
    np.testing.assert_allclose(network.backward(run, weights), by_input, rtol=1e-5, atol=1e-8)
    np.testing.assert_allclose(network.gradient(run), by_parameters, rtol=1e-5, atol=1e-7)


def test_layers_are_normalised_before_the_activation():
    network = LayerNormMlp(3, (5,), 1, np.random.default_rng(1), sparsity=0.5, dtype=np.float64)
    run = network.new_pass()
    run.inputs[0][:-1] = [3.0, -1.0, 0.5]
    network.forward(run)
    linear = network.matrices(network.parameters)[0] @ [3.0, -1.0, 0.5, 1.0]
    normal = (linear - linear.mean()) / np.sqrt(linear.var() + 1e-5)
    np.testing.assert_allclose(run.inputs[1][:-1], np.where(normal > 0, normal, LEAK * normal), rtol=1e-12)


def test_initial_weights_are_sparse_and_bounded():
    weights = sparse_uniform(40, 25, 0.9, np.random.default_rng(0))
    assert (np.count_nonzero(weights, axis=1) == 2).all()  # ceil(22.5) of 25 are zero
    assert np.abs(weights).max() <= 0.2 and np.abs(weights).max() > 0.15
    assert (np.count_nonzero(sparse_uniform(5, 4, 0.9, np.random.default_rng(0)), axis=1) == 1).all()  # never all
    network = LayerNormMlp(25, (8,), 2, np.random.default_rng(0))
    for layer in network.matrices(network.parameters):
        assert not layer[:, -1].any() and layer[:, :-1].any()


def test_bounded_steps_by_hand():
    rule, w = BoundedStep(3, step_size=1.0, bound=2.0), np.zeros(3, dtype=np.float32)
    assert rule.step(w, vector(1.0, -2.0, 0.0), 0.5, 0.72)
    # |z|_1 = 3, max(|delta|, 1) = 1: step min(1, 1 / 6), times delta = 0.5
    np.testing.assert_allclose(w, vector(1.0, -2.0, 0.0) / 12.0, rtol=1e-6)
    assert rule.step(w, vector(0.0, 1.0, 1.0), -4.0, 0.72)
    trace = vector(0.72, -0.44, 1.0)
    np.testing.assert_allclose(rule.trace, trace, rtol=1e-6)
    # |z|_1 = 2.16, max(|delta|, 1) = 4: step 1 / (2 * 4 * 2.16)
    np.testing.assert_allclose(w, vector(1.0, -2.0, 0.0) / 12.0 - 4.0 * trace / (8.0 * 2.16), rtol=1e-5)


def test_small_gradients_take_the_step_size_itself():
    rule, w = BoundedStep(2, step_size=0.5, bound=3.0), np.zeros(2, dtype=np.float32)
    rule.step(w, vector(0.01, 0.02), -0.3, 0.0)
    np.testing.assert_allclose(w, -0.3 * 0.5 * vector(0.01, 0.02), rtol=1e-6)


def test_a_linear_value_is_never_overshot():
    """V = w x, bound >= 1: after the step the error has its old sign, however large the error and x are."""
    rng = np.random.default_rng(0)
    for _ in range(200):
        x = np.clip(rng.standard_normal(6), -1.0, 1.0).astype(np.float32)  # |x|_2^2 <= |x|_1
        w, delta = np.zeros(6, dtype=np.float32), float(10.0 ** rng.uniform(-3, 3))
        BoundedStep(6, 1.0, 1.0).step(w, x, delta, 0.0)
        assert 0.0 <= float(w @ x) <= delta


def test_a_gradient_that_is_not_finite_is_refused():
    rule, w = BoundedStep(2, 1.0, 2.0), np.ones(2, dtype=np.float32)
    assert not rule.step(w, vector(np.inf, 0.0), 0.5, 0.8)
    assert not rule.step(w, vector(1.0, 0.0), math.nan, 0.8)
    np.testing.assert_array_equal(w, 1.0)
    assert not rule.trace.any()


def test_traces_hold_the_gradients_of_value_and_log_probability():
    """Both traces after two steps, against finite differences of V and log pi + sign(delta) entropy; then an end."""

    def output(outputs: int, parameters: np.ndarray, x: np.ndarray) -> np.ndarray:
        network = LayerNormMlp(3, (12, 9), outputs, np.random.default_rng(0), dtype=np.float64)
        run = network.new_pass()
        run.inputs[0][:-1] = x
        return network.forward(run, network.stored(parameters))

    def deviation(heads: np.ndarray) -> np.ndarray:
        return np.log1p(np.exp(heads[2:])) + 1e-3

    learner = StreamAc(contract(3, 2), SMALL, seed=0)
    expected = {"critic": np.zeros(learner.critic.parameters.size), "actor": np.zeros(learner.actor.parameters.size)}
    states = np.random.default_rng(2).standard_normal((4, 3))
    for step, state in enumerate(states[:3]):
        action = learner.act(state)
        nets = {net.sizes[-1]: net.parameters.astype(np.float64) for net in (learner.actor, learner.critic)}
        x, noise = learner._now.inputs[0][:-1].astype(np.float64), learner._noise.copy()
        learner.observe(Transition(state, action, 1.0 - step, states[step + 1], False, step == 2))
        delta = learner.update()["td_error"]
        if step == 2:
            assert not learner.critic_rule.trace.any() and not learner.actor_rule.trace.any()
            continue
        heads = output(4, nets[4], x)
        u = heads[:2] + deviation(heads) * noise

        def objective(parameters: np.ndarray, x: np.ndarray = x, u: np.ndarray = u, delta: float = delta) -> float:
            heads = output(4, parameters, x)
            log_pi = -0.5 * ((u - heads[:2]) / deviation(heads)) ** 2 - np.log(deviation(heads))
            return float(np.sum(log_pi) + math.copysign(0.01, delta) * np.sum(np.log(deviation(heads))))

        gradients = {
            "critic": differences(lambda p, x=x: float(output(1, p, x)[0]), nets[1], 1e-5),
            "actor": differences(objective, nets[4], 1e-5),
        }
        for name, rule in (("critic", learner.critic_rule), ("actor", learner.actor_rule)):
            expected[name] = 0.99 * 0.8 * expected[name] + gradients[name]
            np.testing.assert_allclose(rule.trace, expected[name], rtol=2e-3, atol=2e-4)


def test_resume_is_exact_to_the_bit(tmp_path):
    learner = StreamAc(contract(5, 2), SMALL, seed=1)
    feed(learner, 0, 40)
    learner.save(tmp_path / "checkpoint")
    expected = feed(learner, 40, 80)
    resumed = StreamAc(contract(5, 2), SMALL, seed=9)
    resumed.load(tmp_path / "checkpoint")
    np.testing.assert_array_equal(feed(resumed, 40, 80), expected)
    for name, array in learner.state_arrays().items():
        np.testing.assert_array_equal(resumed.state_arrays()[name], array, err_msg=name)
    with pytest.raises(CheckpointError, match="does not fit"):
        StreamAc(contract(5, 2), StreamAcConfig(hidden=(3, 3)), seed=0).load(tmp_path / "checkpoint")


def test_the_exported_policy_acts_as_the_learner_without_exploration(tmp_path):
    learner = StreamAc(contract(5, 2), SMALL, seed=1)
    feed(learner, 0, 60)
    learner.save(tmp_path / "checkpoint")
    policy = load_policy(tmp_path / "checkpoint")
    observation = np.array([0.1, -0.4, 1.0, 0.3, -2.0])
    np.testing.assert_allclose(policy.act(observation), learner.act(observation, explore=False), rtol=1e-4)
    both = policy.act(np.array([observation, 2.0 * observation]))
    np.testing.assert_allclose(both[0], policy.act(observation), rtol=1e-5)
    assert export_onnx(tmp_path / "checkpoint", tmp_path / "policy.onnx").max_error < 1e-4


def test_bad_input_is_refused():
    learner = StreamAc(contract(3, 1), SMALL, seed=0)
    with pytest.raises(NonFiniteError):
        learner.act(np.array([0.0, math.nan, 0.0]))
    before = learner.critic.parameters.copy()
    action = learner.act(np.ones(3))
    learner.observe(Transition(np.ones(3), action, 1.0, np.array([0.0, math.inf, 0.0]), False, False))
    assert learner.update() == {"rejected": 1.0}
    np.testing.assert_array_equal(learner.critic.parameters, before)


@pytest.mark.parametrize("change", [{"actor_bound": 0.0}, {"trace": 1.5}, {"hidden": ()}, {"sparsity": -0.1}])
def test_configuration_is_checked(change):
    with pytest.raises(ConfigError, match=next(iter(change))):
        StreamAcConfig(**change)


def test_learns_a_bandit():
    """Reward -(a - 0.5)^2: the policy's mean ends near 0.5."""
    learner = LEARNERS.load("stream-ac").open(contract(2, 1), StreamAcConfig(hidden=(32, 32)), 0)
    stream = np.random.default_rng(0).standard_normal((6001, 2))
    for step in range(6000):
        action = learner.act(stream[step])
        learner.observe(Transition(stream[step], action, -float((action[0] - 0.5) ** 2), stream[step + 1], True, False))
        learner.update()
    means = [float(learner.act(observation, explore=False)[0]) for observation in stream[:50]]
    assert np.mean(np.abs(np.array(means) - 0.5)) < 0.15
