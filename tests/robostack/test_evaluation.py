"""Evaluation on a plant of known behaviour: figures, intervals, and the same episodes for the same seed."""

from __future__ import annotations

import json

import numpy as np
import pytest

from hardware.errors import ConfigError
from robostack.evaluation import EpisodeResult, EvaluationResult, evaluate, evaluate_many
from robostack.make import make_env
from robostack.statistics import wilson_interval
from robostack.tasks.ur5e_reach import Ur5eReach


class Still:
    """Never moves."""

    def __init__(self):
        self.resets = 0

    def reset(self):
        self.resets += 1

    def act(self, observation):
        return np.zeros(3)


@pytest.fixture(scope="module")
def task():
    return Ur5eReach()


def test_figures_by_hand():
    episodes = [EpisodeResult(True, 1.0, -2.0, 3.0), EpisodeResult(False, 4.0, -6.0, 50.0)]
    episodes += [EpisodeResult(True, 2.0, -1.0, 4.0)]
    figures = EvaluationResult(tuple(episodes)).figures()
    assert figures["success"] == pytest.approx(2 / 3) and figures["successes"] == 2
    assert figures["success_ci95"] == list(wilson_interval(2, 3))
    assert figures["final_error_mm"] == 4.0 and figures["time_to_reach_s"] == 1.5
    assert figures["total_reward_mean"] == -3.0
    low, high = figures["final_error_mm_ci95"]
    assert 3.0 <= low <= 4.0 <= high <= 50.0


def test_success_can_be_a_return():
    result = EvaluationResult(tuple(EpisodeResult(True, 1.0, total, None) for total in (499.9, 500.0, 700.0)))
    assert [episode.success for episode in result.judged_by(500.0).episodes] == [False, True, True]
    assert result.judged_by(None) is result


def test_no_success_means_no_time_to_reach():
    figures = EvaluationResult((EpisodeResult(False, 4.0, 0.0, None),)).figures()
    assert "time_to_reach_s" not in figures and "final_error_mm" not in figures


def test_a_policy_that_does_not_move_fails_at_the_time_limit(task):
    policy, seen = Still(), []
    result = evaluate(task, policy, episodes=3, seed=2, on_episode=lambda number, _: seen.append(number))
    assert result.successes == 0 and policy.resets == 3 and seen == [0, 1, 2]
    for episode in result.episodes:
        assert episode.duration_s == pytest.approx(4.0)
        assert episode.final_error_mm > 90.0  # targets are at least 100 mm away
    json.dumps(result.to_dict(), allow_nan=False)


def test_the_same_seed_gives_the_same_episodes(task):
    first, second, other = (evaluate(task, task.scripted(), episodes=2, seed=seed) for seed in (7, 7, 8))
    assert first == second
    assert first != other


def test_nothing_to_evaluate(task):
    with pytest.raises(ConfigError):
        evaluate(task, Still(), episodes=0)


def test_many_simulations_together_give_each_its_first_episodes():
    """Short and long episodes count alike; what ends an episode is what a single simulation says too."""

    def falling(observation):
        return np.zeros((len(observation), 1))

    env = make_env("cartpole", 4, seed=3)
    result = evaluate_many(env, falling, 10)
    assert len(result.episodes) == 12, "a multiple of the simulations"
    for episode in result.episodes:
        assert not episode.success and 0.1 < episode.duration_s < 9.0
        assert episode.total_reward == pytest.approx(episode.duration_s / 0.02)
        assert set(episode.dynamics) == {"world/gravity", "link:pole/half_length"}
    assert len({episode.dynamics["world/gravity"] for episode in result.episodes}) == 12
    with pytest.raises(ConfigError, match="at least one"):
        evaluate_many(env, falling, 0)


def test_many_simulations_know_their_final_errors(task):
    env = make_env(task, 3, seed=2, randomize=False)
    result = evaluate_many(env, lambda observation: np.zeros((3, 3)), 3)
    alone = evaluate(task, Still(), episodes=3, seed=2, randomize=False)
    for episode in (*result.episodes, *alone.episodes):
        assert episode.duration_s == pytest.approx(4.0) and not episode.success and episode.dynamics is None
        assert 90.0 < episode.final_error_mm < 600.0
    assert np.ptp([episode.final_error_mm for episode in result.episodes]) > 1.0
