"""RLPD and SAC: one group of updates against plain torch, ratio of updates, sources, resume to the bit, export."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from toy_contract import toy_contract  # noqa: E402

from hardware.errors import CheckpointError, ConfigError, ContractMismatchError, NonFiniteError  # noqa: E402
from robostack.checkpoint import load_policy as read_policy  # noqa: E402
from robostack.learning.avg import Avg, AvgConfig  # noqa: E402
from robostack.learning.learner import LEARNERS, Transition  # noqa: E402
from robostack.learning.normalization import RunningNormalizer  # noqa: E402
from robostack.learning.presets import recommended  # noqa: E402
from robostack.learning.rlpd import Rlpd, RlpdConfig  # noqa: E402
from robostack.learning.sac import SacConfig  # noqa: E402
from robostack.policies.mlp import load_policy  # noqa: E402

SMALL = RlpdConfig(
    critics=4,
    hidden=(16, 16),
    batch_size=8,
    updates_per_step=2.0,
    critic_steps_per_actor_step=2,
    learning_starts=10,
    replay_size=500,
    demo_size=100,
)


def batch(seed: int, count: int = 1, source: str = "sim", privileged: int = 0) -> Transition:
    rng = np.random.default_rng(seed)
    return Transition(
        3.0 + 2.0 * rng.standard_normal((count, 4)),
        rng.uniform(-1.0, 3.0, (count, 2)),
        rng.standard_normal(count),
        3.0 + 2.0 * rng.standard_normal((count, 4)),
        rng.random(count) < 0.2,
        rng.random(count) < 0.2,
        source,
        privileged=rng.standard_normal((count, privileged)) if privileged else None,
    )


def learner(seed: int = 0, **changes) -> Rlpd:
    return Rlpd(toy_contract(), dataclasses.replace(SMALL, **changes), seed)


def live(made: Rlpd, first: int, last: int) -> list[np.ndarray]:
    """Steps `first` to `last` of a life; the actions chosen."""
    actions = []
    for step in range(first, last):
        given = batch(step, source="intervention" if step % 7 == 0 else "sim")
        actions.append(made.act(given.observation[0]))
        made.observe(dataclasses.replace(given, action=actions[-1][None]))
        made.update()
    return actions


def state_of(made: Rlpd) -> dict:
    arrays = {name: tensor.numpy().copy() for name, tensor in made._tensors().items()}
    return {**arrays, "rows": made.online.newest(10**6)["observation"], "mean": made.normalizer.mean.copy()}


def assert_same(one: dict, other: dict) -> None:
    assert one.keys() == other.keys()
    for name, array in one.items():
        np.testing.assert_array_equal(array, other[name], err_msg=name)


@pytest.mark.parametrize("where", ["memory", "disk"])
def test_resume_is_exact_to_the_bit(tmp_path, where):
    def fresh(name: str) -> Rlpd:
        folder = str(tmp_path / name) if where == "disk" else ""
        return learner(normalize_observations=True, replay_dir=folder)

    made = fresh("replay")
    made.observe(batch(999, 20, "demo"))
    live(made, 0, 200)
    made.save(tmp_path / "checkpoint")
    actions = live(made, 200, 250)
    again = fresh("replay")
    again.load(tmp_path / "checkpoint")
    assert again.steps == 200 and again.updates == 380
    np.testing.assert_array_equal(live(again, 200, 250), actions)
    assert_same(state_of(again), state_of(made))
    assert again.update() == made.update() != {}


def test_transitions_that_reached_the_disk_after_the_checkpoint_can_be_kept(tmp_path):
    made = learner(replay_dir=str(tmp_path / "replay"))
    live(made, 0, 30)
    made.save(tmp_path / "checkpoint")
    live(made, 30, 45)
    again = learner(replay_dir=str(tmp_path / "replay"))
    again.load(tmp_path / "checkpoint", keep_later=True)
    assert again.steps == 45 and len(again.online) == 45
    assert again.pending == 30 and again.updates == 40  # what those fifteen steps ask for is still owed
    again.update(limit=1)
    assert again.pending == 28


def test_a_reloaded_policy_acts_as_the_trained_one(tmp_path):
    made = learner(normalize_observations=True)
    live(made, 0, 60)
    made.save(tmp_path)
    again = learner(seed=5, normalize_observations=True)
    again.load(tmp_path)
    observations = batch(1, 100).observation
    trained = made.act(observations, explore=False)
    np.testing.assert_array_equal(again.act(observations, explore=False), trained)
    exported = load_policy(tmp_path, toy_contract())
    np.testing.assert_allclose(exported.act(observations), trained, atol=1e-5)
    assert np.ptp(trained) > 0.01


def test_one_group_of_updates_against_plain_torch():
    """Two steps of the critics and one of the actor and the temperature, with everything written out."""
    made = learner(target_subset=2, critics=3)
    for seed in range(3):
        made.observe(batch(seed, 20))
    # Copies of everything, and the same random numbers.
    rng = np.random.Generator(np.random.PCG64())
    rng.bit_generator.state = made.rng.bit_generator.state
    twin = learner(target_subset=2, critics=3)
    flat, target = made.critic.parameters.clone().requires_grad_(), made.target.clone()
    twin.actor.load_state_dict(made.actor.state_dict())
    log_temperature = made.log_temperature.clone().requires_grad_()
    optimizers = [
        torch.optim.Adam(parameters, lr=3e-4)
        for parameters in ([flat], list(twin.actor.parameters()), [log_temperature])
    ]
    made.learn()

    rows = made.online.sample(rng, 16)
    rows = {name: torch.from_numpy(np.array(array)).view(2, 8, *array.shape[1:]) for name, array in rows.items()}
    action = (rows["action"] - 1.0) / 2.0
    with torch.no_grad():
        noise = torch.from_numpy(rng.standard_normal((16, 2), dtype=np.float32))
        next_action, next_log = twin.actor.draw(rows["next_observation"].view(16, 4), noise)
    chosen = np.argsort(rng.random((2, 3)), axis=1)[:, :2]

    def values(parameters, observation, squashed):
        hidden = torch.cat([observation, squashed], dim=-1)
        *inner, last = made.critic.view(parameters)
        for layer in inner:
            hidden = hidden @ layer.weight + layer.bias
            hidden = torch.nn.functional.layer_norm(hidden, (16,), eps=1e-6) * layer.gain + layer.shift
            hidden = torch.relu(hidden)
        return (hidden @ last.weight.transpose(1, 2) + last.bias)[..., 0]

    for step in range(2):
        with torch.no_grad():
            following = values(target, rows["next_observation"][step], next_action.view(2, 8, 2)[step])
            soft = following[chosen[step]].amin(0) - log_temperature.exp() * next_log.view(2, 8)[step]
            aim = rows["reward"][step] + 0.99 * (1.0 - rows["terminated"][step].float()) * soft
        loss = ((values(flat, rows["observation"][step], action[step]) - aim) ** 2).mean(1).sum()
        optimizers[0].zero_grad()
        loss.backward()
        optimizers[0].step()
        target += 0.005 * (flat.detach() - target)
    noise = torch.from_numpy(rng.standard_normal((8, 2), dtype=np.float32))
    drawn, log = twin.actor.draw(rows["observation"][1], noise)
    loss = (log_temperature.exp().detach() * log - values(flat.detach(), rows["observation"][1], drawn).mean(0)).mean()
    loss.backward()
    optimizers[1].step()
    (log_temperature.exp() * (-log.detach() + 1.0).mean()).backward()  # the entropy aimed at is -0.5 per action
    optimizers[2].step()
    close = {"atol": 2e-6, "rtol": 1e-4}
    torch.testing.assert_close(made.critic.parameters, flat.detach(), **close)
    torch.testing.assert_close(made.target, target, **close)
    torch.testing.assert_close(made.log_temperature, log_temperature.detach(), **close)
    for mine, theirs in zip(made.actor.parameters(), twin.actor.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, **close)


@pytest.mark.parametrize(
    ("ratio", "group", "count"), [(20.0, 20, 1), (0.2, 1, 5), (0.2, 1, 1), (1.0, 4, 3), (0.3, 2, 7)]
)
def test_the_ratio_of_updates_to_steps_is_kept(ratio, group, count):
    """However many simulations step together, and also where the ratio is a fraction."""
    made = learner(
        updates_per_step=ratio,
        critic_steps_per_actor_step=group,
        learning_starts=13,
        batch_size=2,
        hidden=(2,),
        critics=2,
    )
    for step in range(1, 60):
        made.observe(batch(step, count))
        made.update()
        owed = ratio * max(0, step * count - 13)
        assert made.updates == int((owed + 1e-6) // group) * group
        assert made.steps == step * count


def test_time_limits_bootstrap_and_ends_do_not():
    made = learner(replay_size=10)
    given = batch(0, 2)
    made.observe(dataclasses.replace(given, terminated=np.array([True, False]), truncated=np.array([False, True])))
    drawn = made._draw(4)
    ended = drawn.reward == np.float32(given.reward[0])
    assert torch.all(drawn.bootstrap[ended] == 0.0) and torch.all(drawn.bootstrap[~ended] == np.float32(0.99))
    assert ended.any() and not ended.all()


def test_half_of_each_batch_is_demonstrations():
    made = learner()
    made.observe(dataclasses.replace(batch(0, 30, "demo"), reward=np.full(30, 100.0)))
    assert made.steps == 0 and torch.all(made._draw(1).reward == 100.0)  # nothing else is there yet
    made.observe(batch(1, 50))
    drawn = made._draw(5).reward == 100.0
    assert drawn.sum(dim=1).tolist() == [4] * 5  # every batch, not only on average


def test_sources_go_to_their_buffers():
    made = learner()
    for source, counts in (("demo", (0, 3)), ("sim", (3, 3)), ("intervention", (6, 6)), ("real", (9, 6))):
        made.observe(batch(1, 3, source))
        assert (len(made.online), len(made.demos)) == counts
    assert made.steps == 9
    assert made.demos.newest(4)["source"].tolist() == [2, 3, 3, 3]


def test_weight_scales_the_loss():
    made = learner()
    made.observe(dataclasses.replace(batch(0, 20), weight=0.0))
    before = made.critic.parameters.clone()
    made.learn()
    torch.testing.assert_close(made.critic.parameters, before, atol=0.0, rtol=0.0)


def test_critics_see_what_the_actor_does_not():
    made = learner(privileged=3)
    made.observe(batch(0, 20, privileged=3))
    made.learn()
    assert made.critic.sizes[0] == 4 + 3 + 2 and made.actor.linear[0].in_features == 4
    np.testing.assert_array_equal(
        made.online.newest(20)["privileged"], batch(0, 20, privileged=3).privileged.astype("f4")
    )
    with pytest.raises(ConfigError, match="3 privileged numbers, the transition has 0"):
        made.observe(batch(0, 2))


def test_what_is_not_finite_is_left_out_and_counted():
    made = learner()
    given = batch(0, 5)
    given.reward[1], given.next_observation[3, 2] = np.nan, np.inf
    made.observe(given)
    assert made.rejected == 2 and len(made.online) == 3 and made.steps == 3
    with pytest.raises(NonFiniteError):
        made.act(np.array([0.0, np.nan, 0.0, 0.0]))


def test_actions_lie_within_the_bounds_and_start_uniform():
    made = learner(learning_starts=1)
    start = made.act(np.zeros((4000, 4)))
    assert start.min() < -0.99 and start.max() > 2.99 and abs(start.mean() - 1.0) < 0.1
    made.observe(batch(0, 2))
    for explore in (True, False):
        action = made.act(1e3 * batch(0, 50).observation, explore)
        assert action.shape == (50, 2) and action.min() >= -1.0 and action.max() <= 3.0
    np.testing.assert_array_equal(made.act(np.ones(4), False), made.act(np.ones(4), False))
    assert not np.array_equal(made.act(np.ones(4)), made.act(np.ones(4)))
    with pytest.raises(ConfigError, match="without bounds"):
        Rlpd(toy_contract(high=np.inf), SMALL, 0)


def test_the_policy_can_be_handed_to_avg(tmp_path):
    """With the form "avg" the stored tensors have AVG's names and shapes, and give the same action there."""
    made = learner(architecture="avg", variance="variance", feature_epsilon=0.5, normalize_observations=True)
    live(made, 0, 40)
    made.save(tmp_path / "sac")
    avg = Avg(toy_contract(), AvgConfig(hidden=(16, 16), feature_epsilon=0.5), 0)
    avg.save(tmp_path / "avg")
    ours, theirs = read_policy(tmp_path / "sac"), read_policy(tmp_path / "avg")
    assert {k: v.shape for k, v in ours.arrays.items()} == {k: v.shape for k, v in theirs.arrays.items()}
    assert ours.config["network"] == theirs.config["network"]
    for mine, its in zip(made.actor.matrices(), avg.actor.matrices(avg.actor.parameters), strict=True):
        its[:] = mine
    avg.normalizer.mean[:], avg.normalizer.variance[:] = made.normalizer.mean, made.normalizer.variance
    for observation in batch(0, 10).observation:
        np.testing.assert_allclose(avg.act(observation, explore=False), made.act(observation, explore=False), atol=1e-5)


def test_load_refuses_another_task_shape_or_damage(tmp_path):
    made = learner()
    live(made, 0, 12)
    made.save(tmp_path / "c")
    with pytest.raises(ContractMismatchError):
        Rlpd(toy_contract(observations=5), SMALL, 0).load(tmp_path / "c")
    with pytest.raises(CheckpointError, match="configuration asks for"):
        learner(hidden=(16, 8)).load(tmp_path / "c")
    with pytest.raises(CheckpointError, match="Set replay_dir|capacity"):
        learner(replay_size=5).load(tmp_path / "c")
    document = json.loads((tmp_path / "c" / "learner.json").read_text())
    del document["scalars"]["owed"]
    (tmp_path / "c" / "learner.json").write_text(json.dumps(document))
    with pytest.raises(CheckpointError, match="owed"):
        learner().load(tmp_path / "c")
    (tmp_path / "c" / "replay.safetensors").write_bytes(b"torn")
    with pytest.raises(CheckpointError):
        learner().load(tmp_path / "c")


WRONG = {
    "critics": 0,
    "discount": 1.5,
    "target_subset": 9,
    "hidden": (),
    "updates_per_step": 0.0,
    "privileged": -1,
    "device": "toaster",
}


@pytest.mark.parametrize("name", WRONG)
def test_configuration_is_checked(name):
    with pytest.raises(ConfigError, match=name):
        learner(**{name: WRONG[name]})


def test_registered_under_two_names():
    sac, rlpd = (LEARNERS.load(name) for name in ("sac", "rlpd"))
    assert sac.learner == rlpd.learner and sac.extra == "train"
    assert recommended("sac", "toy") == SacConfig() and SacConfig().critics == 2
    made = sac.open(toy_contract(), dataclasses.replace(SacConfig(), hidden=(8,), learning_starts=4, replay_size=50), 0)
    for step in range(8):
        made.observe(batch(step))
        metrics = made.update()
    assert metrics["updates"] == 4.0


@pytest.mark.parametrize("name", ["sac", "rlpd"])
def test_learns_a_bandit(name):
    """One step per episode; the best action depends on the sign of the observation."""
    config = (
        RlpdConfig(critics=3, updates_per_step=4.0, critic_steps_per_actor_step=4) if name == "rlpd" else SacConfig()
    )
    config = dataclasses.replace(
        config,
        hidden=(32, 32),
        batch_size=64,
        learning_starts=50,
        replay_size=2000,
        actor_learning_rate=3e-3,
        critic_learning_rate=3e-3,
        temperature_learning_rate=3e-3,
        initial_temperature=0.1,
        target_entropy_per_action=-2.0,
    )
    made, rng = Rlpd(toy_contract(), config, 0), np.random.default_rng(0)
    for _ in range(40):
        observation = rng.standard_normal((10, 4))
        action = made.act(observation)
        best = np.where(observation[:, :1] > 0.0, 2.0, 0.0)
        reward = -np.sum((action - best) ** 2, axis=1)
        made.observe(Transition(observation, action, reward, observation, np.ones(10, bool), np.zeros(10, bool)))
        made.update()
    observation = rng.standard_normal((200, 4))
    error = np.abs(made.act(observation, explore=False) - np.where(observation[:, :1] > 0.0, 2.0, 0.0))
    assert np.mean(error) < 0.6  # the middle of the bounds is 1 away from both


def test_batches_enter_the_statistics_like_single_observations():
    single, together = RunningNormalizer(3), RunningNormalizer(3)
    data = 5.0 + np.random.default_rng(0).standard_normal((40, 3)) * [1.0, 2.0, 3.0]
    for row in data:
        single.update(row)
    for part in (data[:1], data[1:1], data[1:30], data[30:]):
        together.update_batch(part)
    np.testing.assert_allclose(together.mean, single.mean, rtol=1e-10)
    np.testing.assert_allclose(together.variance, single.variance, rtol=1e-8)
    assert together.count == pytest.approx(single.count)
