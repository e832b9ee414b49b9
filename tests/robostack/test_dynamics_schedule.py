"""A distribution over the dynamics learns from the episodes that were drawn from it, and resumes exactly."""

from __future__ import annotations

import json

import numpy as np
import pytest

from hardware.errors import CheckpointError, ConfigError, UnknownNameError
from robostack.learning.dynamics_schedule import DynamicsSchedule
from robostack.learning.experience import Ended, SingleExperience, VectorExperience
from robostack.learning.training import TrainConfig, train
from robostack.make import make_env
from robostack.tasks.cartpole import DYNAMICS, CartPole
from sim.randomization.distribution import DISTRIBUTIONS
from sim.randomization.doraemon import DoraemonDistribution
from sim.randomization.uniform import UniformDistribution


def ended(generation: int, success: bool, gravity: float = 9.0, half: float = 0.5) -> Ended:
    dynamics = {"world/gravity": gravity, "link:pole/half_length": half}
    return Ended(success, None, 500.0 * success, dynamics, generation)


def drawn(distribution, count: int, generation: int) -> list[Ended]:
    samples = distribution.sample(np.random.default_rng(generation), count)
    rows = zip(samples["world/gravity"], samples["link:pole/half_length"], strict=True)
    return [ended(generation, True, float(gravity), float(half)) for gravity, half in rows]


def test_only_episodes_that_began_since_the_last_update_count():
    schedule = DynamicsSchedule(UniformDistribution(DYNAMICS), 100)
    schedule.add([ended(0, True), ended(0, False)])
    assert schedule.update() == pytest.approx({"episodes": 2.0, "success": 0.5, "entropy": np.log(14.82 * 0.76)})
    schedule.add([ended(0, True), ended(1, True)])
    assert schedule.left_out == 1
    assert schedule.update()["episodes"] == 1.0
    assert schedule.update() == {"episodes": 0.0}, "no episode: nothing is learned"
    assert schedule.generation == 3


def test_a_learning_distribution_widens_with_success_and_resumes_exactly():
    schedules = [DynamicsSchedule(DoraemonDistribution(DYNAMICS), 100) for _ in range(2)]
    first, second = schedules
    for generation in range(3):
        first.add(drawn(first.distribution, 100, generation))
        metrics = first.update()
    assert metrics["entropy"] > DoraemonDistribution(DYNAMICS).entropy() + 0.1
    first.add(drawn(first.distribution, 100, 3))
    second.restore(json.loads(json.dumps(first.state())))
    assert second.update() == first.update()
    rng = [np.random.default_rng(9) for _ in range(2)]
    samples = [schedule.distribution.sample(r, 3) for schedule, r in zip(schedules, rng, strict=True)]
    for name in samples[0]:
        np.testing.assert_array_equal(samples[0][name], samples[1][name])


@pytest.mark.parametrize("damage", [{}, {"distribution": {}, "generation": 1, "episodes": [{"success": True}]}])
def test_a_damaged_state_is_refused(damage):
    with pytest.raises(CheckpointError):
        DynamicsSchedule(DoraemonDistribution(DYNAMICS), 100).restore(damage)


class Pushing:
    """Pushes the cart to one side: every episode ends after a few steps."""

    def act(self, observation, explore=True):
        return np.ones((*observation.shape[:-1], 1))

    def observe(self, transition):
        pass


def test_experience_says_which_dynamics_and_which_generation_an_episode_had():
    distribution = UniformDistribution(DYNAMICS)
    vector = VectorExperience(make_env("cartpole", 4, randomize=distribution, seed=1), Pushing())
    single = SingleExperience(make_env("cartpole", randomize=distribution, seed=1), Pushing())
    for experience in (vector, single):
        experience.start()
        found: list[Ended] = []
        while len(found) < 3:
            found += experience.step()
        assert {episode.generation for episode in found} == {0}
        assert all(set(episode.dynamics) == {"world/gravity", "link:pole/half_length"} for episode in found)
        assert len({episode.dynamics["world/gravity"] for episode in found}) == len(found)
        experience.generation = 5
        later: list[Ended] = []
        while len(later) < 12:
            later += experience.step()
        generations = [episode.generation for episode in later]
        assert set(generations) == {0, 5}, "one that ran during the change belongs to the old distribution"
        assert generations.index(5) >= 1
        assert generations[-1] == 5


def test_every_distribution_opens_by_name():
    assert {"autodr", "doraemon", "fixed", "lsdr", "uniform", "worst-case"} <= set(DISTRIBUTIONS.names())
    settings = {"autodr": {"low_return": 100.0, "high_return": 400.0}}
    for name in DISTRIBUTIONS.names():
        made = DISTRIBUTIONS.load(name).open(CartPole().dynamics, settings.get(name))
        assert set(made.sample(np.random.default_rng(0), 2)) == {"world/gravity", "link:pole/half_length"}
    with pytest.raises(ConfigError, match="high_return"):
        DISTRIBUTIONS.load("autodr").open(DYNAMICS, {"low_return": 1.0})
    with pytest.raises(ConfigError, match="no settings"):
        DISTRIBUTIONS.load("uniform").open(DYNAMICS, {"width": 0.5})
    with pytest.raises(UnknownNameError, match="Did you mean 'doraemon'"):
        DISTRIBUTIONS.load("doremon")


def test_training_updates_the_distribution_and_resumes_with_it(tmp_path):
    config = TrainConfig(
        task="cartpole",
        output_dir=tmp_path / "run",
        steps=600,
        distribution="doraemon",
        distribution_settings={"success_return": 5.0},
        distribution_every=200,
        checkpoint_every=200,
        report_every=200,
        evaluate_every=0,
        settings={"hidden": [8, 8]},
    )
    reports = []
    checkpoint = train(config, on_progress=reports.append)
    saved = json.loads((checkpoint / "training.json").read_text())["dynamics"]
    assert saved["generation"] == 3
    assert reports[-1].metrics["dynamics_episodes"] > 0
    resumed = TrainConfig(task="cartpole", output_dir=tmp_path / "run", steps=800)
    checkpoint = train(resumed, resume=True)
    assert json.loads((checkpoint / "training.json").read_text())["dynamics"]["generation"] == 4
