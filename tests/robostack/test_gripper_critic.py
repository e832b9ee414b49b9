"""The gripper's critic: one step against plain torch, greedy levels, the learner around it, numpy and ONNX."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from hardware.errors import ConfigError, UnknownNameError  # noqa: E402
from robostack.contract import Contract  # noqa: E402
from robostack.learning.gripper_critic import GripperCritic, GripperStep  # noqa: E402
from robostack.learning.learner import Transition  # noqa: E402
from robostack.learning.rlpd import Rlpd  # noqa: E402
from robostack.learning.rlpd_config import RlpdConfig  # noqa: E402
from robostack.policies.mlp import load_policy  # noqa: E402
from robostack.tasks.task import Term  # noqa: E402

SMALL = RlpdConfig(
    critics=2,
    hidden=(16, 16),
    batch_size=16,
    updates_per_step=1.0,
    critic_steps_per_actor_step=2,
    learning_starts=10,
    replay_size=2000,
    demo_size=50,
    gripper="gripper",
    gripper_levels=(-1.0, 0.0, 1.0),
)


def contract() -> Contract:
    """The gripper stands between the arm's two actions."""
    action = (
        Term("x", ("x",), "1", "", -1.0, 1.0),
        Term("gripper", ("close",), "1", "", 0.0, 10.0),
        Term("turn", ("yaw",), "1", "", -2.0, 2.0),
    )
    observation = (Term("o", ("a", "b"), "1", "", -9.0, 9.0),)
    return Contract("toy", "toy", (), (), (), (), "", None, 0.04, 500.0, observation, action, 1)


def learner(seed: int = 0, **changes) -> Rlpd:
    return Rlpd(contract(), dataclasses.replace(SMALL, **changes), seed)


def live(made: Rlpd, first: int, last: int, count: int = 4) -> list[np.ndarray]:
    """An episode is one step: close where the first number is positive, else open; leave the arm at 0."""
    actions = []
    for step in range(first, last):
        observation = np.random.default_rng(step).standard_normal((count, 2))
        actions.append(made.act(observation))
        wanted = np.where(observation[:, 0] > 0.0, 10.0, 0.0)
        reward = 1.0 * (actions[-1][:, 1] == wanted) - 0.1 * np.abs(actions[-1][:, 0])
        ends = np.ones(count, dtype=bool)
        made.observe(Transition(observation, actions[-1], reward, observation, ends, ~ends))
        made.update()
    return actions


def test_one_step_against_plain_torch():
    levels, device = (-1.0, 0.0, 1.0), torch.device("cpu")
    made = GripperCritic(3, (8,), levels, np.random.default_rng(0), 1e-2, 0.1, 0.5, True, "relu", device)
    rng = np.random.default_rng(1)
    state, following = (torch.from_numpy(rng.standard_normal((6, 3)).astype("f4")) for _ in range(2))
    reward, weight = (torch.from_numpy(rng.random(6).astype("f4")) for _ in range(2))
    chosen, bootstrap = torch.tensor([0, 1, 2, 0, 1, 2]), torch.tensor([0.9, 0.9, 0.0, 0.9, 0.9, 0.9])
    made.target += 0.05
    flat, target = made.critic.parameters.clone().requires_grad_(), made.target.clone()

    def values(parameters, x):
        first, last = made.critic.view(parameters)
        hidden = torch.nn.functional.layer_norm(x @ first.weight[0] + first.bias[0], (8,), eps=1e-6)
        return torch.relu(hidden * first.gain[0] + first.shift[0]) @ last.weight[0].T + last.bias[0]

    best = values(flat, following).argmax(-1)
    cost = torch.tensor([0.5, 0.0, 0.5])[chosen]  # every level but the one that leaves the gripper alone
    aim = reward - cost + bootstrap * values(target, following)[torch.arange(6), best]
    loss = (weight * (values(flat, state)[torch.arange(6), chosen] - aim.detach()) ** 2).mean()
    optimizer = torch.optim.Adam([flat], lr=1e-2)
    loss.backward()
    optimizer.step()
    with torch.no_grad():
        made.learn(GripperStep(state, following, chosen, reward, bootstrap, weight))
    torch.testing.assert_close(made.critic.parameters, flat.detach(), atol=2e-6, rtol=1e-4)
    torch.testing.assert_close(made.target, target + 0.1 * (flat.detach() - target), atol=2e-6, rtol=1e-4)


def test_levels_are_chosen_and_read_back():
    made = learner()
    actions = np.concatenate(live(made, 0, 20))
    assert set(np.unique(actions[:, 1])) <= {0.0, 5.0, 10.0}  # from the first, random step on
    assert len(np.unique(actions[:, 0])) > 50
    drawn = made._draw(3)
    assert made.actor.actions == 2 and drawn.critic_input.shape[-1] == 2 + 2  # the critics do not see the gripper
    executed = made.online.newest(80)["action"]
    levels = made.gripper.nearest(torch.from_numpy((executed[:, 1] - 5.0) / 5.0))
    np.testing.assert_array_equal(levels.numpy() * 5.0, executed[:, 1])
    assert made.gripper.nearest(torch.tensor([-0.9, 0.4, 0.6])).tolist() == [0, 1, 2]  # a person's corrections


def test_learns_when_to_close():
    made = learner(critic_learning_rate=3e-3, gripper_penalty=0.01)
    live(made, 0, 150)
    observation = np.random.default_rng(10**6).standard_normal((200, 2))
    closed = made.act(observation, explore=False)[:, 1] == 10.0
    assert np.mean(closed == (observation[:, 0] > 0.0)) > 0.9


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_resume_is_exact_and_exports_act_alike(tmp_path, activation):
    made = learner(normalize_observations=True, critic_activation=activation, layer_norm=activation == "relu")
    live(made, 0, 40)
    made.save(tmp_path)
    again = learner(1, normalize_observations=True, critic_activation=activation, layer_norm=activation == "relu")
    again.load(tmp_path)
    observation = np.random.default_rng(0).standard_normal((300, 2))
    trained = made.act(observation, explore=False)
    np.testing.assert_array_equal(again.act(observation, explore=False), trained)
    policy = load_policy(tmp_path, contract())
    np.testing.assert_allclose(policy.act(observation), trained, atol=1e-5)
    np.testing.assert_allclose(policy.act(observation[0]), trained[0], atol=1e-5)
    assert len(np.unique(trained[:, 1])) > 1
    np.testing.assert_array_equal(live(again, 40, 60), live(made, 40, 60))
    assert torch.equal(again.gripper.target, made.gripper.target)
    pytest.importorskip("onnxruntime")
    from robostack.export import export_onnx

    assert export_onnx(tmp_path, tmp_path / "policy.onnx").max_error < 1e-5


def test_wrong_terms_and_levels_are_named():
    with pytest.raises(UnknownNameError, match="Available: gripper, turn, x"):
        learner(gripper="hand")
    with pytest.raises(ConfigError, match="gripper_levels"):
        learner(gripper_levels=(1.0, 1.0))
    wide = dataclasses.replace(contract(), action=(Term("gripper", ("l", "r"), "1", "", -1.0, 1.0),))
    with pytest.raises(ConfigError, match="2 elements"):
        Rlpd(wide, SMALL, 0)
