"""Learning while acting: the budget, in virtual time; what the learner is told; the figures."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from test_runner import PERIOD_S, Bench, Line

from hardware.clock import VirtualClock
from hardware.errors import ConfigError
from hardware.records import RobotState
from robostack.contract import contract_of
from robostack.learning.avg import Avg, AvgConfig
from robostack.learning.learner import Transition
from robostack.learning.on_robot import OnRobotLearner, RunningQuantile
from robostack.runner import ABORTS_MAX, EpisodeRunner, RunnerConfig

SAMPLE = Transition(np.zeros(1), np.zeros(1), 0.0, np.zeros(1), False, False)


class Slow:
    """A learner whose updates take virtual time, and that remembers what it was told."""

    def __init__(self, clock: VirtualClock, *durations_s: float) -> None:
        self.clock, self.durations_s = clock, list(durations_s)
        self.told: list[Transition] = []

    def act(self, observation, explore=True):
        assert explore
        return np.clip(3.0 * observation, -1.0, 1.0)

    def observe(self, transition):
        self.told.append(transition)

    def update(self):
        self.clock.advance(self.durations_s.pop(0) if len(self.durations_s) > 1 else self.durations_s[0])
        return {"rejected": 0.0}


def cycles(policy, clock, count, period_s=0.04):
    """So many control cycles; whether each was learned from."""
    learned = []
    for _ in range(count):
        before, deadline_s = policy.learned, clock.now() + period_s
        policy.experience(SAMPLE, deadline_s)
        learned.append(policy.learned > before)
        clock.sleep_until(deadline_s)
    return learned


def test_fast_updates_are_never_skipped():
    clock = VirtualClock(5.0)
    policy = OnRobotLearner(Slow(clock, 0.001), 0.25, clock)
    assert all(cycles(policy, clock, 100))
    assert (policy.cycles, policy.learned, policy.skipped) == (100, 100, 0)
    assert policy.figures()["update_p99_ms"] == pytest.approx(1.0, rel=0.05)


def test_an_update_that_would_miss_its_budget_is_skipped_counted_and_tried_again_later():
    clock = VirtualClock()
    policy = OnRobotLearner(Slow(clock, 0.012), 0.25, clock)  # 12 ms, where 10 are left for it
    learned = cycles(policy, clock, 400)
    assert learned[:2] == [True, False]  # nothing is known of the first one
    again = learned.index(True, 1)
    # The estimate falls by exp(-0.005) per skipped cycle: ln(12 / 10) / 0.005 = 36.5.
    assert again == 1 + math.ceil(math.log(1.2) / 0.005)
    assert policy.skipped == learned.count(False) and policy.learned == learned.count(True)
    assert policy.learned <= 400 / 30


def test_learning_goes_on_once_updates_are_fast_again():
    clock = VirtualClock()
    policy = OnRobotLearner(Slow(clock, 0.020, 0.0005), 0.25, clock)
    learned = cycles(policy, clock, 1000)
    back = learned.index(True, 1)
    assert back == pytest.approx(math.log(2.0) / 0.005, abs=2)
    assert all(learned[back:])


def test_a_late_cycle_has_less_time_left_and_an_end_has_all_of_it():
    clock = VirtualClock()
    policy = OnRobotLearner(Slow(clock, 0.004), 0.25, clock)
    policy.experience(SAMPLE, clock.now() + 0.04)
    policy.experience(SAMPLE, clock.now() + 0.015)
    assert (policy.learned, policy.skipped) == (1, 1)
    policy.experience(SAMPLE, clock.now() - 0.01)  # the next one is overdue
    assert policy.skipped == 2
    policy.experience(SAMPLE, math.inf)
    assert policy.learned == 2


@pytest.mark.parametrize("budget", [0.0, -1.0, 1.5, float("nan")])
def test_a_budget_that_is_no_share_is_refused(budget):
    with pytest.raises(ConfigError, match="update_budget"):
        OnRobotLearner(Slow(VirtualClock(), 0.0), budget)


def test_the_running_quantile_is_one():
    rng = np.random.default_rng(0)
    quantile = RunningQuantile(0.9)
    durations = rng.lognormal(-7.0, 0.5, 20_000)
    above, values = [], []
    for duration in durations.tolist():
        above.append(duration > quantile.value_s)
        quantile.add(duration)
        values.append(quantile.value_s)
    assert np.mean(above[1000:]) == pytest.approx(0.1, abs=0.02)
    assert np.quantile(durations, 0.85) < np.median(values) < np.quantile(durations, 0.96)


def learning_bench(learner, **config):
    policy = OnRobotLearner(learner, 0.25)
    run = Bench(EpisodeRunner(Line(episode_s=1.0), policy, 1, RunnerConfig(to_start=False, pause_s=0.0, **config)))
    policy.clock = run.clock
    return policy, run


def test_steps_in_which_somebody_took_over_are_counted_and_not_learned_from():
    learner = Slow(VirtualClock(), 0.0)
    policy = OnRobotLearner(learner, 0.25, learner.clock)
    for source in ("real", "intervention", "real"):
        action = policy.act(np.zeros(1))
        policy.experience(Transition(np.zeros(1), action, 0.0, np.zeros(1), False, False, source), 1.0)
    assert [told.source for told in learner.told] == ["real", "real"]
    figures = policy.figures()
    assert (figures["cycles"], figures["learned"], figures["corrected"], figures["skipped"]) == (3, 2, 1, 0)


def test_the_learner_is_told_each_step_once_with_its_end():
    learner = Slow(VirtualClock(), 0.0)
    policy, run = learning_bench(learner, episodes=3)
    run.run()
    records = run.runner.finished
    assert [record.reason for record in records] == ["success"] * 3
    assert policy.cycles == policy.learned == sum(len(record.steps["reward"]) for record in records)
    told = iter(learner.told)
    for record in records:
        mine = [next(told) for _ in record.steps["reward"]]
        np.testing.assert_allclose([one.reward for one in mine], record.steps["reward"])
        np.testing.assert_allclose([one.action for one in mine], record.steps["action"])
        assert [one.terminated for one in mine] == [False] * (len(mine) - 1) + [True]  # success ends the episode
        assert not any(one.truncated for one in mine) and {one.source for one in mine} == {"real"}
        for before, after in itertools.pairwise(mine):
            np.testing.assert_array_equal(before.next_observation, after.observation)


def test_a_time_limit_is_a_truncation_and_a_fall_a_termination():
    learner = Slow(VirtualClock(), 0.0)
    learner.act = lambda observation, explore=True: np.zeros(1)
    _, run = learning_bench(learner, episodes=1)
    run.run()
    assert (learner.told[-1].terminated, learner.told[-1].truncated) == (False, True)
    assert run.runner.finished[0].reason == "time limit"
    _, run = learning_bench(learner, episodes=1)
    run.runner.task.fallen = True
    run.run()
    assert (learner.told[-1].terminated, learner.told[-1].truncated) == (True, False)


def test_an_interruption_is_not_learned_from_unless_the_task_ends_there():
    for fallen, reason in ((False, "aborted: the driver reports: cliff"), (True, "terminated")):
        learner = Slow(VirtualClock(), 0.0)
        _, run = learning_bench(learner, episodes=1)
        for _ in range(4):
            run.tick()
        told = len(learner.told)
        run.runner.task.fallen = fallen
        state = RobotState(run.clock.now(), run.position.copy(), run.velocity.copy())
        run.runner.interrupt("the driver reports: cliff", state, run.clock.now())
        assert run.runner.finished[0].reason == reason
        assert len(learner.told) == told + fallen
        assert not fallen or learner.told[-1].terminated


def test_acting_time_limits_a_run_and_goes_on_counting_after_a_resume():
    _, run = learning_bench(Slow(VirtualClock(), 0.0), episodes=0, acting_limit_s=2.5)
    run.run()
    count = len(run.runner.finished)
    assert run.runner.acted_s >= 2.5 > run.runner.acted_s - run.runner.finished[-1].duration_s
    policy = OnRobotLearner(Slow(VirtualClock(), 0.0))
    config = RunnerConfig(episodes=0, acting_limit_s=2.5, to_start=False, pause_s=0.0)
    assert EpisodeRunner(Line(), policy, 1, config, count, run.runner.acted_s).done
    again = EpisodeRunner(Line(), policy, 1, config, 7, 1.0)
    assert not again.done and again.episode == 7


def test_a_run_without_a_number_of_episodes_gives_up_when_nothing_works():
    _, run = learning_bench(Slow(VirtualClock(), 0.0), episodes=0, acting_limit_s=100.0)
    for _ in range(300):
        run.tick()
        run.runner.abort("the driver reports: a fault", run.clock.now())
    assert run.runner.done and run.runner.gave_up and len(run.runner.finished) == ABORTS_MAX


def test_the_next_episode_waits_until_it_may_begin():
    _, run = learning_bench(Slow(VirtualClock(), 0.0), episodes=1)
    may = []
    run.runner.ready = lambda: bool(may)
    for _ in range(30):
        np.testing.assert_array_equal(run.tick().value, 0.0)
    assert run.runner.episode == 0 and run.runner.phase.value == "pause"
    may.append(True)
    run.run()
    assert run.runner.finished


def test_avg_learns_on_the_runner_exactly_as_fed_by_hand():
    """The order of calls is the paper's: draw, step, update, draw. The same draws then give the same weights."""
    task = Line(episode_s=1.0)
    first, second = (Avg(contract_of(task), AvgConfig(hidden=(8, 8), kernel="numpy"), 3) for _ in range(2))
    policy = OnRobotLearner(first)
    config = RunnerConfig(episodes=4, to_start=False, pause_s=0.0)
    run = Bench(EpisodeRunner(task, policy, 1, config))
    told = []
    keep = policy.experience
    policy.experience = lambda transition, deadline_s: (told.append(transition), keep(transition, math.inf))[1]
    run.run()
    ends = [one for one in told if one.terminated or one.truncated]
    assert len(ends) == 4 and policy.learned == len(told) >= 4 * min(1.0 / PERIOD_S, 4)
    for transition in told:
        np.testing.assert_array_equal(second.act(transition.observation), transition.action)
        second.observe(transition)
        second.update()
    np.testing.assert_array_equal(first.actor.parameters, second.actor.parameters)
    np.testing.assert_array_equal(first.critic.parameters, second.critic.parameters)
