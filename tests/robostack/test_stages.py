"""A task in stages: each pays once, in any order or in theirs, for one robot and for many; success by all of them."""

from __future__ import annotations

import numpy as np
import pytest

from hardware.errors import ConfigError
from hardware.records import RobotState
from robostack.contract import contract_of
from robostack.evaluation import evaluate
from robostack.make import make_env
from robostack.tasks.panda_pick_cube import CUBE, PandaPickCube
from robostack.tasks.stages import REACHED, Stage, Staged
from robostack.tasks.task import Outcome, Task, Term


class Line(Task):
    """A point on a line; it succeeds beyond 3 and pays 0.5 at every step."""

    def __init__(self) -> None:
        self.name, self.spec, self.model = "line", None, None
        self.control_period_s, self.timestep_s, self.episode_s, self.ends_on_success = 0.1, 0.1, 10.0, True
        self.observation = (Term("x", ("x",), "1", "", -9.0, 9.0),)
        self.action = (Term("v", ("x",), "1", "", -1.0, 1.0),)

    def start(self, rng, count):
        raise NotImplementedError

    def begin(self, rng, state):
        return {"count": np.zeros(state.joint_position.shape[:-1])}

    def observe(self, state, episode):
        return state.joint_position

    def reference(self, action, state, episode):
        raise NotImplementedError

    def judge(self, action, state, episode):
        x = state.joint_position[..., 0]
        outcome = Outcome(np.full(x.shape, 0.5), x > 3.0, np.zeros_like(x, dtype=bool))
        return outcome, {"count": episode["count"] + 1}


def beyond(limit: float):
    return lambda state, episode: state.joint_position[..., 0] > limit


STAGES = (Stage("one", beyond(1.0), 2.0), Stage("two", lambda state, episode: -state.joint_position[..., 0] > 0.0, 4.0))


def walk(task: Staged, places: list[list[float]]) -> tuple[list[list[float]], list[list[bool]], dict]:
    """Rewards and successes at each of the places, one column per robot."""
    shape = np.shape(places[0])

    def at(place: list[float]) -> RobotState:
        return RobotState(0.0, np.array(place)[:, None], np.zeros((*shape, 1)))

    episode = task.begin(np.random.default_rng(0), at(places[0]))
    rewards, successes = [], []
    for place in places[1:]:
        outcome, episode = task.judge(np.zeros((*shape, 1)), at(place), episode)
        rewards.append(outcome.reward.tolist())
        successes.append(outcome.success.tolist())
    return rewards, successes, episode


def test_each_stage_pays_once_in_any_order_besides_the_tasks_reward():
    # Robot 1 reaches "one" twice and "two" once; robot 2 "two" before "one", and is beyond 3 at the end.
    places = [[0.0, 0.0], [2.0, -1.0], [0.0, -1.0], [2.0, 2.0], [-1.0, 4.0]]
    rewards, successes, episode = walk(Staged(Line(), STAGES), places)
    assert rewards == [[2.5, 4.5], [0.5, 0.5], [0.5, 2.5], [4.5, 0.5]]
    assert successes == [[False, False]] * 3 + [[False, True]]
    np.testing.assert_array_equal(episode[REACHED], np.ones((2, 2)))
    np.testing.assert_array_equal(episode["count"], [4, 4])


def test_ordered_stages_count_after_those_before_them_and_all_of_them_are_success():
    places = [[0.0], [-1.0], [2.0], [0.5], [-1.0]]
    rewards, successes, _ = walk(Staged(Line(), STAGES, ordered=True, success="all"), places)
    assert [reward[0] for reward in rewards] == [0.5, 2.5, 0.5, 4.5]
    assert [success[0] for success in successes] == [False, False, False, True]


def test_what_was_reached_is_observed_and_forgotten_with_the_episode():
    task = Staged(Line(), STAGES)
    state = RobotState(0.0, np.array([[2.0]]), np.zeros((1, 1)))
    episode = task.begin(np.random.default_rng(0), state)
    np.testing.assert_array_equal(task.observe(state, episode), [[2.0, 0.0, 0.0]])
    _, episode = task.judge(np.zeros((1, 1)), state, episode)
    np.testing.assert_array_equal(task.observe(state, episode), [[2.0, 1.0, 0.0]])
    np.testing.assert_array_equal(task.begin(np.random.default_rng(0), state)[REACHED], [[0.0, 0.0]])
    assert [term.name for term in task.observation] == ["x", "stages"]


@pytest.mark.parametrize("stages", [(), (STAGES[0], STAGES[0])])
def test_stages_without_a_name_of_their_own_are_refused(stages):
    with pytest.raises(ConfigError, match="each once"):
        Staged(Line(), stages)


def staged_pick() -> Staged:
    pick = PandaPickCube()

    def at_cube(state, episode):
        tool = pick.motion.kinematics(state.joint_position)[0]
        return np.linalg.norm(state.object_pose(CUBE)[..., :3] - tool, axis=-1) < 0.02

    def lifted(state, episode):
        return pick.distance(state, episode) < 0.09

    return Staged(pick, (Stage("at cube", at_cube, 0.25), Stage("lifted", lifted, 0.25)), ordered=True)


def test_a_real_task_in_stages_runs_alone_and_in_a_batch():
    task = staged_pick()
    result = evaluate(task, task.scripted(), episodes=2, seed=0)
    assert [episode.total_reward for episode in result.episodes] == [1.5, 1.5]  # both stages once, then success
    assert result.episodes[0].final_error_mm is not None
    env = make_env(task, 3, seed=0)
    observation, _ = env.reset(seed=0)
    assert observation.shape == (3, contract_of(task).num_observations)
    observation, reward, *_ = env.step(np.zeros((3, 4)))
    np.testing.assert_array_equal(reward, np.zeros(3))
