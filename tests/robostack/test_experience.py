"""Where steps come from: ends carry the observation they led to, simulations chain, critics are shown the dynamics."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from hardware.registry import load_object
from robostack.contract import contract_of
from robostack.learning.experience import SingleExperience, VectorExperience, many
from robostack.learning.learner import LEARNERS, Transition
from robostack.make import make_env
from robostack.tasks.hopper import HopperTask
from robostack.tasks.with_history import WithHistory


class Recorder:
    """Acts at random and remembers what it observes."""

    def __init__(self, size: int, low: float = -1.0, high: float = 1.0) -> None:
        self.rng, self.shape, self.bounds = np.random.default_rng(0), (size,), (low, high)
        self.seen: list[Transition] = []

    def act(self, observation, explore: bool = True):
        return self.rng.uniform(*self.bounds, (*np.shape(observation)[:-1], *self.shape))

    def observe(self, transition: Transition) -> None:
        self.seen.append(transition)


class Count(gymnasium.Env):
    """Counts steps; ends by itself after three, or is cut after two."""

    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (1,), np.float64)
    action_space = gymnasium.spaces.Box(-1.0, 1.0, (1,), np.float64)

    def __init__(self, cut: bool) -> None:
        self.cut, self.steps = cut, 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps = 0
        return np.array([0.0]), {}

    def step(self, action):
        self.steps += 1
        return np.array([float(self.steps)]), 1.0, self.steps == 3, self.cut and self.steps == 2, {}


def test_ends_carry_the_observation_that_the_action_led_to():
    env = SyncVectorEnv([lambda: Count(False), lambda: Count(True)], autoreset_mode=AutoresetMode.SAME_STEP)
    learner = Recorder(1)
    experience = VectorExperience(env, learner)
    experience.start(seed=0)
    ended = [experience.step() for _ in range(4)]
    assert [[episode.total for episode in step] for step in ended] == [[], [2.0], [3.0], [2.0]]
    np.testing.assert_array_equal([seen.observation[:, 0] for seen in learner.seen], [[0, 0], [1, 1], [2, 0], [0, 1]])
    np.testing.assert_array_equal(
        [seen.next_observation[:, 0] for seen in learner.seen], [[1, 1], [2, 2], [3, 1], [1, 2]]
    )
    np.testing.assert_array_equal(learner.seen[2].terminated, [True, False])
    np.testing.assert_array_equal(learner.seen[1].truncated, [False, True])


def test_many_simulations_of_a_robot_chain_their_observations():
    env = make_env("ur5e-reach", 3, seed=0)
    learner = Recorder(3)
    experience = many(env, learner)
    experience.start(seed=1)
    ended = [episode for _ in range(130) for episode in experience.step()]
    assert len(ended) >= 3 and all(episode.error_mm is None and not episode.success for episode in ended)
    breaks = 0
    for before, after in zip(learner.seen[:-1], learner.seen[1:], strict=True):
        over = before.terminated | before.truncated
        np.testing.assert_array_equal(before.next_observation[~over], after.observation[~over])
        breaks += int(over.sum())
        assert before.privileged is None
    assert breaks == len(ended)


def test_critics_are_shown_the_dynamics_in_force():
    env = make_env("ur5e-reach", 3, seed=0)
    learner = Recorder(3)
    experience = VectorExperience(env, learner, env.task.dynamics)
    experience.start()
    shown = []
    for _ in range(130):
        ended = experience.step()
        shown.append(learner.seen[-1].privileged)
        assert shown[-1].shape == (3, len(env.task.dynamics)) and np.all(np.abs(shown[-1]) <= 1.0)
        if ended:
            break
    np.testing.assert_array_equal(shown[0], shown[-1])  # also in the step that ends the episode
    experience.step()
    assert not np.array_equal(learner.seen[-1].privileged, shown[0])


def test_one_environment_reports_its_final_error():
    env = make_env("ur5e-reach", seed=0)
    learner = Recorder(3)
    experience = SingleExperience(env, learner)
    experience.start(seed=0)
    ended = []
    while not ended:
        ended = experience.step()
    assert ended[0].error_mm > 0.0 and ended[0].total == sum(float(seen.reward) for seen in learner.seen)
    experience.step()
    assert not np.array_equal(learner.seen[-1].observation, learner.seen[-2].next_observation)


@pytest.mark.parametrize("name", ["sac", "ppo"])
def test_the_actor_is_given_the_past_and_the_critic_the_dynamics(name):
    pytest.importorskip("torch")
    env = make_env(WithHistory(HopperTask(), 3), 4, seed=0)
    count = len(env.task.dynamics)
    settings = {"hidden": (8,), "privileged": count}
    small = {"sac": {"batch_size": 8, "learning_starts": 8}, "ppo": {"steps_per_update": 16, "minibatch": 8}}[name]
    entry = LEARNERS.load(name)
    config = load_object(entry.config)(**settings, **small)
    learner = entry.open(contract_of(env.task), config, 0)
    experience = many(env, learner)
    experience.start()
    for _ in range(5):
        experience.step()
        metrics = learner.update()
    assert metrics
    actor, critic = {
        "sac": lambda: (learner.actor.linear[0].in_features, learner.critic.sizes[0] - 3),
        "ppo": lambda: (learner.policy[0].in_features, learner.value[0].in_features),
    }[name]()
    assert actor == 3 * 11 + 2 * 3 and critic == actor + count > actor
