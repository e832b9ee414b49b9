"""Environments: Gymnasium's rules, ends of episodes, restarts of some, randomised dynamics, physical robots."""

from __future__ import annotations

import math

import gymnasium
import mujoco
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from controllers.reference import JointReference
from hardware.errors import ConfigError, NonFiniteError, UnknownNameError
from hardware.records import RobotState
from hardware.spec import JointSpec, RobotSpec
from robostack.env import RobotEnv, RobotVectorEnv
from robostack.make import make_env
from robostack.tasks.task import Outcome, Start, Task, Term
from sim.dynamics import DynamicsParameter
from sim.mujoco_engine import MujocoEngine
from sim.randomization.uniform import UniformDistribution
from sim.simulated_plant import SimulatedPlant

SLIDER = RobotSpec(
    name="slider",
    joints=(JointSpec("x", -1.0, 1.0, 2.0, 20.0, 400.0, 100.0, kind="prismatic"),),
    control_rate_hz=500.0,
    command_modes=("position",),
    base_frame="world",
)
XML = """<mujoco><option timestep="0.002" gravity="0 0 0"/><worldbody><body><joint name="x" type="slide" damping="1"/>
<geom size="0.1" mass="1"/></body></worldbody><actuator><position joint="x" kp="900" kv="60"/></actuator></mujoco>"""


class SlideTask(Task):
    """Move a slider to a goal. Action: speed; success within 5 cm; leaving [-0.6, 0.6] ends the episode."""

    def __init__(self, ends_on_success: bool = True, episode_s: float = 0.4) -> None:
        self.name, self.spec = "slide", SLIDER
        self.control_period_s, self.timestep_s, self.episode_s = 0.04, 0.002, episode_s
        self.ends_on_success = ends_on_success
        self.observation = (
            Term("to_goal", ("x",), "m", "world", -2.0, 2.0),
            Term("count", ("n",), "1", "", 0, math.inf),
        )
        self.action = (Term("speed", ("x",), "m/s", "", -1.0, 1.0, 1.0),)
        self.dynamics = (DynamicsParameter("joint:x/damping", "N s/m", 1.0, 0.5, 30.0),)

    def start(self, rng: np.random.Generator, count: int) -> Start:
        return Start(rng.uniform(-0.2, 0.2, (count, 1)), np.zeros((count, 1)))

    def begin(self, rng: np.random.Generator, state: RobotState) -> dict:
        shape = state.joint_position.shape[:-1]
        return {"goal": rng.uniform(0.4, 0.5, (*shape, 1)), "count": np.zeros((*shape, 1))}

    def observe(self, state: RobotState, episode: dict) -> np.ndarray:
        return np.concatenate([episode["goal"] - state.joint_position, episode["count"]], axis=-1)

    def reference(self, action: np.ndarray, state: RobotState, episode: dict) -> JointReference:
        return JointReference("velocity", action, self.control_period_s)

    def judge(self, action: np.ndarray, state: RobotState, episode: dict) -> tuple[Outcome, dict]:
        error = np.abs(episode["goal"] - state.joint_position)[..., 0]
        outcome = Outcome(-error, error < 0.05, np.abs(state.joint_position[..., 0]) > 0.6)
        return outcome, {"goal": episode["goal"], "count": episode["count"] + 1.0}


def plant(count: int = 1) -> SimulatedPlant:
    return SimulatedPlant(MujocoEngine(SLIDER, mujoco.MjSpec.from_string(XML), count))


class PhysicalPlant:
    """A robot that follows perfectly, of batch shape ()."""

    spec, batch_shape = SLIDER, ()

    def __init__(self) -> None:
        self.position, self.starts = np.zeros(1), []

    def reset(self, joint_position, joint_velocity, ids=None) -> RobotState:
        assert joint_position.shape == (1,) and not joint_velocity.any()
        self.position = joint_position
        self.starts.append(joint_position)
        return self.state()

    def state(self) -> RobotState:
        return RobotState(0.0, self.position, np.zeros(1))

    def follow(self, reference: JointReference) -> RobotState:
        self.position = self.position + reference.value * reference.horizon_s
        return self.state()


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", ["hopper", "ur5e-reach"])
def test_gymnasium_s_checker_is_satisfied(name: str) -> None:
    check_env(make_env(name), skip_render_check=True)


def test_success_ends_an_episode_where_the_task_says_so() -> None:
    for ends in (True, False):
        env = RobotEnv(SlideTask(ends_on_success=ends, episode_s=2.0), plant(), seed=0)
        env.reset()
        for _ in range(20):
            _, reward, terminated, truncated, info = env.step(np.ones(1))
            if info["success"]:
                break
        assert info["success"] and reward > -0.05
        assert (terminated, truncated) == (ends, False)


def test_leaving_the_track_terminates_without_success() -> None:
    env = RobotEnv(SlideTask(episode_s=9.0), plant(), seed=0)
    env.reset()
    results = [env.step(-np.ones(1)) for _ in range(25)]
    first = next(index for index, result in enumerate(results) if result[2])
    assert not any(result[4]["success"] for result in results)
    # At 1 m/s from within 0.2 m of the middle: 0.4 to 0.8 s and the acceleration.
    assert 10 <= first <= 23


def test_the_time_limit_truncates_and_counts_from_each_reset() -> None:
    env = RobotEnv(SlideTask(), plant(), seed=0)
    for _ in range(2):
        env.reset()
        results = [env.step(np.zeros(1)) for _ in range(10)]
        assert [result[3] for result in results] == [False] * 9 + [True]
        assert not any(result[2] for result in results)


def test_a_physical_robot_runs_the_same_environment() -> None:
    robot = PhysicalPlant()
    env = RobotEnv(SlideTask(), robot, seed=0)
    observation, _ = env.reset()
    assert observation.shape == (2,) and len(robot.starts) == 1
    after, reward, terminated, truncated, info = env.step(np.array([0.5]))
    assert after[0] == pytest.approx(observation[0] - 0.02)
    assert reward == pytest.approx(-after[0])
    assert (terminated, truncated, info["success"]) == (False, False, False)
    with pytest.raises(ConfigError, match="physical"):
        env.reset(options={"dynamics": {"joint:x/damping": 2.0}})
    with pytest.raises(ConfigError, match="physical"):
        RobotEnv(SlideTask(), robot, UniformDistribution(SlideTask().dynamics))


def test_actions_are_clipped_and_must_be_finite() -> None:
    moved = []
    for action in (1.0, 50.0):
        env = RobotEnv(SlideTask(), plant(), seed=0)
        env.reset()
        moved.append(env.step(np.array([action]))[0])
    assert np.array_equal(moved[0], moved[1])
    with pytest.raises(NonFiniteError):
        env.step(np.array([np.nan]))


def test_a_step_before_a_reset_is_an_error() -> None:
    for env in (RobotEnv(SlideTask(), plant()), RobotVectorEnv(SlideTask(), plant(2))):
        with pytest.raises(gymnasium.error.ResetNeeded):
            env.step(env.action_space.sample())


def test_a_seed_repeats_an_episode() -> None:
    env = RobotEnv(SlideTask(), plant(), UniformDistribution(SlideTask().dynamics))
    runs = []
    for _ in range(2):
        first, info = env.reset(seed=5)
        runs.append((first, info["dynamics"]["joint:x/damping"], env.step(np.array([0.3]))[0]))
    assert np.array_equal(runs[0][0], runs[1][0]) and np.array_equal(runs[0][2], runs[1][2])
    assert runs[0][1] == runs[1][1]
    assert not np.array_equal(env.reset()[0], runs[0][0])


def test_dynamics_are_drawn_at_a_reset_and_reach_the_model() -> None:
    env = RobotEnv(SlideTask(), plant(), UniformDistribution(SlideTask().dynamics), seed=0)
    drawn = [env.reset()[1]["dynamics"]["joint:x/damping"] for _ in range(3)]
    assert len(set(drawn)) == 3
    assert env.plant.engine.batch.get_model(0).joint("x").damping[0] == drawn[-1]
    _, info = env.reset(options={"dynamics": {"joint:x/damping": 7.0}})
    assert info["dynamics"] == {"joint:x/damping": 7.0}
    assert env.plant.engine.batch.get_model(0).joint("x").damping[0] == 7.0


def test_one_of_a_batch_behaves_as_a_single_environment() -> None:
    """With the same starts and goals, a batch of five and five single runs go the same way, to the last bit."""
    task = SlideTask(ends_on_success=False)
    batch = RobotVectorEnv(task, plant(5), seed=0)
    observation, _ = batch.reset()
    actions = np.random.default_rng(1).uniform(-1.0, 1.0, (9, 5, 1))
    start, goal = batch.state.joint_position.copy(), batch.episode["goal"].copy()
    seen = [batch.step(action) for action in actions]
    for row in range(5):
        single = RobotEnv(task, plant(), seed=0)
        single.reset()
        single._state = single.plant.reset(start[[row]], np.zeros((1, 1)))
        single._episode = {"goal": goal[[row]], "count": np.zeros((1, 1))}
        for action, result in zip(actions, seen, strict=True):
            one = single.step(action[row])
            assert np.array_equal(one[0], result[0][row])
            assert one[1] == result[1][row]
    assert observation.dtype == np.float64


def test_ended_episodes_restart_within_the_step_and_the_others_go_on() -> None:
    env = RobotVectorEnv(SlideTask(episode_s=1.0), plant(3), seed=0)
    env.reset()
    # The first goes to its goal, the second stands still, the third leaves the track or runs out of time.
    actions = np.array([[1.0], [0.0], [-0.05]])
    for step in range(1, 25):
        observation, _, terminated, truncated, info = env.step(actions)
        final = info["final_obs"]
        assert final[1:, 1].tolist() == [step, step]
        if terminated[0]:
            break
        assert np.array_equal(final, observation)
    assert info["success"].tolist() == [True, False, False] == terminated.tolist()
    assert not truncated.any()
    assert abs(final[0, 0]) < 0.05 and final[0, 1] == step
    # The new episode of the first: another goal, counter 0, time 0; the others are as they were.
    assert 0.2 <= observation[0, 0] <= 0.7 and observation[0, 1] == 0
    assert np.array_equal(observation[1:], final[1:])
    assert env.state.capture_time_s[0] == 0.0 and env.state.capture_time_s[1] == pytest.approx(step * 0.04)
    # Its time limit counts from its own start.
    for later in range(1, 26):
        _, _, terminated, truncated, _ = env.step(np.zeros((3, 1)))
        assert truncated.tolist() == [later == 25, later == 25 - step, later == 25 - step]
        assert not terminated.any()


class KeepsItsState(SlideTask):
    """Remembers an array of the state itself, as a task may."""

    def judge(self, action: np.ndarray, state: RobotState, episode: dict) -> tuple[Outcome, dict]:
        outcome, after = super().judge(action, state, episode)
        self.judged = state
        return outcome, {**after, "last": state.joint_position}

    def begin(self, rng: np.random.Generator, state: RobotState) -> dict:
        return {**super().begin(rng, state), "last": state.joint_position}


def test_a_restart_does_not_write_into_a_state_that_a_task_remembers() -> None:
    task = KeepsItsState(ends_on_success=False)
    env = RobotVectorEnv(task, plant(2), seed=0)
    env.reset()
    env._steps[0] = 9
    _, _, _, truncated, info = env.step(np.ones((2, 1)))
    assert truncated.tolist() == [True, False]
    assert np.allclose(env.episode["goal"][1] - task.judged.joint_position[1], info["final_obs"][1, 0])
    assert not np.array_equal(task.judged.joint_position[0], env.state.joint_position[0])
    assert np.array_equal(env.episode["last"], env.state.joint_position)


def test_a_batch_draws_dynamics_only_for_those_that_restart() -> None:
    task = SlideTask(ends_on_success=False)
    env = RobotVectorEnv(task, plant(3), UniformDistribution(task.dynamics), seed=0)
    _, info = env.reset()
    first = info["dynamics"]["joint:x/damping"]
    assert len(set(first)) == 3
    env._steps[1] = 9
    _, _, _, truncated, during = env.step(np.zeros((3, 1)))
    assert truncated.tolist() == [False, True, False]
    assert np.array_equal(during["dynamics"]["joint:x/damping"], first)
    _, _, _, _, after = env.step(np.zeros((3, 1)))
    now = after["dynamics"]["joint:x/damping"]
    assert (now != first).tolist() == [False, True, False]
    for row in range(3):
        assert env.plant.engine.batch.get_model(row).joint("x").damping[0] == now[row]


def test_threads_do_not_change_a_batch() -> None:
    runs = []
    for threads in (1, 2):
        env = make_env("hopper", 4, threads, seed=3)
        env.reset()
        rng = np.random.default_rng(0)
        runs.append(np.stack([env.step(rng.uniform(-1.0, 1.0, (4, 3)))[0] for _ in range(40)]))
    assert np.array_equal(runs[0], runs[1])


def test_the_wrong_environment_for_a_plant_is_refused() -> None:
    with pytest.raises(ConfigError, match="RobotVectorEnv"):
        RobotEnv(SlideTask(), plant(2))
    with pytest.raises(ConfigError, match="RobotEnv"):
        RobotVectorEnv(SlideTask(), PhysicalPlant())
    with pytest.raises(ConfigError, match="one seed"):
        RobotVectorEnv(SlideTask(), plant(2)).reset(seed=[1, 2])
    with pytest.raises(UnknownNameError, match="hopper"):
        make_env("hoper")


def test_make_env_randomises_what_the_task_names() -> None:
    names = {parameter.name for parameter in make_env("ur5e-reach").task.dynamics}
    assert set(make_env("ur5e-reach").reset()[1]["dynamics"]) == names
    assert make_env("ur5e-reach", randomize=False).reset()[1]["dynamics"] == {}


def test_a_task_whose_vectors_have_the_wrong_length_is_refused():
    from dataclasses import replace

    from robostack.make import make_env
    from robostack.tasks.ur5e_reach import Ur5eReach

    longer = Ur5eReach()
    seen = longer.observe
    longer.observe = lambda *given: np.concatenate([seen(*given), np.zeros((1, 2))], axis=-1)
    named = sum(len(term.elements) for term in longer.observation)
    with pytest.raises(
        ConfigError, match=rf"observe\(\) gives {named + 2} numbers, its observation terms name {named}"
    ):
        make_env(longer).reset()
    narrow = Ur5eReach()
    whole = narrow.reference
    narrow.reference = lambda *given: replace(whole(*given), value=whole(*given).value[..., :5])
    with pytest.raises(ConfigError, match=r"shape \(1, 5\)"):
        make_env(narrow).reset()
