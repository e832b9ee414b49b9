"""Create-Mover: observation, reward and mapping by hand; bumps, edges and recovery in the virtual room."""

from __future__ import annotations

import math

import numpy as np
import pytest
from create2_room import Room, run_until, tick

from controllers.reference import BaseReference
from hardware.create2.spec import CONTACTS, PROXIMITY
from hardware.errors import ConfigError, StaleDataError
from hardware.records import RobotMode, RobotState
from robostack.contract import contract_of
from robostack.make import make_env
from robostack.runner import EpisodeRunner, Phase, RunnerConfig
from robostack.tasks.create2_mover import Create2Mover, Create2MoverConfig, touching
from robostack.tasks.task import TASKS


def state(x=0.0, y=0.0, heading=0.0, on=(), lights=(0.0,) * 6, speed=0.0, yaw_rate=0.0):
    return RobotState(
        0.0,
        np.zeros(0),
        np.zeros(0),
        base_position=np.array([x, y, 0.0]),
        base_quaternion=np.array([math.cos(heading / 2), 0.0, 0.0, math.sin(heading / 2)]),
        base_linear_velocity=np.array([speed, 0.0, 0.0]),
        base_angular_velocity=np.array([0.0, 0.0, yaw_rate]),
        contacts={name: name in on for name in CONTACTS},
        proximity=dict(zip(PROXIMITY, lights, strict=True)),
    )


class Always:
    def __init__(self, *action: float) -> None:
        self.action = np.array(action)

    def reset(self):
        pass

    def act(self, observation):
        return self.action


def test_registered_with_the_published_times():
    assert TASKS.load("create2-mover") is Create2Mover
    contract = contract_of(Create2Mover())
    assert (contract.num_observations, contract.num_actions, contract.control_period_s) == (10, 2, 0.15)
    assert Create2Mover().episode_s == 90.0


def test_observation_by_hand():
    task = Create2Mover()
    episode = task.begin(np.random.default_rng(0), state()) | {"previous": np.array([0.25, -0.5])}
    seen = task.observe(state(lights=(1.0, 0.25, 0.0, 0.0, 0.01, 0.0), speed=0.125, yaw_rate=-0.6), episode)
    np.testing.assert_allclose(seen, [1.0, 0.5, 0.0, 0.0, 0.1, 0.0, 0.5, -0.5, 0.25, -0.5])
    for name in ("proximity", "base_linear_velocity"):
        blind = state()
        object.__setattr__(blind, name, None)
        with pytest.raises(StaleDataError):
            task.observe(blind, episode)


@pytest.mark.parametrize(
    ("action", "speed", "yaw_rate"), [((1, 0), 0.25, 0.0), ((-1, 1), 0.0, 1.2), ((0, -1), 0.125, -1.2)]
)
def test_actions_are_speeds_that_the_robot_can_have(action, speed, yaw_rate):
    task = Create2Mover()
    reference = task.reference(np.array(action, dtype=np.float64), state(), {})
    assert (reference.linear_velocity, reference.yaw_rate) == (pytest.approx(speed), pytest.approx(yaw_rate))
    assert task.control_period_s < reference.horizon_s < 2 * task.control_period_s


@pytest.mark.parametrize("heading", [0.0, 2.0, -3.1])
def test_reward_is_015_per_millimetre_forwards_also_in_a_curve(heading):
    task = Create2Mover()
    episode = task.begin(np.random.default_rng(0), state(1.0, 2.0, heading))
    # An arc of 36 mm that turns by 0.18 rad: radius 0.2 m to the left.
    turn, radius = 0.18, 0.2
    x = 1.0 + radius * (math.sin(heading + turn) - math.sin(heading))
    y = 2.0 - radius * (math.cos(heading + turn) - math.cos(heading))
    outcome, after = task.judge(np.array([1.0, 0.5]), state(x, y, heading + turn), episode)
    assert float(outcome.reward) == pytest.approx(0.15 * 36.0, rel=0.002)
    assert float(after["way_m"]) == pytest.approx(0.036, rel=0.002)
    back, _ = task.judge(np.array([1.0, 0.5]), state(1.0, 2.0, heading), after)
    assert float(back.reward) == pytest.approx(-0.15 * 36.0, rel=0.002)
    np.testing.assert_array_equal(after["previous"], [1.0, 0.5])


@pytest.mark.parametrize("name", CONTACTS)
def test_every_switch_ends_the_episode(name):
    task = Create2Mover()
    episode = task.begin(np.random.default_rng(0), state())
    assert bool(task.judge(np.zeros(2), state(on=(name,)), episode)[0].terminated)
    assert not bool(task.judge(np.zeros(2), state(), episode)[0].terminated)
    assert touching(state(on=(name,))) == (name,)


def test_success_is_the_whole_way():
    task = Create2Mover(Create2MoverConfig(success_m=0.1))
    episode = task.begin(np.random.default_rng(0), state())
    successes = []
    for step in range(1, 4):
        outcome, episode = task.judge(np.zeros(2), state(0.04 * step), episode)
        successes.append(bool(outcome.success))
    assert successes == [False, False, True]


def test_the_recovery_backs_up_then_turns_away_to_either_side():
    task, sides = Create2Mover(), set()
    for seed in range(20):
        back, turn = task.recovery(np.random.default_rng(seed))
        assert back.linear_velocity * back.horizon_s == pytest.approx(-0.15) and back.yaw_rate == 0.0
        assert math.pi / 2 <= abs(turn.yaw_rate * turn.horizon_s) <= math.pi and turn.linear_velocity == 0.0
        sides.add(math.copysign(1.0, turn.yaw_rate))
    assert sides == {-1.0, 1.0}


def test_a_bump_ends_the_episode_and_the_recovery_frees_the_robot():
    room = Room(x=1.0)
    runner = EpisodeRunner(Create2Mover(), Always(1.0, 0.0), 0, RunnerConfig(episodes=2, to_start=True, pause_s=0.3))
    run_until(room, runner, Phase.RUN)
    run_until(room, runner, Phase.PAUSE)
    record = runner.finished[0]
    assert record.reason == "terminated" and any(name.startswith("bumper") for name in touching(room.state()))
    assert record.total_reward == pytest.approx(150.0 * float(record.steps["way_m"][-1]), rel=1e-6)
    run_until(room, runner, Phase.RUN)
    assert not touching(room.state())


def test_an_edge_stops_the_robot_and_is_the_end_that_is_learned_from():
    class Told(Always):
        def experience(self, transition, deadline_s):
            told.append(transition)

    told: list = []
    room = Room(x=1.2, room="edge")
    runner = EpisodeRunner(Create2Mover(), Told(1.0, 0.0), 0, RunnerConfig(to_start=False, pause_s=0.0))
    for _ in range(40):
        if room.state().mode is not RobotMode.RUNNING:
            break
        tick(room, runner)
    assert runner.phase is Phase.RUN
    runner.interrupt("the driver reports: it stopped itself: cliff front left", room.state(), room.now_s)
    assert runner.finished[0].reason == "terminated" and told[-1].terminated


def test_a_robot_that_stays_pressed_against_something_asks_for_help():
    runner = EpisodeRunner(Create2Mover(), Always(1.0, 0.0), 0, RunnerConfig(episodes=1, pause_s=0.0))
    now_s = 10.0
    references = []
    while not runner.done and now_s < 100.0:
        references.append(runner.step(state(on=("bumper_left",)), now_s))
        now_s += 0.15
    assert "after 3 recoveries it still feels bumper_left" in runner.finished[0].reason
    assert all(isinstance(one, BaseReference) and one.linear_velocity <= 0.0 for one in references)


def test_the_scripted_policy_drives_on_without_touching():
    task = Create2Mover()
    task.episode_s = 15.0
    room = Room()
    runner = EpisodeRunner(task, task.scripted(), 0, RunnerConfig(episodes=1, to_start=False, pause_s=0.0))
    run_until(room, runner, Phase.DONE)
    assert runner.finished[0].reason == "time limit" and float(runner.finished[0].steps["way_m"][-1]) > 2.5


def test_there_is_no_environment_of_it_and_the_message_says_what_there_is():
    with pytest.raises(ConfigError, match="robostack launch create2 --virtual"):
        make_env("create2-mover")
    with pytest.raises(ConfigError, match="forward_m_s"):
        Create2MoverConfig(forward_m_s=0.4)
