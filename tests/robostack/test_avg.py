"""AVG: gradients against finite differences of a plain implementation, one update by hand, guards, statistics."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math

import numpy as np
import pytest
from toy_contract import toy_contract

from hardware.errors import CheckpointError, ConfigError, ContractMismatchError, NonFiniteError
from robostack.contract import Contract
from robostack.learning import kernel
from robostack.learning.adam import Adam
from robostack.learning.avg import Avg, AvgConfig
from robostack.learning.learner import LEARNERS, Transition
from robostack.learning.networks import Mlp
from robostack.learning.normalization import RunningMoments, RunningNormalizer
from robostack.learning.presets import recommended
from robostack.learning.squashed_gaussian import SquashedGaussian
from robostack.learning.td_scale import TdScale

SMALL = AvgConfig(hidden=(7, 5), precision="float64", actor_learning_rate=1e-3, critic_learning_rate=1e-3)


@pytest.fixture(params=["numpy", "compiled"])
def backend(request, monkeypatch):
    """Both implementations, whatever "auto" would take."""
    if request.param == "numpy":
        monkeypatch.setattr(kernel, "library", lambda: None)
    elif kernel.library() is None:
        pytest.skip("the compiled kernel is not built")


on_both = pytest.mark.usefixtures("backend")


def make_contract(observations: int = 4, actions: int = 2, low: float = -1.0, high: float = 1.0) -> Contract:
    return toy_contract(observations, actions, low, high)


def stream(seed: int, steps: int, size: int = 4) -> list[np.ndarray]:
    return list(np.random.default_rng(seed).standard_normal((steps + 1, size)))


def run(learner: Avg, observations: list[np.ndarray], first: int, last: int) -> list[np.ndarray]:
    """Feed steps [first, last); every tenth terminates, every seventh is cut by the time limit."""
    actions = []
    for step in range(first, last):
        actions.append(learner.act(observations[step]))
        reward = float(np.sin(step)) - 0.1 * float(np.sum(actions[-1] ** 2))
        end, cut = step % 10 == 9, step % 7 == 6
        learner.observe(Transition(observations[step], actions[-1], reward, observations[step + 1], end, cut))
        learner.update()
    return actions


# --- a second implementation, straight from the formulas, with nothing shared ---


def plain_mlp(flat: np.ndarray, sizes: tuple[int, ...], x: np.ndarray, epsilon: float = 1e-8) -> np.ndarray:
    start = 0
    for index, (fan_in, fan_out) in enumerate(itertools.pairwise(sizes)):
        piece = flat[start : start + fan_out * (fan_in + 1)]  # hidden layers are stored transposed
        last = index == len(sizes) - 2
        weights = piece.reshape(fan_out, fan_in + 1) if last else piece.reshape(fan_in + 1, fan_out).T
        start += piece.size
        x = weights[:, :-1] @ x + weights[:, -1]
        if index < len(sizes) - 2:
            x = np.where(x > 0, x, 0.01 * x)
        if index == len(sizes) - 3:
            x = x / math.sqrt(float(x @ x) + epsilon**2)
    return x


def plain_sample(heads: np.ndarray, noise: np.ndarray) -> tuple[np.ndarray, float]:
    mean, log = np.split(heads, 2)
    log = np.clip(log, -20.0, 2.0)
    u = mean + np.sqrt(np.exp(log)) * noise
    density = np.exp(-0.5 * noise**2) / np.sqrt(2.0 * np.pi * np.exp(log)) / (1.0 - np.tanh(u) ** 2)
    return np.tanh(u), float(np.sum(np.log(density)))


def differences(loss, parameters: np.ndarray, step: float = 1e-6) -> np.ndarray:
    gradient = np.zeros_like(parameters)
    for index in range(parameters.size):
        plus, minus = parameters.copy(), parameters.copy()
        plus[index] += step
        minus[index] -= step
        gradient[index] = (loss(plus) - loss(minus)) / (2.0 * step)
    return gradient


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("hidden", [(6,), (7, 5), (4, 6, 3)])
def test_network_gradient_equals_finite_differences(normalize, hidden):
    rng = np.random.default_rng(0)
    network = Mlp(3, hidden, 2, rng, normalize=normalize, dtype=np.float64)
    network.parameters += 0.1 * rng.standard_normal(network.parameters.size)
    run_, weights, x = network.new_pass(), np.array([0.7, -1.3]), rng.standard_normal(3)

    def loss(parameters: np.ndarray, at: np.ndarray) -> float:
        run_.inputs[0][:-1] = at
        return float(weights @ network.forward(run_, network.stored(parameters)))

    by_parameters = differences(lambda p: loss(p, x), network.parameters)
    by_input = differences(lambda at: loss(network.parameters, at), x)
    loss(network.parameters, x)
    np.testing.assert_allclose(network.backward(run_, weights), by_input, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(network.gradient(run_, 3.0), 3.0 * by_parameters, rtol=1e-6, atol=1e-8)


def test_initial_weights_are_orthogonal_and_biases_zero():
    network = Mlp(5, (8, 8), 3, np.random.default_rng(1), dtype=np.float64)
    for layer in network.matrices(network.parameters):
        weights = layer[:, :-1]
        gram = weights @ weights.T if weights.shape[0] <= weights.shape[1] else weights.T @ weights
        np.testing.assert_allclose(gram, np.eye(len(gram)), atol=1e-12)
        assert not layer[:, -1].any()


def test_zero_features_do_not_divide_by_zero():
    network = Mlp(2, (3,), 1, np.random.default_rng(0))
    run_ = network.new_pass()
    run_.inputs[0][:-1] = 0.0
    assert np.isfinite(network.forward(run_)).all()
    network.backward(run_, np.ones(1))
    assert np.isfinite(network.gradient(run_)).all()


@pytest.mark.parametrize("convention", ["variance", "std"])
def test_squashed_gaussian_against_the_density(convention):
    heads, noise = np.array([0.3, -0.8, -1.0, 0.4]), np.array([0.5, -1.2])
    draw = SquashedGaussian(2, convention)
    draw.noise[:] = noise
    draw.draw(heads)
    published = heads * np.array([1, 1, 1, 1]) if convention == "variance" else heads * np.array([1, 1, 2, 2])
    action, log_probability = plain_sample(published, noise)
    np.testing.assert_allclose(draw.action, action)
    assert draw.log_probability == pytest.approx(log_probability)


def test_log_probability_survives_saturation():
    draw = SquashedGaussian(1)
    draw.draw(np.array([400.0, 0.0]))
    # log(1 - tanh(u)^2) -> 2 log 2 - 2 u
    assert draw.log_probability == pytest.approx(-0.5 * math.log(2 * math.pi) + 800.0 - 2 * math.log(2))


@pytest.mark.parametrize("heads", [[0.3, -0.8, -1.0, 0.4], [0.1, 0.2, 2.5, -25.0]])
def test_actor_loss_gradient_equals_finite_differences(heads):
    heads, noise = np.array(heads), np.array([0.5, -1.2])
    draw = SquashedGaussian(2)
    draw.noise[:] = noise
    draw.draw(heads)

    def loss(at: np.ndarray) -> float:
        action, log_probability = plain_sample(at, noise)
        return 0.2 * log_probability - float(np.array([0.9, -0.4]) @ action**3)

    slope = np.array([0.9, -0.4]) * 3.0 * draw.action**2
    np.testing.assert_allclose(draw.loss_gradient(slope, 0.2), differences(loss, heads), rtol=1e-5, atol=1e-7)


@on_both
def test_update_moves_against_the_gradients_of_both_losses():
    """From equal parameters and noise, the step of the learner is Adam's on finite differences of the plain losses."""
    learner = Avg(make_contract(), SMALL, seed=3)
    observations = stream(0, 40)
    run(learner, observations, 0, 30)
    actor, critic = learner.actor.parameters.copy(), learner.critic.parameters.copy()
    second = learner.actor_optimizer.second.copy(), learner.critic_optimizer.second.copy()
    action = learner.act(observations[30])
    s, noise = learner.now.inputs[0][:-1].copy(), learner.drawn.noise.copy()
    learner.observe(Transition(observations[30], action, 0.7, observations[31], False, False))
    metrics = learner.update()
    s_next, noise_next = learner.normalized, learner.fresh.noise
    sizes_pi, sizes_q = (4, 7, 5, 4), (6, 7, 5, 1)
    alpha, gamma, sigma = SMALL.entropy_coefficient, SMALL.discount, metrics["sigma"]

    def q(parameters: np.ndarray, state: np.ndarray, a: np.ndarray) -> float:
        return float(plain_mlp(parameters, sizes_q, np.concatenate([state, a]))[0])

    a, log_probability = plain_sample(plain_mlp(actor, sizes_pi, s), noise)
    a_next, log_next = plain_sample(plain_mlp(actor, sizes_pi, s_next), noise_next)
    np.testing.assert_allclose(action, a, rtol=1e-12)
    target = 0.7 + gamma * (q(critic, s_next, a_next) - alpha * log_next)
    assert metrics["td_error"] == pytest.approx(target - q(critic, s, a), rel=1e-9)
    assert metrics["log_probability"] == pytest.approx(log_probability)

    def critic_loss(parameters: np.ndarray) -> float:
        return ((target - q(parameters, s, a)) / sigma) ** 2

    def actor_loss(parameters: np.ndarray) -> float:
        drawn, log = plain_sample(plain_mlp(parameters, sizes_pi, s), noise)
        return alpha * log - q(critic, s, drawn)

    steps = learner.actor_optimizer.steps
    for before, after, loss, old in (
        (actor, learner.actor.parameters, actor_loss, second[0]),
        (critic, learner.critic.parameters, critic_loss, second[1]),
    ):
        gradient = differences(loss, before)
        mean_square = (1 - 0.999) * (0.999 * old + gradient**2) / (1 - 0.999**steps)
        np.testing.assert_allclose(after - before, -1e-3 * gradient / (np.sqrt(mean_square) + 1e-8), atol=2e-8)


@on_both
def test_one_update_by_hand():
    """One observation, one action, one hidden unit: phi = sign(h), so that every number can be written down."""
    config = AvgConfig(
        hidden=(1,), precision="float64", actor_learning_rate=0.1, critic_learning_rate=0.2, entropy_coefficient=0.5
    )
    learner = Avg(make_contract(1, 1, low=0.0, high=4.0), config, seed=0)
    learner.actor.parameters[:] = [1.0, 0.0, 0.3, 0.1, 0.0, 0.0]  # h = s; mu = 0.3 phi + 0.1, l = 0
    learner.critic.parameters[:] = [0.0, 1.0, 2.0, 0.5, 0.25]  # h = a + 2; Q = 0.5 phi + 0.25
    learner.normalizer.count, learner.normalizer.mean[:] = 1e9, -1.0
    action = learner.act(np.array([2.0]))  # s = 3, phi = 1, mu = 0.4
    noise = float(learner.drawn.noise[0])
    squashed = math.tanh(0.4 + noise)
    assert action == pytest.approx([2.0 + 2.0 * squashed])
    learner.observe(Transition(np.array([2.0]), action, 1.5, np.array([0.0]), True, False))
    metrics = learner.update()
    assert metrics["td_error"] == pytest.approx(1.5 - 0.75)  # terminated: nothing follows
    # Actor: phi of the critic is constant, dQ/da = 0, hence g_u = 2 alpha a, g_l = -alpha/2 + g_u eps / 2.
    # A first Adam step moves every parameter by the step size against the sign of its gradient.
    sign_u, sign_log = math.copysign(1, squashed), math.copysign(1, -0.25 + 0.5 * squashed * noise)
    expected = [1.0, 0.0, 0.3 - 0.1 * sign_u, 0.1 - 0.1 * sign_u, -0.1 * sign_log, -0.1 * sign_log]
    np.testing.assert_allclose(learner.actor.parameters, expected, atol=1e-6)
    # Critic: the error is positive, so both output parameters grow.
    np.testing.assert_allclose(learner.critic.parameters, [0.0, 1.0, 2.0, 0.7, 0.45], atol=1e-6)


def test_adam_against_its_definition():
    rng = np.random.default_rng(0)
    for beta1 in (0.0, 0.9):
        adam, w = Adam(3, 0.01, beta1=beta1, beta2=0.99, dtype=np.float64), np.ones(3)
        first, second, expected = np.zeros(3), np.zeros(3), np.ones(3)
        for step in range(1, 6):
            gradient = rng.standard_normal(3)
            adam.step(w, gradient)
            first = beta1 * first + (1 - beta1) * gradient
            second = 0.99 * second + 0.01 * gradient**2
            expected -= 0.01 * (first / (1 - beta1**step)) / (np.sqrt(second / (1 - 0.99**step)) + 1e-8)
        np.testing.assert_allclose(w, expected, rtol=1e-12)


def test_running_statistics():
    values = np.random.default_rng(0).normal(1e6, 2.0, size=1000)
    moments = RunningMoments()
    for value in values:
        moments.push(float(value))
    assert moments.mean == pytest.approx(values.mean(), rel=1e-14)
    assert moments.variance == pytest.approx(values.var(), rel=1e-9)
    normalizer = RunningNormalizer(1)
    for value in values:
        normalizer.update(np.array([value - 1e6]))
    assert normalizer.mean[0] == pytest.approx((values - 1e6).mean(), abs=1e-6)
    assert normalizer.variance[0] == pytest.approx((values - 1e6).var(), rel=1e-5)


def test_td_scale_by_hand():
    scale = TdScale(0.5)
    for reward, end in ((1.0, False), (2.0, True), (0.0, False), (1.0, True)):
        scale.update(reward, end, False)
    # Var[r] of 1 2 0 1 = 0.5, Var[gamma] of .5 0 .5 0 = 1/16, E[G^2] = (9 + 1) / 2 = 5
    assert scale.sigma() == pytest.approx(math.sqrt(0.5 + 5.0 / 16.0))


def test_td_scale_is_one_until_it_can_be_trusted():
    scale = TdScale(0.9)
    scale.update(0.05, False, False)
    scale.update(0.0, False, False)
    assert scale.sigma() == 1.0


@pytest.mark.parametrize(("reset", "squared"), [(True, 4.0), (False, 49.0)])
def test_td_scale_tells_a_time_limit_from_an_end(reset, squared):
    scale = TdScale(0.9, reset_on_truncation=reset)
    scale.update(5.0, False, True)
    scale.update(2.0, True, False)
    assert scale.squared_return.mean == squared


@on_both
def test_resume_is_exact_to_the_bit(tmp_path):
    observations = stream(1, 80)
    config = AvgConfig(hidden=(16, 16), average=0.99, beta1=0.9)
    learner = Avg(make_contract(), config, seed=5)
    run(learner, observations, 0, 40)
    learner.save(tmp_path / "checkpoint")
    expected = run(learner, observations, 40, 80)
    resumed = Avg(make_contract(), config, seed=99)
    resumed.load(tmp_path / "checkpoint")
    assert resumed.steps == 40
    np.testing.assert_array_equal(run(resumed, observations, 40, 80), expected)
    for name, array in learner.state_arrays().items():
        np.testing.assert_array_equal(resumed.state_arrays()[name], array, err_msg=name)
    np.testing.assert_array_equal(
        resumed.act(observations[3], explore=False), learner.act(observations[3], explore=False)
    )


def test_load_refuses_another_task_another_shape_and_damage(tmp_path):
    folder = tmp_path / "checkpoint"
    Avg(make_contract(), SMALL, seed=0).save(folder)
    with pytest.raises(ContractMismatchError, match="action"):
        Avg(make_contract(high=2.0), SMALL, seed=0).load(folder)
    with pytest.raises(CheckpointError, match="configuration of the run"):
        Avg(make_contract(), dataclasses.replace(SMALL, hidden=(3, 3)), seed=0).load(folder)
    document = json.loads((folder / "learner.json").read_text())
    del document["scalars"]["rng"]
    (folder / "learner.json").write_text(json.dumps(document))
    with pytest.raises(CheckpointError, match="rng"):
        Avg(make_contract(), SMALL, seed=0).load(folder)


@pytest.mark.parametrize("reward", [math.nan, math.inf])
@on_both
def test_a_step_that_is_not_finite_is_rejected_and_counted(reward):
    learner = Avg(make_contract(), SMALL, seed=0)
    observations = stream(2, 10)
    run(learner, observations, 0, 5)
    before = learner.actor.parameters.copy(), learner.critic.parameters.copy(), learner.td_scale.to_dict()
    action = learner.act(observations[5])
    learner.observe(Transition(observations[5], action, reward, observations[6], False, False))
    assert learner.update()["rejected"] == 1.0
    np.testing.assert_array_equal(learner.actor.parameters, before[0])
    np.testing.assert_array_equal(learner.critic.parameters, before[1])
    assert learner.td_scale.to_dict() == before[2]
    run(learner, observations, 6, 10)
    assert learner.rejected == 1


@on_both
def test_gradients_that_overflow_are_rejected():
    learner = Avg(make_contract(), AvgConfig(hidden=(4,)), seed=0)
    observations = stream(2, 3)
    run(learner, observations, 0, 1)
    learner.critic.parameters[-1] = 1e30  # the error is then -1e28, and its square no float32
    before = learner.critic.parameters.copy()
    action = learner.act(observations[1])
    learner.observe(Transition(observations[1], action, 0.0, observations[2], False, False))
    with np.errstate(over="ignore"):
        learner.update()
    assert learner.rejected == 1
    np.testing.assert_array_equal(learner.critic.parameters, before)


@on_both
def test_observation_that_is_not_finite_raises():
    with pytest.raises(NonFiniteError):
        Avg(make_contract(), SMALL, seed=0).act(np.array([0.0, math.nan, 0.0, 0.0]))


@on_both
def test_observe_without_an_explored_action_raises():
    learner = Avg(make_contract(), SMALL, seed=0)
    learner.act(np.zeros(4), explore=False)
    with pytest.raises(ConfigError, match="explore=True"):
        learner.observe(Transition(np.zeros(4), np.zeros(2), 0.0, np.zeros(4), False, False))
    assert learner.update() == {}


@on_both
def test_actions_map_onto_the_bounds_or_are_clipped():
    observations = stream(4, 200)
    mapped = Avg(make_contract(low=1.0, high=5.0), SMALL, seed=0)
    actions = np.array(run(mapped, observations, 0, 200))
    assert actions.min() > 1.0 and actions.max() < 5.0 and np.ptp(actions) > 2.0
    clipped = Avg(make_contract(low=-0.2, high=0.2), dataclasses.replace(SMALL, map_actions=False), seed=0)
    actions = np.array(run(clipped, observations, 0, 50))
    assert actions.min() == -0.2 and actions.max() == 0.2


@on_both
def test_step_sizes_fall_to_a_twentieth():
    learner = Avg(make_contract(), dataclasses.replace(SMALL, anneal_steps=10), seed=0)
    seen = []
    for step in range(20):
        run(learner, stream(0, 20), step, step + 1)
        seen.append(learner.actor_optimizer.learning_rate)
    assert seen[4] == pytest.approx(1e-3 * (1 - 0.95 * 0.5))
    assert seen[9] == pytest.approx(5e-5) and seen[19] == pytest.approx(5e-5)


@on_both
def test_each_observation_enters_the_statistics_once():
    learner = Avg(make_contract(), SMALL, seed=0)
    run(learner, stream(0, 20), 0, 20)
    learner.act(np.ones(4), explore=False)
    assert learner.normalizer.count == pytest.approx(21 + 1e-4)


@on_both
def test_learns_a_bandit():
    """Reward -(a - 0.5)^2: the policy's mean ends near 0.5."""
    config = AvgConfig(hidden=(32, 32), actor_learning_rate=1e-3, critic_learning_rate=3e-3, entropy_coefficient=0.01)
    learner = Avg(make_contract(2, 1), config, seed=0)
    observations = list(np.random.default_rng(0).standard_normal((5001, 2)))
    for now, following in itertools.pairwise(observations):
        action = learner.act(now)
        learner.observe(Transition(now, action, -float((action[0] - 0.5) ** 2), following, True, False))
        learner.update()
    means = [float(learner.act(o, explore=False)[0]) for o in observations[:50]]
    assert np.mean(means) == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize("change", [{"discount": 1.5}, {"actor_learning_rate": 0.0}, {"hidden": ()}])
def test_configuration_is_checked(change):
    with pytest.raises(ConfigError, match=next(iter(change))):
        AvgConfig(**change)


def test_registered_and_recommended():
    assert "avg" in LEARNERS.names()
    config = recommended("avg", "ur5e-reach")
    assert isinstance(LEARNERS.load("avg").open(make_contract(), config, 0), Avg)
    assert recommended("avg", "no-preset") == AvgConfig()
