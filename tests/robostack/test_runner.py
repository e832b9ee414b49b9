from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from controllers.reference import JointReference
from hardware.clock import VirtualClock
from hardware.errors import ConfigError, NonFiniteError, StaleDataError
from hardware.records import RobotState
from hardware.spec import JointSpec, RobotSpec
from robostack.runner import EpisodeRunner, Phase, RunnerConfig, append_result
from robostack.tasks.task import Outcome, Start, Task, Term

SPEC = RobotSpec(
    name="two",
    joints=tuple(JointSpec(name, -3.0, 3.0, 2.0, 10.0, 100.0, 50.0) for name in ("a", "b")),
    control_rate_hz=100.0,
    command_modes=("position",),
    base_frame="base",
)
PERIOD_S = 0.05


class Line(Task):
    """Bring joint "a" to the target drawn at the start."""

    def __init__(self, episode_s: float = 2.0) -> None:
        self.name, self.spec, self.model = "line", SPEC, Path("none.xml")
        self.control_period_s, self.timestep_s, self.episode_s = PERIOD_S, 0.01, episode_s
        self.ends_on_success = True
        self.observation = (Term("to_go", ("a",), "rad", "", -1.0, 1.0),)
        self.action = (Term("speed", ("a",), "rad/s", "", -1.0, 1.0),)
        self.fallen = False

    def start(self, rng, count):
        return Start(np.tile([0.5, -0.5], (count, 1)), np.zeros((count, 2)))

    def begin(self, rng, state):
        return {"target": np.array(state.joint_position[0] + rng.uniform(0.2, 0.4))}

    def observe(self, state, episode):
        return np.array([episode["target"] - state.joint_position[0]])

    def reference(self, action, state, episode):
        return JointReference("velocity", np.array([action[0], 0.0]), PERIOD_S)

    def judge(self, action, state, episode):
        error = abs(episode["target"] - state.joint_position[0])
        return Outcome(reward=-error, success=error < 0.02, terminated=np.asarray(self.fallen)), episode


class Policy:
    def __init__(self, gain: float) -> None:
        self.gain, self.resets = gain, 0

    def reset(self) -> None:
        self.resets += 1

    def act(self, observation):
        action = self.gain * observation
        if not np.all(np.isfinite(action)):
            raise NonFiniteError("the action is not finite")
        return np.clip(action, -1.0, 1.0)


class Bench:
    """An ideal robot in virtual time: velocity references are integrated, position references are met."""

    def __init__(self, runner: EpisodeRunner) -> None:
        self.runner, self.clock = runner, VirtualClock(100.0)
        self.position, self.velocity = np.zeros(2), np.zeros(2)
        self.references: list[JointReference] = []

    def tick(self) -> JointReference | None:
        now_s = self.clock.now()
        reference = self.runner.step(RobotState(now_s, self.position.copy(), self.velocity.copy()), now_s)
        if reference is not None:
            self.references.append(reference)
            if reference.mode == "velocity":
                self.velocity = reference.value
                self.position = self.position + reference.value * reference.horizon_s
            else:
                self.velocity, self.position = reference.velocity, reference.value
        self.clock.advance(PERIOD_S)
        return reference

    def run(self, ticks: int = 2000) -> None:
        for _ in range(ticks):
            if self.tick() is None:
                return
        raise AssertionError(f"still in phase {self.runner.phase} after {ticks} ticks")


def bench(gain=3.0, episodes=3, task=None, **config):
    runner = EpisodeRunner(task or Line(), Policy(gain), 1, RunnerConfig(episodes=episodes, **config))
    return Bench(runner)


def test_all_episodes_succeed_and_the_runner_is_done():
    run = bench()
    run.run()
    records = run.runner.finished
    assert [record.episode for record in records] == [0, 1, 2]
    assert [record.reason for record in records] == ["success"] * 3
    assert run.runner.done
    assert run.runner.policy.resets == 3
    assert len({float(record.steps["target"][0]) for record in records}) == 3


def test_the_records_tell_time_state_action_and_reward():
    run = bench(episodes=1, to_start=False, pause_s=0.0)
    run.run()
    record = run.runner.finished[0]
    times = np.array(record.steps["time_s"])
    np.testing.assert_allclose(np.diff(times), PERIOD_S)
    assert times[0] == pytest.approx(PERIOD_S)
    first = 3.0 * record.steps["target"][0]  # the target, seen from joint position 0
    assert record.steps["action"][0] == [pytest.approx(min(first, 1.0))]
    assert record.steps["joint_position"][0][0] == pytest.approx(min(first, 1.0) * PERIOD_S)
    assert record.total_reward == pytest.approx(sum(record.steps["reward"]))
    assert record.steps["success"] == [False] * (len(times) - 1) + [True]
    assert record.duration_s == pytest.approx(times[-1])


def test_time_limit_ends_an_episode_as_failed():
    run = bench(gain=0.0, episodes=1, task=Line(episode_s=1.0), to_start=False, pause_s=0.0)
    run.run()
    record = run.runner.finished[0]
    assert (record.reason, record.success) == ("time limit", False)
    assert len(record.steps["action"]) == 20
    assert record.duration_s == pytest.approx(1.0)


def test_termination_ends_an_episode():
    task = Line()
    task.fallen = True
    run = bench(gain=0.0, episodes=1, task=task, to_start=False, pause_s=0.0)
    run.run()
    assert run.runner.finished[0].reason == "terminated"


def test_the_motion_to_the_start_is_smooth_slow_and_arrives():
    run = bench(episodes=1)
    run.run()
    motion = [reference for reference in run.references if reference.mode == "position"]
    np.testing.assert_allclose(motion[-1].value, [0.5, -0.5], atol=1e-12)
    positions = np.array([[0.0, 0.0], *[reference.value for reference in motion]])
    assert np.max(np.abs(np.diff(positions, axis=0))) <= 0.15 * 2.0 * PERIOD_S * 1.001
    # The velocity that is sent along is the derivative of the position, so the quintic and its rate belong together.
    mean = np.array([reference.velocity for reference in motion])
    central = (positions[2:] - positions[:-2]) / (2.0 * PERIOD_S)
    np.testing.assert_allclose(mean[:-1], central, atol=0.01)
    np.testing.assert_allclose(motion[-1].velocity, 0.0, atol=1e-12)


def test_a_start_pose_that_is_not_reached_aborts_with_the_reason():
    run = bench(episodes=1, start_limit_s=3.0)
    for _ in range(200):
        run.tick()
        run.position = np.zeros(2)  # the arm does not move
        if run.runner.done:
            break
    reason = run.runner.finished[0].reason
    assert reason.startswith("aborted: joint '") and "rad from the start pose 3 s after" in reason


def test_it_rests_before_each_episode():
    run = bench(episodes=2, to_start=False, pause_s=1.0)
    for _ in range(20):
        np.testing.assert_array_equal(run.tick().value, 0.0)
        assert run.runner.phase is Phase.PAUSE
    run.tick()
    assert run.runner.phase is Phase.RUN


def test_abort_counts_as_an_episode_and_the_next_one_follows():
    run = bench(episodes=2, to_start=False, pause_s=0.0)
    run.tick()
    run.tick()
    run.runner.abort("joint_states are stale", run.clock.now())
    assert run.runner.finished[0].reason == "aborted: joint_states are stale"
    assert run.runner.phase is Phase.PAUSE
    run.runner.abort("again", run.clock.now())  # nothing runs
    assert len(run.runner.finished) == 1
    run.run()
    assert [record.reason for record in run.runner.finished][1:] == ["success"]


def test_a_policy_that_is_not_finite_aborts_the_episode_and_says_so():
    run = bench(gain=float("nan"), episodes=1, to_start=False, pause_s=0.0)
    with pytest.raises(NonFiniteError):
        run.tick()
    assert run.runner.finished[0].reason == "aborted: the action is not finite"
    assert run.runner.done


def test_the_same_seed_gives_the_same_goals():
    targets = []
    for _ in range(2):
        run = bench()
        run.run()
        targets.append([record.steps["target"][0] for record in run.runner.finished])
    assert targets[0] == targets[1]


def test_no_episodes_is_done_at_once():
    assert bench(episodes=0).tick() is None


def test_a_result_is_one_line_of_strict_json_after_those_before(tmp_path):
    run = bench(episodes=2)
    run.run()
    path = tmp_path / "runs" / "results.jsonl"
    for record in run.runner.finished:
        record.add(broken=float("nan"), pose=np.array([1.0, np.inf]), missing=None)
        append_result(path, record)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["episode"] for line in lines] == [0, 1]
    assert lines[0]["steps"]["broken"] == [None]
    assert lines[0]["steps"]["pose"] == [[1.0, None]]


class Person:
    """Takes over in some steps of each episode, and says what it is told to say in one."""

    def __init__(self, helps: range = range(0), says: dict[int, bool] | None = None, breaks_at: int = -1) -> None:
        self.helps, self.says, self.breaks_at, self.step = helps, says or {}, breaks_at, -1

    def reset(self) -> None:
        self.step = -1

    def correct(self, observation, action, state, episode):
        self.step += 1
        if self.step == self.breaks_at:
            raise StaleDataError("the device", 1.0, 0.25)
        return np.array([-7.0]) if self.step in self.helps else None

    def verdict(self):
        return self.says.get(self.step)


class Learning(Policy):
    """Remembers its experience."""

    def __init__(self) -> None:
        super().__init__(3.0)
        self.seen = []

    def experience(self, transition, deadline_s) -> None:
        self.seen.append(transition)


def helped(person: Person, episodes: int = 1, **config) -> Bench:
    settings = RunnerConfig(episodes=episodes, to_start=False, pause_s=0.0, **config)
    return Bench(EpisodeRunner(Line(), Learning(), 1, settings, corrector=person))


def test_a_correction_is_executed_within_bounds_and_told_as_what_it_is():
    run = helped(Person(helps=range(1, 3)))
    run.run()
    record, seen = run.runner.finished[0], run.runner.policy.seen
    assert [transition.source for transition in seen[:4]] == ["real", "intervention", "intervention", "real"]
    assert [float(transition.action[0]) for transition in seen[1:3]] == [-1.0, -1.0]
    assert record.steps["intervention"][:4] == [False, True, True, False]
    assert [float(action[0]) for action in record.steps["action"][1:3]] == [-1.0, -1.0]
    assert (record.corrected, record.success) == (2, True)
    assert record.steps["joint_position"][2][0] < record.steps["joint_position"][0][0]  # the robot did go back


def test_a_person_in_control_who_cannot_be_heard_ends_the_episode():
    run = helped(Person(breaks_at=3), episodes=2)
    run.run()
    assert [record.reason[:20] for record in run.runner.finished] == ["aborted: the device "] * 2
    np.testing.assert_array_equal(run.references[-1].value, np.zeros(2))


def test_a_person_judges_in_place_of_the_task():
    run = helped(Person(says={2: True}), judge="person")
    run.run()
    record, seen = run.runner.finished[0], run.runner.policy.seen
    assert (record.reason, record.success, len(seen)) == ("success", True, 3)
    assert [transition.reward for transition in seen] == [0.0, 0.0, 1.0]
    assert (seen[-1].terminated, seen[-1].truncated) == (True, False)

    run = helped(Person(says={2: False}), judge="person")
    run.run()
    record, seen = run.runner.finished[0], run.runner.policy.seen
    assert (record.reason, record.success, record.total_reward) == ("failure", False, 0.0)
    assert seen[-1].terminated

    run = helped(Person(), judge="person")  # the task's own success says nothing
    run.run()
    assert run.runner.finished[0].reason == "time limit"
    with pytest.raises(ConfigError, match="nobody.s device"):
        EpisodeRunner(Line(), Policy(1.0), 1, RunnerConfig(judge="person"))
