"""PPO: advantages by hand, one gradient step against plain torch, statistics, resume to the bit, export."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from toy_contract import toy_contract  # noqa: E402

from hardware.errors import CheckpointError, ConfigError, ContractMismatchError, NonFiniteError  # noqa: E402
from robostack.learning.learner import LEARNERS, Transition  # noqa: E402
from robostack.learning.ppo import Ppo, PpoConfig, advantages  # noqa: E402
from robostack.policies.mlp import load_policy  # noqa: E402

SMALL = PpoConfig(steps_per_update=24, minibatch=8, epochs=2, hidden=(16, 16))


def learner(seed: int = 0, **changes) -> Ppo:
    return Ppo(toy_contract(), dataclasses.replace(SMALL, **changes), seed)


def live(made: Ppo, first: int, last: int, count: int = 3) -> list[np.ndarray]:
    actions = []
    for step in range(first, last):
        rng = np.random.default_rng(step)
        now, following = 2.0 + 3.0 * rng.standard_normal((2, count, 4))
        actions.append(made.act(now))
        ends = rng.random((2, count)) < 0.1
        shown = rng.standard_normal((count, made.config.privileged)) if made.config.privileged else None
        made.observe(Transition(now, actions[-1], rng.standard_normal(count), following, *ends, privileged=shown))
        made.update()
    return actions


def test_advantages_by_hand():
    """gamma 0.5, lambda 0.5. First column: nothing ends; second: ends by itself at the middle step; third: is cut."""
    reward = np.array([[1.0, 1.0, 1.0], [2.0, 2.0, 2.0], [3.0, 3.0, 3.0]])
    value = np.array([[10.0, 10.0, 10.0], [20.0, 20.0, 20.0], [30.0, 30.0, 30.0]])
    next_value = np.array([[20.0, 20.0, 20.0], [30.0, 50.0, 50.0], [40.0, 40.0, 40.0]])
    middle = np.array([[False] * 3, [False, True, False], [False] * 3])
    cut = np.array([[False] * 3, [False, False, True], [False] * 3])
    found = advantages(reward, value, next_value, middle, cut, 0.5, 0.5)
    # errors: 1 + 10 - 10 = 1;  2 + 15 - 20 = -3, 2 + 0 - 20 = -18, 2 + 25 - 20 = 7;  3 + 20 - 30 = -7
    expected = [
        [1.0 + 0.25 * (-3.0 + 0.25 * -7.0), 1.0 + 0.25 * -18.0, 1.0 + 0.25 * 7.0],
        [-3.0 + 0.25 * -7.0, -18.0, 7.0],
        [-7.0, -7.0, -7.0],
    ]
    np.testing.assert_allclose(found, expected)


def test_one_gradient_step_against_plain_torch():
    made = learner(entropy_coefficient=0.01, gradient_norm=0.1)
    rng = np.random.default_rng(1)
    state, drawn = (torch.from_numpy(rng.standard_normal((8, n)).astype("f4")) for n in (4, 2))
    old_log, advantage, target = (torch.from_numpy(rng.standard_normal(8).astype("f4")) for _ in range(3))
    old_log = made._log_probability(state, drawn).detach() + 0.3 * old_log
    policy, value = (torch.nn.Sequential(*map(type_copy, net)) for net in (made.policy, made.value))
    log_deviation = made.log_deviation.detach().clone().requires_grad_()
    parameters = [log_deviation, *policy.parameters(), *value.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=3e-4, eps=1e-5)
    made._step([state, state, drawn, old_log, advantage, target])

    normal = torch.distributions.Normal(policy(state), log_deviation.exp())
    ratio = (normal.log_prob(drawn).sum(-1) - old_log).exp()
    weight = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
    surrogate = torch.min(ratio * weight, torch.clamp(ratio, 0.8, 1.2) * weight).mean()
    loss = -surrogate + 0.5 * torch.nn.functional.mse_loss(value(state)[:, 0], target)
    (loss - 0.01 * normal.entropy().sum(-1).mean()).backward()
    torch.nn.utils.clip_grad_norm_(parameters, 0.1)
    optimizer.step()
    expected = torch.cat([parameter.detach().reshape(-1) for parameter in parameters])
    torch.testing.assert_close(made.parameters, expected, atol=1e-6, rtol=1e-4)


def type_copy(module: torch.nn.Module) -> torch.nn.Module:
    if isinstance(module, torch.nn.Tanh):
        return torch.nn.Tanh()
    copy = torch.nn.Linear(module.in_features, module.out_features)
    copy.load_state_dict(module.state_dict())
    return copy


def test_resume_is_exact_to_the_bit_also_within_a_rollout(tmp_path):
    made = learner(privileged=2)
    live(made, 0, 21)  # two updates of eight steps, and five steps of the third
    assert made.filled == 5 and made.steps == 63
    made.save(tmp_path)
    actions = live(made, 21, 60)
    again = learner(seed=3, privileged=2)
    again.load(tmp_path)
    np.testing.assert_array_equal(live(again, 21, 60), actions)
    for name, tensor in made._tensors().items():
        assert torch.equal(tensor, again._tensors()[name]), name
    np.testing.assert_array_equal(again.normalizer.mean, made.normalizer.mean)
    assert again.update() == made.update() != {}


def test_a_reloaded_policy_acts_as_the_trained_one_and_so_do_its_exports(tmp_path):
    made = learner(learning_rate=1e-2)
    live(made, 0, 48)
    made.save(tmp_path)
    again = learner(seed=1)
    again.load(tmp_path)
    observations = 2.0 + 3.0 * np.random.default_rng(0).standard_normal((100, 4))
    trained = made.act(observations, explore=False)
    np.testing.assert_array_equal(again.act(observations, explore=False), trained)
    np.testing.assert_allclose(load_policy(tmp_path, toy_contract()).act(observations), trained, atol=1e-5)
    assert np.ptp(trained) > 0.1
    pytest.importorskip("onnxruntime")
    from robostack.export import export_onnx

    assert export_onnx(tmp_path, tmp_path / "policy.onnx").max_error < 1e-5


def test_statistics_stand_still_within_a_rollout_and_then_take_it_in():
    made = learner()
    live(made, 0, 7)
    np.testing.assert_array_equal(made.normalizer.mean, np.zeros(4))
    live(made, 7, 8)
    np.testing.assert_allclose(made.normalizer.mean, made.rollout["observation"].mean(axis=(0, 1)), rtol=1e-4)


def test_rewards_are_scaled_by_the_deviation_of_the_discounted_return():
    made = learner(discount=0.5)
    made.returns = np.array([0.0])
    reward, ended = np.array([[1.0], [1.0], [4.0], [2.0]]), np.array([[False], [True], [False], [False]])
    history = np.array([1.0, 1.5, 4.0, 4.0])  # starts again after the end
    found = made._scaled(reward, ended)
    np.testing.assert_allclose(found, reward / history.std(), rtol=1e-3)
    assert made.returns == np.array([4.0])
    np.testing.assert_array_equal(learner(scale_rewards=False)._scaled(reward, ended), reward)


def test_passes_end_when_the_policy_has_moved_far_enough():
    near, far = learner(learning_rate=1e-2, epochs=10, target_divergence=1e-6), learner(learning_rate=1e-2, epochs=10)
    live(near, 0, 8)
    live(far, 0, 8)
    assert int(near.optimizer.steps) == 3 and int(far.optimizer.steps) == 30


def test_wrong_use_is_named():
    made = learner()
    ends = np.zeros(3, dtype=bool)
    given = Transition(np.zeros((3, 4)), np.zeros((3, 2)), np.zeros(3), np.zeros((3, 4)), ends, ends)
    with pytest.raises(ConfigError, match="call act"):
        made.observe(given)
    made.act(given.observation)
    with pytest.raises(NonFiniteError, match="reward"):
        made.observe(dataclasses.replace(given, reward=np.array([0.0, np.nan, 0.0])))
    made.observe(given)
    made.act(np.zeros((2, 4)))
    with pytest.raises(ConfigError, match="began with 3 simulations and is now given 2"):
        made.observe(Transition(np.zeros((2, 4)), np.zeros((2, 2)), np.zeros(2), np.zeros((2, 4)), ends[:2], ends[:2]))
    with pytest.raises(NonFiniteError):
        made.act(np.full(4, np.inf))
    with pytest.raises(ConfigError, match="without bounds"):
        Ppo(toy_contract(high=math.inf), SMALL, 0)


def test_load_refuses_another_task_shape_or_damage(tmp_path):
    made = learner()
    live(made, 0, 3)
    made.save(tmp_path)
    with pytest.raises(ContractMismatchError):
        Ppo(toy_contract(observations=5), SMALL, 0).load(tmp_path)
    with pytest.raises(CheckpointError, match="configuration asks for"):
        learner(hidden=(8,)).load(tmp_path)
    document = json.loads((tmp_path / "learner.json").read_text())
    del document["scalars"]["filled"]
    (tmp_path / "learner.json").write_text(json.dumps(document))
    with pytest.raises(CheckpointError, match="filled"):
        learner().load(tmp_path)


WRONG = {"steps_per_update": 0, "clip": 0.0, "discount": 1.1, "entropy_coefficient": -0.1, "hidden": (), "device": "x"}


@pytest.mark.parametrize("name", WRONG)
def test_configuration_is_checked(name):
    with pytest.raises(ConfigError, match=name):
        learner(**{name: WRONG[name]})


def test_learns_a_bandit():
    made = LEARNERS.load("ppo").open(
        toy_contract(), dataclasses.replace(SMALL, steps_per_update=128, learning_rate=3e-3), 0
    )
    rng, ends = np.random.default_rng(0), np.ones(16, dtype=bool)

    def error(observation: np.ndarray, action: np.ndarray) -> np.ndarray:
        return np.abs(action - np.where(observation[:, :1] > 0.0, 2.0, 0.0))

    for _ in range(400):
        observation = rng.standard_normal((16, 4))
        action = made.act(observation)
        reward = -np.sum(error(observation, action) ** 2, axis=1)
        made.observe(Transition(observation, action, reward, observation, ends, ~ends))
        made.update()
    observation = rng.standard_normal((200, 4))
    assert np.mean(error(observation, made.act(observation, explore=False))) < 0.6
