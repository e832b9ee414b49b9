"""From a batch learner's checkpoint to AVG: the same policy, the same values, and nothing that moves them unasked."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from test_avg_kernel import contract

from hardware.errors import CheckpointError, ConfigError, ContractMismatchError
from robostack.checkpoint import load_policy as read_policy
from robostack.contract import contract_of
from robostack.learning import distillation, hand_over, kernel, training
from robostack.learning.avg import Avg, AvgConfig
from robostack.learning.hand_over import batch_values, hand_over_config
from robostack.learning.learner import Transition
from robostack.learning.training import TrainConfig, train
from robostack.policies.mlp import load_policy
from robostack.tasks.ur5e_reach import Ur5eReach

torch = pytest.importorskip("torch")
from robostack.learning.rlpd import Rlpd, RlpdConfig  # noqa: E402 needs torch

BASE = RlpdConfig(
    architecture="avg",
    hidden=(16, 12),
    critics=3,
    batch_size=32,
    learning_starts=50,
    updates_per_step=1.0,
    critic_steps_per_actor_step=4,
    replay_size=1000,
)


def trained(folder, task_contract=None, steps: int = 250, **changes):
    """A checkpoint of a batch learner on random data, in `folder`."""
    subject = Rlpd(task_contract or contract(5, 2), dataclasses.replace(BASE, **changes), seed=4)
    rng = np.random.default_rng(0)
    stream = 3.0 + 2.0 * rng.standard_normal((steps + 1, subject.contract.num_observations))
    for step in range(steps):
        action = subject.act(stream[step])
        reward = float(stream[step, 0] - np.sum(action**2))
        subject.observe(Transition(stream[step], action, reward, stream[step + 1], step % 50 == 49, False))
        subject.update()
    subject.save(folder)
    return subject


def taken_over(folder, seed: int = 0, **changes) -> Avg:
    learner = Avg(contract(5, 2), dataclasses.replace(hand_over_config(folder), **changes), seed=seed)
    hand_over.hand_over(learner, folder)
    return learner


@pytest.fixture(autouse=True)
def _short_fit(monkeypatch):
    monkeypatch.setattr(hand_over, "FITTING_STEPS", 300)


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("variance", ["std", "variance"])
def test_the_policy_is_the_same(tmp_path, normalize, variance):
    subject = trained(tmp_path / "base", normalize_observations=normalize, variance=variance)
    learner, policy = taken_over(tmp_path / "base", kernel="numpy"), load_policy(tmp_path / "base")
    observations = 3.0 + 2.0 * np.random.default_rng(7).standard_normal((100, 5))
    for observation in observations[:20]:
        np.testing.assert_allclose(learner.act(observation, explore=False), policy.act(observation), atol=1e-6)
    # The same distribution, too: equal noise, equal action and log-probability.
    state = torch.from_numpy(subject._normalized(observations[:1]).astype(np.float32))
    action = learner.act(observations[0])
    noise = torch.from_numpy(learner.drawn.noise[None].astype(np.float32))
    expected, log_probability = (value.detach().numpy()[0] for value in subject.actor.draw(state, noise))
    np.testing.assert_allclose(action, subject.center + subject.half * expected, atol=1e-5)
    assert learner.drawn.log_probability == pytest.approx(float(log_probability), abs=1e-4)
    learner.save(tmp_path / "taken")
    taken = load_policy(tmp_path / "taken")
    np.testing.assert_allclose(taken.act(observations), policy.act(observations), atol=1e-6)


def test_settings_follow_from_the_checkpoint(tmp_path):
    subject = trained(tmp_path / "base", discount=0.9)
    config = hand_over_config(tmp_path / "base")
    assert config.discount == 0.9 and config.hidden == (16, 12) and config.variance == "std" and config.map_actions
    assert config.entropy_coefficient == pytest.approx(float(subject.log_temperature.exp()))
    assert config.actor_learning_rate < AvgConfig().actor_learning_rate / 100 and config.critic_first > 0


@pytest.mark.parametrize("layer_norm", [True, False])
@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_values_are_the_mean_of_the_ensemble(tmp_path, layer_norm, activation):
    subject = trained(tmp_path / "base", layer_norm=layer_norm, critic_activation=activation)
    inputs = np.random.default_rng(3).standard_normal((20, 7)).astype(np.float32)
    expected = subject.critic.forward(torch.from_numpy(inputs))[0][:, :, 0].mean(0).numpy()
    config = read_policy(tmp_path / "base").config
    found = batch_values(config, subject.critic.parameters.numpy(), inputs.astype(np.float64))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_the_critic_is_fitted_to_them(tmp_path, monkeypatch):
    monkeypatch.setattr(hand_over, "FITTING_STEPS", 1500)
    subject = trained(tmp_path / "base", normalize_observations=True)
    learner = Avg(contract(5, 2), hand_over_config(tmp_path / "base"), seed=1)
    report = hand_over.hand_over(learner, tmp_path / "base")
    assert report.transitions == 250 and report.critic_error < 0.3
    rows = subject.online.newest(250)
    state = (rows["observation"] - subject.normalizer.mean) / subject.normalizer.scale()
    inputs = np.concatenate([state, (rows["action"] - subject.center) / subject.half], axis=1).astype(np.float32)
    wanted = batch_values(read_policy(tmp_path / "base").config, subject.critic.parameters.numpy(), inputs)
    found = distillation.values(learner.critic, inputs)
    assert np.sqrt(np.mean((found - wanted) ** 2)) == pytest.approx(report.critic_error * wanted.std(), rel=0.02)


@pytest.mark.parametrize("on_disk", [True, False])
def test_without_a_replay_or_a_fit_the_critic_starts_anew(tmp_path, on_disk):
    trained(tmp_path / "base", replay_dir=str(tmp_path / "replay") if on_disk else "")
    learner = Avg(contract(5, 2), hand_over_config(tmp_path / "base"), seed=1)
    fresh = learner.critic.parameters.copy()
    report = hand_over.hand_over(learner, tmp_path / "base", fit=on_disk)
    assert report.transitions == 0 and np.isnan(report.critic_error)
    np.testing.assert_array_equal(learner.critic.parameters, fresh)


@pytest.mark.parametrize("choice", ["numpy", "compiled"])
def test_the_actor_waits_to_the_bit_and_then_learns(tmp_path, choice):
    if choice == "compiled" and kernel.library() is None:
        pytest.skip("the compiled kernel is not built")
    trained(tmp_path / "base", normalize_observations=True)
    learner = taken_over(tmp_path / "base", critic_first=100, kernel=choice)
    policy, stream = load_policy(tmp_path / "base"), 5.0 * np.random.default_rng(1).standard_normal((141, 5))
    actor, critic = learner.actor.parameters.copy(), learner.critic.parameters.copy()
    for step in range(140):
        action = learner.act(stream[step])
        learner.observe(Transition(stream[step], action, 1.0, stream[step + 1], step % 30 == 29, False))
        learner.update()
        if step == 99:
            np.testing.assert_array_equal(learner.actor.parameters, actor)
            assert np.abs(learner.critic.parameters - critic).max() > 0.0 and learner.actor_optimizer.second.all()
            # Observations far from the batch learner's do not move the policy through the statistics.
            np.testing.assert_allclose(learner.act(stream[7], explore=False), policy.act(stream[7]), atol=1e-6)
    assert np.abs(learner.actor.parameters - actor).max() > 0.0


def test_resume_while_the_actor_waits_is_exact(tmp_path):
    trained(tmp_path / "base")
    learner = taken_over(tmp_path / "base", critic_first=30)
    stream = np.random.default_rng(1).standard_normal((61, 5))

    def feed(subject: Avg, first: int, last: int) -> None:
        for step in range(first, last):
            action = subject.act(stream[step])
            subject.observe(Transition(stream[step], action, float(step), stream[step + 1], False, False))
            subject.update()

    feed(learner, 0, 20)
    learner.save(tmp_path / "taken")
    resumed = Avg(contract(5, 2), learner.config, seed=9)
    resumed.load(tmp_path / "taken")
    feed(learner, 20, 60)
    feed(resumed, 20, 60)
    for name, array in learner.state_arrays().items():
        np.testing.assert_array_equal(resumed.state_arrays()[name], array, err_msg=name)


def test_what_does_not_fit_is_refused(tmp_path):
    trained(tmp_path / "relu", architecture="relu", steps=60)
    with pytest.raises(ConfigError, match="architecture=avg"):
        hand_over_config(tmp_path / "relu")
    trained(tmp_path / "base", steps=60)
    config = hand_over_config(tmp_path / "base")
    with pytest.raises(ConfigError, match="hidden"):
        hand_over.hand_over(Avg(contract(5, 2), AvgConfig(), seed=0), tmp_path / "base")
    with pytest.raises(ContractMismatchError):
        hand_over.hand_over(Avg(contract(5, 1), config, seed=0), tmp_path / "base")
    taken_over(tmp_path / "base").save(tmp_path / "avg")
    with pytest.raises(CheckpointError, match="--resume"):
        hand_over_config(tmp_path / "avg")


def test_training_starts_from_a_checkpoint(tmp_path, monkeypatch):
    trained(tmp_path / "base", contract_of(Ur5eReach()))
    config = TrainConfig("ur5e-reach", tmp_path / "run", steps=20, evaluate_every=0, start_from=tmp_path / "base")
    checkpoint = train(config)
    before, after = load_policy(tmp_path / "base"), load_policy(checkpoint)
    observation = np.linspace(-1.0, 1.0, before.contract.num_observations)
    np.testing.assert_allclose(after.act(observation), before.act(observation), atol=1e-6)  # the actor still waits
    settings = json.loads((checkpoint / "policy.json").read_text())["config"]
    assert (
        settings["hidden"] == [16, 12] and settings["critic_first"] == hand_over_config(tmp_path / "base").critic_first
    )
    # Resumed, it goes on from its own checkpoint and needs the other no more.
    monkeypatch.setattr(training, "hand_over", None)
    again = train(dataclasses.replace(config, steps=30), resume=True)
    assert read_policy(again).provenance["steps"] == 30
    with pytest.raises(ConfigError, match="avg can"):
        train(dataclasses.replace(config, output_dir=tmp_path / "other", learner="intentional"))
