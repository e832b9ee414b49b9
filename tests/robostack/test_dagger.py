"""DAgger: what it learns from, who acts when, one gradient step against plain torch, resume to the bit, export."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from toy_contract import toy_contract  # noqa: E402

from hardware.errors import CheckpointError, ConfigError, ContractMismatchError, NonFiniteError  # noqa: E402
from robostack.contract import contract_of  # noqa: E402
from robostack.learning.dagger import Dagger, DaggerConfig  # noqa: E402
from robostack.learning.learner import LEARNERS, Transition  # noqa: E402
from robostack.policies.mlp import load_policy  # noqa: E402
from robostack.tasks.hopper import HopperTask  # noqa: E402
from robostack.tasks.panda_push import PandaPush  # noqa: E402
from robostack.tasks.with_history import WithHistory  # noqa: E402

SMALL = DaggerConfig(expert_steps=30, batch_size=16, hidden=(16, 16), updates_per_step=0.5, replay_size=200)


class Linear:
    """An expert whose actions lie within the toy's bounds, -1 and 3, for most observations, and beyond for some."""

    def reset(self) -> None:
        """No memory."""

    def act(self, observation: np.ndarray) -> np.ndarray:
        return 1.0 + observation[..., :2] - 0.5 * observation[..., 2:]


def learner(seed: int = 0, **changes) -> Dagger:
    return Dagger(toy_contract(), dataclasses.replace(SMALL, **changes), seed, expert=Linear())


def live(made: Dagger, first: int, last: int, count: int = 3) -> list[np.ndarray]:
    actions = []
    for step in range(first, last):
        now = 0.5 + np.random.default_rng(step).standard_normal((count, 4))
        actions.append(made.act(now))
        ends = np.zeros(count, dtype=bool)
        made.observe(Transition(now, actions[-1], np.zeros(count), now, ends, ends))
        made.update()
    return actions


def test_what_it_keeps_is_what_the_expert_would_do_and_not_what_was_executed():
    made = learner()
    seen = np.array([[0.0, 0.0, 0.0, 0.0], [1.0, -1.0, 0.0, 2.0], [9.0, -9.0, 0.0, 0.0]])
    made.observe(Transition(seen, np.full((3, 2), 2.5), np.ones(3), seen, np.zeros(3), np.zeros(3)))
    kept = made.replay.newest(3)
    np.testing.assert_array_equal(kept["observation"], seen)
    # Bounds -1 and 3: the middle is 1, half the range 2; 10 and -8 are cut to the bounds.
    np.testing.assert_allclose(kept["action"], [[0.0, 0.0], [0.5, -1.0], [1.0, -1.0]])


def test_the_expert_acts_first_and_noise_is_of_the_stated_size():
    seen = np.zeros((4000, 4))
    made = learner(noise=0.1)
    with torch.no_grad():
        made.average.fill_(0.0)
        made.deployed[-1].bias.copy_(torch.tensor([0.25, -0.25]))  # its own policy: 1.5 and 0.5
    expert = made.act(seen)
    np.testing.assert_allclose(expert.mean(axis=0), [1.0, 1.0], atol=0.02)
    np.testing.assert_allclose(expert.std(axis=0), 0.1 * 2.0, rtol=0.05)
    np.testing.assert_allclose(made.act(seen[:1], explore=False), [[1.5, 0.5]], atol=1e-6)
    made.steps = SMALL.expert_steps
    np.testing.assert_allclose(made.act(seen).mean(axis=0), [1.5, 0.5], atol=0.02)
    assert made.act(seen + 100.0).max() <= 3.0 and learner(noise=9.0).act(seen).min() == -1.0


def test_one_gradient_step_against_plain_torch():
    made = learner(batch_size=64)
    live(made, 0, 1, count=1)
    assert made.updates == 0, "half a gradient step is owed"
    again = torch.nn.Sequential(*map(copied, made.network))
    optimizer = torch.optim.Adam(again.parameters(), lr=SMALL.learning_rate)
    state = np.random.Generator(np.random.PCG64(0))
    state.bit_generator.state = made.rng.bit_generator.state
    batch = made.replay.sample(state, 64)
    inputs = torch.from_numpy(made.normalizer.normalize(batch["observation"].astype(float)).astype("f4"))
    torch.nn.functional.mse_loss(again(inputs), torch.from_numpy(batch["action"])).backward()
    optimizer.step()
    made._learn()
    expected = torch.cat([parameter.detach().reshape(-1) for parameter in again.parameters()])
    torch.testing.assert_close(made.parameters, expected, atol=1e-6, rtol=1e-4)


def test_the_policy_that_acts_is_the_mean_of_all_and_later_follows():
    made = learner(average_rate=0.25)
    live(made, 0, 1, count=1)
    seen = []
    for _ in range(6):
        made._learn()
        seen.append(made.parameters.clone())
        if len(seen) == 4:
            torch.testing.assert_close(made.average, torch.stack(seen).mean(dim=0))
            mean = made.average.clone()
    for parameters in seen[4:]:
        mean += 0.25 * (parameters - mean)
    torch.testing.assert_close(made.average, mean)


def copied(module: torch.nn.Module) -> torch.nn.Module:
    if isinstance(module, torch.nn.Tanh):
        return torch.nn.Tanh()
    copy = torch.nn.Linear(module.in_features, module.out_features)
    copy.load_state_dict(module.state_dict())
    return copy


def test_it_comes_to_act_as_the_expert():
    made = learner(updates_per_step=1.0, learning_rate=3e-3, average_rate=0.01, batch_size=64)
    seen = 0.5 + np.random.default_rng(99).standard_normal((500, 4))
    wanted = np.clip(Linear().act(seen), -1.0, 3.0)
    before = np.abs(made.act(seen, explore=False) - wanted).mean()
    live(made, 0, 600)
    after = np.abs(made.act(seen, explore=False) - wanted).mean()
    assert after < 0.15 * before and made.update()["imitation_error"] < 0.15


def test_resume_is_exact_to_the_bit(tmp_path):
    made = learner()
    live(made, 0, 21)  # from the expert's steps into its own
    made.save(tmp_path)
    actions = live(made, 21, 90)  # until the replay gives way
    again = learner(seed=3)
    again.load(tmp_path)
    np.testing.assert_array_equal(live(again, 21, 90), actions)
    for name, tensor in made._tensors().items():
        assert torch.equal(tensor, again._tensors()[name]), name
    assert again.update() == made.update() != {}


def test_a_reloaded_policy_acts_as_the_trained_one_and_so_do_its_exports(tmp_path):
    made = learner()
    live(made, 0, 60)
    made.save(tmp_path)
    seen = 0.5 + np.random.default_rng(0).standard_normal((100, 4))
    trained = made.act(seen, explore=False)
    np.testing.assert_allclose(load_policy(tmp_path, toy_contract()).act(seen), trained, atol=1e-5)
    assert np.ptp(trained) > 0.1
    pytest.importorskip("onnxruntime")
    from robostack.export import export_onnx

    assert export_onnx(tmp_path, tmp_path / "policy.onnx").max_error < 1e-5


def test_wrong_use_is_named(tmp_path):
    made = learner()
    with pytest.raises(NonFiniteError, match="not finite"):
        made.act(np.full((1, 4), np.nan))
    seen = np.array([[np.nan, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]])
    made.observe(Transition(seen, np.zeros((2, 2)), np.zeros(2), seen, np.zeros(2), np.zeros(2)))
    assert made.rejected == 1 and len(made.replay) == 1 and made.steps == 2
    with pytest.raises(ConfigError, match="batch_size = 0"):
        DaggerConfig(batch_size=0)
    with pytest.raises(ConfigError, match="noise"):
        DaggerConfig(noise=-0.1)
    with pytest.raises(ConfigError, match="learning_rate"):
        DaggerConfig(learning_rate=0.0)
    with pytest.raises(ConfigError, match="hidden"):
        DaggerConfig(hidden=())
    with pytest.raises(ConfigError, match="'hopper' has no hand-written policy"):
        LEARNERS.load("dagger").open(contract_of(HopperTask()), SMALL, 0)
    with pytest.raises(ConfigError, match="without bounds"):
        Dagger(toy_contract(high=np.inf), SMALL, 0, expert=Linear())
    made.save(tmp_path)
    with pytest.raises(ContractMismatchError):
        Dagger(toy_contract(observations=5), SMALL, 0, expert=Linear()).load(tmp_path)
    with pytest.raises(CheckpointError, match="configuration"):
        learner(hidden=(8,)).load(tmp_path)


def test_the_expert_is_the_task_s_script_whatever_the_policy_remembers():
    for task in (PandaPush(), WithHistory(PandaPush(), 3)):
        made = LEARNERS.load("dagger").open(contract_of(task), SMALL, 0)
        seen = 0.1 * np.random.default_rng(0).standard_normal((5, sum(len(t.elements) for t in task.observation)))
        script = task.scripted()
        assert script is not None
        made.observe(Transition(seen, np.zeros((5, 7)), np.zeros(5), seen, np.zeros(5), np.zeros(5)))
        np.testing.assert_allclose(made.replay.newest(5)["action"], script.act(seen), atol=1e-6)
