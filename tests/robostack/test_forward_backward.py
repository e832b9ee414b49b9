"""Forward and backward: success hands over, failure is tried again from where it is, each learner keeps its ratio."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from controllers.reference import JointReference
from hardware.errors import ConfigError
from hardware.records import RobotState
from hardware.spec import JointSpec, RobotSpec
from robostack.contract import contract_of
from robostack.learning.forward_backward import ForwardBackward, Turn
from robostack.learning.learner import Transition
from robostack.learning.rlpd import Rlpd
from robostack.learning.rlpd_config import RlpdConfig
from robostack.make import simulate
from robostack.tasks.task import Outcome, Start, Task, Term
from robostack.tasks.ur5e_reach import Ur5eReach, Ur5eReachConfig

SPEC = RobotSpec(
    name="slider",
    joints=(JointSpec("a", -3.0, 3.0, 5.0, 10.0, 100.0, 50.0),),
    control_rate_hz=100.0,
    command_modes=("velocity",),
    base_frame="base",
)
PERIOD_S = 0.1


class Slide(Task):
    """Bring the slider to one end; beyond 2 it is lost. `shaped`: getting nearer is rewarded, too."""

    def __init__(self, goal: float, limit: int = 20, shaped: float = 0.0) -> None:
        self.shaped = shaped
        self.name, self.spec, self.model, self.goal = f"slide{goal:+g}", SPEC, Path("none.xml"), goal
        self.control_period_s, self.timestep_s, self.episode_s = PERIOD_S, 0.01, limit * PERIOD_S
        self.ends_on_success = True
        self.observation = (Term("x", ("a",), "1", "", -3.0, 3.0),)
        self.action = (Term("speed", ("a",), "rad/s", "", -1.0, 1.0, 3.0),)

    def start(self, rng, count):
        return Start(np.full((count, 1), -self.goal), np.zeros((count, 1)))

    def begin(self, rng, state):
        return {"away": np.abs(state.joint_position[..., 0] - self.goal)}

    def observe(self, state, episode):
        return state.joint_position

    def reference(self, action, state, episode):
        return JointReference("velocity", 3.0 * action, PERIOD_S)

    def judge(self, action, state, episode):
        x = state.joint_position[..., 0]
        away = np.abs(x - self.goal)
        success = away < 0.25
        reward = success + self.shaped * (episode["away"] - away)
        return Outcome(reward, success, np.abs(x) > 2.0), {"away": away}


class Sliding:
    """An ideal slider; a physical one, or one of a simulation."""

    spec = SPEC

    def __init__(self, batch_shape: tuple[int, ...] = (1,)) -> None:
        self.batch_shape, self.position, self.starts = batch_shape, np.zeros((*batch_shape, 1)), []

    def reset(self, joint_position, joint_velocity, ids=None):
        self.position = np.array(joint_position)
        assert self.position.shape == (*self.batch_shape, 1)
        self.starts.append(self.position.item())
        return self.state()

    def state(self):
        return RobotState(0.0, self.position.copy(), np.zeros_like(self.position))

    def follow(self, reference):
        self.position = self.position + reference.value * reference.horizon_s
        return self.state()


class Moves:
    """A learner that moves at one speed."""

    def __init__(self, speed: float) -> None:
        self.speed, self.seen, self.updated = speed, [], 0

    def act(self, observation, explore=True):
        return np.full(1, self.speed)

    def observe(self, transition: Transition) -> None:
        self.seen.append(transition)

    def update(self):
        self.updated += 1
        return {"updated": float(self.updated)}


def turns(run: ForwardBackward, count: int, limit: int = 10_000) -> list[Turn]:
    found: list[Turn] = []
    for _ in range(limit):
        turn = run.step()
        if turn is not None:
            found.append(turn)
        if len(found) == count:
            return found
    raise AssertionError(f"{len(found)} turns in {limit} steps")


@pytest.mark.parametrize("batch_shape", [(), (1,)])
def test_successes_alternate_without_a_reset_and_begin_where_the_other_ended(batch_shape):
    plant, learners = Sliding(batch_shape), (Moves(1.0), Moves(-1.0))
    run = ForwardBackward((Slide(1.0), Slide(-1.0)), plant, learners)
    found = turns(run, 6)
    assert [turn.direction for turn in found] == [0, 1, 0, 1, 0, 1]
    assert all(turn.success and not turn.reset for turn in found)
    assert (run.resets, plant.starts) == (1, [-1.0])
    ends = [transition for transition in learners[0].seen if transition.terminated]
    begins = [learners[1].seen[0]]
    np.testing.assert_allclose(begins[0].observation, ends[0].next_observation)
    assert {transition.source for transition in learners[0].seen} == {"real" if batch_shape == () else "sim"}
    assert all(transition.reward == 1.0 and not transition.truncated for transition in ends)


def test_a_failure_is_tried_again_and_after_some_things_are_put_in_order():
    plant, stuck = Sliding(), Moves(0.0)
    run = ForwardBackward((Slide(1.0, limit=5), Slide(-1.0)), plant, (stuck, Moves(-1.0)))
    found = turns(run, 3)
    assert [(turn.direction, turn.success, turn.steps, turn.reset) for turn in found] == [(0, False, 5, False)] * 3
    assert [transition.truncated for transition in stuck.seen] == [False, False, False, False, True] * 3
    run = ForwardBackward((Slide(1.0, limit=5), Slide(-1.0)), plant, (Moves(0.0), Moves(-1.0)), failures_max=2)
    assert [turn.reset for turn in turns(run, 4)] == [False, True, False, True]
    assert run.resets == 3


def test_a_state_without_return_is_put_in_order_at_once_and_ends_the_bootstrap():
    learner = Moves(-1.0)
    run = ForwardBackward((Slide(1.0), Slide(-1.0)), Sliding(), (learner, Moves(-1.0)))
    turn = turns(run, 1)[0]
    assert (turn.success, turn.reset, turn.direction) == (False, True, 0)
    assert learner.seen[-1].terminated and abs(float(learner.seen[-1].next_observation[0])) > 2.0
    assert run.resets == 2


class Helps:
    """Takes over in the first two steps of each try."""

    def __init__(self) -> None:
        self.step = 0

    def reset(self) -> None:
        self.step = 0

    def correct(self, observation, action, state, episode):
        self.step += 1
        return np.array([9.0]) if self.step <= 2 else None


def test_corrections_of_one_direction_are_executed_and_told_apart():
    learner = Moves(0.0)
    run = ForwardBackward((Slide(1.0, 5), Slide(-1.0)), Sliding(), (learner, Moves(0.0)), correctors=(Helps(), None))
    assert turns(run, 1)[0].corrected == 2
    assert [transition.source for transition in learner.seen] == ["intervention"] * 2 + ["sim"] * 3
    np.testing.assert_allclose([float(transition.action[0]) for transition in learner.seen], [1, 1, 0, 0, 0])


def test_both_directions_are_learned_and_each_learner_keeps_its_ratio_of_updates():
    tasks = (Slide(1.0, shaped=1.0), Slide(-1.0, shaped=1.0))
    config = RlpdConfig(
        critics=2, updates_per_step=0.5, critic_steps_per_actor_step=1, batch_size=32, hidden=(32, 32), discount=0.9,
        learning_starts=60, initial_temperature=0.02, entropy_backup=False, replay_size=5_000, demo_size=10,
        actor_learning_rate=2e-3, critic_learning_rate=2e-3, target_rate=0.02,
    )  # fmt: skip
    learners = tuple(Rlpd(contract_of(task), config, seed) for seed, task in enumerate(tasks))
    run = ForwardBackward(tasks, Sliding(), learners, seed=0, failures_max=3)
    found = []
    while sum(run.steps) < 1_200:
        turn = run.step()
        found += [turn] if turn is not None else []
    late = found[-20:]
    assert np.mean([turn.success for turn in late]) >= 0.9
    assert {turn.direction for turn in late} == {0, 1}
    assert np.mean([turn.steps for turn in late]) < 12 < np.mean([turn.steps for turn in found[:10]])
    for learner, steps in zip(learners, run.steps, strict=True):
        assert learner.steps == steps > 200
        assert learner.updates == (steps - 60) // 2
        assert learner.pending == 0


class Scripted(Moves):
    """A task's script as a learner."""

    def __init__(self, task: Task) -> None:
        super().__init__(0.0)
        self.script = task.scripted()

    def act(self, observation, explore=True):
        return self.script.act(observation)


def test_an_arm_goes_back_and_forth_between_two_regions_on_one_simulation():
    left = Ur5eReach(Ur5eReachConfig(target_min=(0.35, 0.1, 0.2), target_max=(0.5, 0.25, 0.3)))
    right = Ur5eReach(Ur5eReachConfig(target_min=(0.35, -0.25, 0.2), target_max=(0.5, -0.1, 0.3)))
    run = ForwardBackward((left, right), simulate(left), (Scripted(left), Scripted(right)), seed=1)
    found = turns(run, 6)
    assert [turn.direction for turn in found] == [0, 1, 0, 1, 0, 1]
    assert all(turn.success for turn in found) and run.resets == 1


def test_what_cannot_take_turns_is_refused():
    learners = (Moves(0.0), Moves(0.0))
    with pytest.raises(ConfigError, match="one robot"):
        ForwardBackward((Slide(1.0), Ur5eReach()), Sliding(), learners)
    with pytest.raises(ConfigError, match="holds"):
        ForwardBackward((Slide(1.0), Slide(-1.0)), Sliding((3,)), learners)
