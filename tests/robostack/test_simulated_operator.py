"""The simulated operator: takes over when nothing gets better, shortly, ever less often; and is learned from."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from hardware.errors import ConfigError
from hardware.records import RobotState
from robostack.learning.experience import SingleExperience
from robostack.make import make_env
from robostack.simulated_operator import SimulatedOperator, SimulatedOperatorConfig
from robostack.tasks.panda_peg_insert import PandaPegInsert
from robostack.tasks.panda_pick_cube import PandaPickCube
from robostack.tasks.task import Task, Term

PLAIN = SimulatedOperatorConfig(
    patience_steps=3, length_steps=(2, 2), pause_steps=4, taper_steps=1e9, tremor=0.0, progress_m=0.01
)


class Script:
    def reset(self) -> None:
        pass

    def act(self, observation):
        return np.array([0.5, 1.0])


class Ahead(Task):
    """Only what an operator asks of a task: a way, a script, an action."""

    def __init__(self) -> None:
        self.name = "ahead"
        self.action = (Term("move", ("x",), "m", "base", -1.0, 1.0), Term("gripper", ("close",), "1", "", -1.0, 1.0))

    def distance(self, state, episode):
        return state.joint_position[..., 0]

    def scripted(self):
        return Script()

    def _none(self, *_):
        raise NotImplementedError

    start = begin = observe = reference = judge = _none


class Lost(Ahead):
    distance = None  # type: ignore[assignment]

    def __init__(self) -> None:
        super().__init__()
        del self.action

    def scripted(self):
        return None


def watch(operator: SimulatedOperator, ways: list[float]) -> list[bool]:
    """Whether each step was corrected."""
    shown = []
    for way in ways:
        state = RobotState(0.0, np.array([[way]]), np.zeros((1, 1)))
        shown.append(operator.correct(np.zeros(3), np.zeros(2), state, {}) is not None)
    return shown


def test_it_leaves_a_policy_alone_that_gets_ahead():
    assert not any(watch(SimulatedOperator(Ahead(), PLAIN), [1.0 - 0.02 * step for step in range(40)]))


def test_it_shows_two_steps_after_three_without_progress_and_then_pauses():
    # The first step sets the mark, the third after it is corrected; then four of pause, and the third is corrected.
    expected = [False] * 3 + [True] * 2 + [False] * 6 + [True] * 2
    assert watch(SimulatedOperator(Ahead(), PLAIN), [1.0] * 13) == expected


def test_progress_less_than_asked_for_does_not_count():
    assert any(watch(SimulatedOperator(Ahead(), PLAIN), [1.0 - 0.001 * step for step in range(8)]))


def test_an_episode_begins_without_a_grudge():
    operator = SimulatedOperator(Ahead(), PLAIN)
    watch(operator, [1.0] * 3)
    operator.reset()
    assert not any(watch(operator, [1.0] * 3))


def test_it_corrects_less_and_less():
    operator = SimulatedOperator(Ahead(), dataclasses.replace(PLAIN, taper_steps=500.0), seed=3)
    shown = np.array(watch(operator, [1.0] * 3000)).reshape(3, 1000).mean(axis=1)
    assert shown[0] > 2.0 * shown[1] > 0.0
    assert operator.corrected == round(3000 * operator.share) == int(1000 * shown.sum())


def test_it_is_the_same_for_a_seed_and_trembles_only_where_things_move():
    config = dataclasses.replace(PLAIN, tremor=0.2, length_steps=(1, 6), taper_steps=200.0)
    state = RobotState(0.0, np.ones((1, 1)), np.zeros((1, 1)))

    def shown(seed: int) -> list[object]:
        operator = SimulatedOperator(Ahead(), config, seed)
        found = [operator.correct(np.zeros(3), np.zeros(2), state, {}) for _ in range(100)]
        return [None if action is None else action.tolist() for action in found]

    assert shown(1) == shown(1) != shown(2)
    actions = np.array([action for action in shown(1) if action is not None])
    assert actions[:, 0].std() > 0.05
    assert np.all(actions[:, 1] == 1.0)
    assert np.all(np.abs(actions) <= 1.0)


def test_a_task_without_script_or_way_is_refused():
    with pytest.raises(ConfigError, match="no scripted policy"):
        SimulatedOperator(Lost())
    with pytest.raises(ConfigError, match="pause_steps"):
        SimulatedOperatorConfig(pause_steps=-1)


class Idle:
    """A learner that does nothing and remembers."""

    def __init__(self, size: int) -> None:
        self.size, self.seen = size, []

    def act(self, observation, explore=True):
        return np.zeros(self.size)

    def observe(self, transition):
        self.seen.append(transition)


@pytest.mark.parametrize("task", [PandaPickCube(), PandaPegInsert()], ids=lambda task: task.name)
def test_experience_keeps_what_was_executed_and_who_did_it(task):
    config = SimulatedOperatorConfig(patience_steps=2, length_steps=(30, 30), pause_steps=0, tremor=0.0)
    learner = Idle(sum(len(term.elements) for term in task.action))
    operator = SimulatedOperator(task, dataclasses.replace(config, taper_steps=1e9), seed=0)
    experience = SingleExperience(make_env(task, seed=0), learner, operator)
    experience.start(seed=0)
    ended = [episode for _ in range(60) for episode in experience.step()]
    helped = [transition for transition in learner.seen if transition.source == "intervention"]
    assert len(helped) == operator.corrected > 20
    script = task.scripted()
    for transition in helped:
        np.testing.assert_array_equal(transition.action, script.act(transition.observation))
    alone = [transition for transition in learner.seen if transition.source == "sim"]
    assert all(not np.any(transition.action) for transition in alone)
    assert ended[0].success and 0 < ended[0].corrected <= len(helped)  # an idle policy succeeds with help alone
