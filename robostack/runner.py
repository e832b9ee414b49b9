"""Runs a policy on a task for a number of episodes, one control step at a time; it knows neither ROS nor real time.

A policy that learns is told what its last action led to before it is asked for the next one. A corrector may take over
from the policy at any step; the policy is then told what was executed, with the source "intervention".
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np

from controllers.reference import BaseReference, JointReference
from hardware.arrays import Array, FloatArray
from hardware.errors import ConfigError, DeviceError, NonFiniteError
from hardware.records import RobotState
from robostack.corrector import Corrector, Verdicts
from robostack.env import bounded_action, bounds
from robostack.files import append_line
from robostack.learning.learner import Source, Transition
from robostack.policies.policy import Policy
from robostack.tasks.task import Episode, Task

Reference = JointReference | BaseReference
ABORTS_MAX = 20
"""Aborted episodes in a row after which a run without a number of episodes gives up."""
RECOVERIES_MAX = 3
"""Recoveries in a row of a base that still touches something, after which a person is needed."""


@runtime_checkable
class Experiences(Protocol):
    """A policy that learns while it acts."""

    def experience(self, transition: Transition, deadline_s: float) -> None:
        """Learn from what the last action led to.

        Args:
            transition: of one robot, source "real" or, where somebody took over, "intervention".
            deadline_s: time of the next control step [s]; infinite at the end of an episode.
        """
        ...


@runtime_checkable
class Recovers(Protocol):
    """A task of a base that knows how to begin anew after touching something."""

    def recovery(self, rng: np.random.Generator) -> Sequence[BaseReference]:
        """Velocities, each to be followed for its horizon."""
        ...


@dataclass(frozen=True)
class RunnerConfig:
    """How episodes follow each other."""

    episodes: int = 10
    """Number of episodes; aborted ones count."""
    acting_limit_s: float = 0.0
    """No further episode begins once the policy has acted for this long [s]; 0: `episodes` counts instead."""
    pause_s: float = 0.5
    """Rest before each episode [s]."""
    to_start: bool = True
    """Whether each episode begins with a slow motion to a start pose drawn from the task."""
    start_speed_fraction: float = 0.15
    """Top speed of that motion, as a fraction of each joint's speed limit."""
    start_tolerance_rad: float = 0.02
    """The start pose counts as reached when every joint is this close to it [rad]."""
    start_limit_s: float = 5.0
    """Time the robot has to settle at the start pose after the motion should have ended [s]."""
    judge: Literal["task", "person"] = "task"
    """Who says whether an episode succeeded: the task, or a person by the keys of the corrector's device; then the
    reward is 1 for that success and 0 otherwise."""


class Phase(Enum):
    """What the runner is doing."""

    PAUSE = "pause"
    MOVE = "move to start"
    RUN = "run"
    DONE = "done"


@dataclass
class EpisodeRecord:
    """One episode, as it is written to the results file."""

    episode: int
    """Number, from 0."""
    success: bool = False
    """Whether the task was accomplished at the last step."""
    reason: str = ""
    """Why it ended: "success", "failure" (a person said so), "terminated", "time limit", or "aborted: ..."."""
    total_reward: float = 0.0
    """Sum of rewards."""
    duration_s: float = 0.0
    """From the first action to the end [s]."""
    corrected: int = 0
    """Steps in which somebody took over from the policy."""
    steps: dict[str, list[Any]] = field(default_factory=dict)
    """Per step: time_s, action, reward, success, joint_position, joint_velocity, and what the task
    remembers (its target)."""

    def to_json(self) -> str:
        """One line; numbers that are not finite become null."""
        steps = {name: [_plain(value) for value in values] for name, values in self.steps.items()}
        return json.dumps({**self.__dict__, "total_reward": _plain(self.total_reward), "steps": steps}, allow_nan=False)

    def add(self, **values: object) -> None:
        """Append a copy of one value per name; turning it into text waits for the end of the episode."""
        for name, value in values.items():
            self.steps.setdefault(name, []).append(value.copy() if isinstance(value, np.ndarray) else value)


class EpisodeRunner:
    """Call `step` once per control period with the newest state; send what it returns.

    Args:
        task: of one robot.
        policy: acts on the task's observations.
        seed: of start poses and goals.
        config: how episodes follow each other.
        first_episode: number of the first one, where episodes were run before.
        acted_s: time for which the policy acted in those [s].
        corrector: may take over at any step; None: nobody.

    Raises:
        ConfigError: a person is to judge, and `corrector` has no keys.
    """

    def __init__(
        self,
        task: Task,
        policy: Policy,
        seed: int,
        config: RunnerConfig | None = None,
        first_episode: int = 0,
        acted_s: float = 0.0,
        corrector: Corrector | None = None,
    ) -> None:
        self.task, self.policy, self.config = task, policy, config or RunnerConfig()
        self.corrector = corrector
        if self.config.judge == "person" and not isinstance(corrector, Verdicts):
            raise ConfigError("a person is to judge, but there is nobody's device: set judge to 'task', or name one")
        self.finished: list[EpisodeRecord] = []
        self.acted_s = acted_s
        """Time for which the policy has acted [s]."""
        self.ready: Callable[[], bool] = lambda: True
        """Asked in a pause: whether the next episode may begin."""
        self._rng = np.random.default_rng(seed if first_episode == 0 else [seed, first_episode])
        self._memory: Episode = {}
        self._action: Array | None = None
        self._corrected = False
        self._bounds = bounds(task.action)
        self._observation: Array | None = None
        self._record = EpisodeRecord(episode=first_episode)
        self._since_s: float | None = None
        self._motion: _StartMotion | _Recovery | None = None
        self._aborts = 0
        self.phase = Phase.DONE if self._exhausted(first_episode) else Phase.PAUSE

    @property
    def done(self) -> bool:
        """Whether all episodes have ended."""
        return self.phase is Phase.DONE

    @property
    def gave_up(self) -> bool:
        """Whether it is done because one episode after the other was aborted."""
        return self.done and self._aborts >= ABORTS_MAX

    @property
    def episode(self) -> int:
        """Number of the running or next episode, from 0."""
        return self._record.episode

    def step(self, state: RobotState, now_s: float, deadline_s: float | None = None) -> Reference | None:
        """Go on by one control period.

        Args:
            state: newest state of the one robot, arrays (num_joints,).
            now_s: monotonic time [s].
            deadline_s: when the next step is due [s]; None: one control period from now.

        Returns:
            The set-point to send; None when there is nothing left to do.

        Raises:
            NonFiniteError: the policy's observation or action is not finite; the episode has been aborted.
        """
        reference: Reference
        if self._since_s is None:
            self._since_s = now_s
        if self.phase is Phase.RUN:
            deadline_s = now_s + self.task.control_period_s if deadline_s is None else deadline_s
            reference = self._judge_and_act(state, now_s, deadline_s)
        elif self.phase is Phase.MOVE:
            reference = self._move(state, now_s)
        elif self.phase is Phase.PAUSE:
            reference = self._pause(state, now_s)
        else:
            return None
        return reference

    def abort(self, reason: str, now_s: float) -> None:
        """End the running episode, or the motion before it, as failed; the next one follows after a pause."""
        if self.phase in (Phase.RUN, Phase.MOVE):
            self._end(f"aborted: {reason}", success=False, now_s=now_s)

    def interrupt(self, reason: str, state: RobotState, now_s: float) -> None:
        """As `abort`, unless `state` is one in which the task itself ends an episode."""
        if self.phase is Phase.RUN and bool(self.task.judge(self._action, state, self._memory)[0].terminated):
            self._judge_and_act(state, now_s, math.inf)
        self.abort(reason, now_s)

    def hold(self, now_s: float) -> Reference:
        """The set-point that keeps the robot still."""
        if not self.task.spec.joints:
            return BaseReference(0.0, 0.0, self.task.control_period_s, now_s)
        return JointReference(
            "velocity", np.zeros(len(self.task.spec.joints)), self.task.control_period_s, created_s=now_s
        )

    def _pause(self, state: RobotState, now_s: float) -> Reference:
        if now_s - self._begun_s() < self.config.pause_s - 0.5 * self.task.control_period_s or not self.ready():
            return self.hold(now_s)
        if not self.config.to_start:
            return self._begin(state, now_s)
        if isinstance(self.task, Recovers):
            self._motion = _Recovery(self.task.recovery(self._rng), now_s)
            self._enter(Phase.MOVE, now_s)
            return self._recover(self._motion, state, now_s)
        start = self.task.start(self._rng, 1)
        goal = np.asarray(start.joint_position, dtype=np.float64)[0]
        speed = self.config.start_speed_fraction * self.task.spec.velocity_max
        self._motion = _StartMotion(np.array(state.joint_position, dtype=np.float64), goal, speed, now_s)
        self._enter(Phase.MOVE, now_s)
        return self._move(state, now_s)

    def _move(self, state: RobotState, now_s: float) -> Reference:
        motion = self._motion
        if motion is None:
            return self.hold(now_s)
        if isinstance(motion, _Recovery):
            return self._recover(motion, state, now_s)
        away = np.abs(state.joint_position - motion.goal)
        worst = int(np.argmax(away))
        if away[worst] <= self.config.start_tolerance_rad and now_s >= motion.end_s:
            return self._begin(state, now_s)
        if now_s > motion.end_s + self.config.start_limit_s:
            self.abort(
                f"joint '{self.task.spec.joint_names[worst]}' is {away[worst]:.3f} rad from the start pose "
                f"{self.config.start_limit_s:g} s after it should have been there (tolerance "
                f"{self.config.start_tolerance_rad:g} rad). Does the servo sag under its load?",
                now_s,
            )
            return self.hold(now_s)
        period = self.task.control_period_s
        position, velocity = motion.at(now_s + period)
        return JointReference("position", position, period, velocity=velocity, created_s=now_s)

    def _recover(self, motion: _Recovery, state: RobotState, now_s: float) -> Reference:
        reference = motion.at(now_s, self.task.control_period_s)
        if reference is not None:
            return reference
        touched = [name for name, on in (state.contacts or {}).items() if on]
        if not touched:
            return self._begin(state, now_s)
        if motion.attempt >= RECOVERIES_MAX or not isinstance(self.task, Recovers):
            self.abort(f"after {motion.attempt} recoveries it still feels {', '.join(touched)}", now_s)
            return self.hold(now_s)
        self._motion = _Recovery(self.task.recovery(self._rng), now_s, motion.attempt + 1)
        return self.hold(now_s)

    def _begin(self, state: RobotState, now_s: float) -> Reference:
        self._memory = self.task.begin(self._rng, state)
        self.policy.reset()
        if self.corrector is not None:
            self.corrector.reset()
        self._enter(Phase.RUN, now_s)
        return self._act(state, now_s, self.task.observe(state, self._memory))

    def _judge_and_act(self, state: RobotState, now_s: float, deadline_s: float) -> Reference:
        outcome, self._memory = self.task.judge(self._action, state, self._memory)
        success, reward = bool(outcome.success), float(outcome.reward)
        said = self._said()
        if self.config.judge == "person":
            success, reward = said is True, float(said is True)
        self._record.total_reward += reward
        self._record.corrected += self._corrected
        elapsed = now_s - self._begun_s()
        self._record.add(
            time_s=elapsed,
            action=self._action,
            reward=reward,
            success=success,
            intervention=self._corrected,
            joint_position=state.joint_position,
            joint_velocity=state.joint_velocity,
            **self._memory,
        )
        reason = ""
        if success and (self.task.ends_on_success or said):
            reason = "success"
        elif said is False:
            reason = "failure"
        elif bool(outcome.terminated):
            reason, success = "terminated", False
        elif elapsed >= self.task.episode_s - 0.5 * self.task.control_period_s:
            reason = "time limit"
        observation = self.task.observe(state, self._memory)
        if isinstance(self.policy, Experiences):
            # As in `RobotEnv`: a success that ends the episode is an end from which no return follows.
            ended, limit = reason in ("success", "failure", "terminated"), reason == "time limit"
            before, action = self._observation, self._action
            source: Source = "intervention" if self._corrected else "real"
            self.policy.experience(
                Transition(before, action, reward, observation, ended, limit, source=source),
                math.inf if reason else deadline_s,
            )
        if reason:
            return self._end(reason, success=success, now_s=now_s)
        return self._act(state, now_s, observation)

    def _act(self, state: RobotState, now_s: float, observation: Array) -> Reference:
        try:
            self._observation, self._action = observation, self.policy.act(observation)
            self._take_correction(state, observation)
            reference = self.task.reference(self._action, state, self._memory)
        except NonFiniteError as error:
            self.abort(str(error), now_s)
            raise
        except DeviceError as error:
            self.abort(str(error), now_s)
            return self.hold(now_s)
        return replace(reference, created_s=now_s)

    def _take_correction(self, state: RobotState, observation: Array) -> None:
        """Let the corrector replace the policy's action."""
        shown = None
        if self.corrector is not None:
            shown = self.corrector.correct(observation, self._action, state, self._memory)
        self._corrected = shown is not None
        if shown is not None:
            self._action = bounded_action(shown, *self._bounds)

    def _said(self) -> bool | None:
        """What a person said of the episode, where a person is the judge."""
        if self.config.judge == "person" and isinstance(self.corrector, Verdicts):
            return self.corrector.verdict()
        return None

    def _end(self, reason: str, *, success: bool, now_s: float) -> Reference:
        record = self._record
        record.reason, record.success = reason, success
        record.duration_s = now_s - self._begun_s() if self.phase is Phase.RUN else 0.0
        self.acted_s += record.duration_s
        self._aborts = self._aborts + 1 if reason.startswith("aborted") else 0
        self.finished.append(record)
        self._record = EpisodeRecord(episode=record.episode + 1)
        self._enter(Phase.DONE if self._exhausted(record.episode + 1) else Phase.PAUSE, now_s)
        return self.hold(now_s)

    def _exhausted(self, episodes: int) -> bool:
        """Whether nothing is left to do after so many episodes."""
        if self.config.acting_limit_s > 0.0:
            return self.acted_s >= self.config.acting_limit_s or self._aborts >= ABORTS_MAX
        return episodes >= self.config.episodes

    def _enter(self, phase: Phase, now_s: float) -> None:
        self.phase, self._since_s = phase, now_s

    def _begun_s(self) -> float:
        return self._since_s if self._since_s is not None else 0.0


class _StartMotion:
    """A minimum-jerk motion from rest to rest, with the same duration for every joint.

    s(u) = 10 u^3 - 15 u^4 + 6 u^5 (Flash and Hogan 1985); its top speed is 15/8 of the mean speed.
    """

    def __init__(self, start: FloatArray, goal: FloatArray, speed: FloatArray, now_s: float) -> None:
        self.start, self.goal, self._begin_s = start, goal, now_s
        self.duration_s = max(0.2, float(np.max(np.abs(goal - start) / speed)) * 15.0 / 8.0)
        self.end_s = now_s + self.duration_s

    def at(self, now_s: float) -> tuple[FloatArray, FloatArray]:
        """Position [rad] and velocity [rad/s] at a time [s]."""
        u = min(max((now_s - self._begin_s) / self.duration_s, 0.0), 1.0)
        s = u**3 * (10.0 - 15.0 * u + 6.0 * u**2)
        rate = 30.0 * u**2 * (1.0 - u) ** 2 / self.duration_s
        delta = self.goal - self.start
        return self.start + s * delta, rate * delta


class _Recovery:
    """Velocities of a base, one after the other, each for its horizon; `attempt` counts from 1."""

    def __init__(self, references: Sequence[BaseReference], now_s: float, attempt: int = 1) -> None:
        self.attempt = attempt
        self._ends_s = now_s + np.cumsum([reference.horizon_s for reference in references])
        self._references = references

    def at(self, now_s: float, period_s: float) -> BaseReference | None:
        """The one to follow at a time [s], for the next `period_s` [s] and half as long again; None at the end."""
        index = int(np.searchsorted(self._ends_s, now_s, side="right"))
        if index >= len(self._references):
            return None
        return replace(self._references[index], horizon_s=1.5 * period_s, created_s=now_s)


def append_result(path: Path, record: EpisodeRecord) -> None:
    """Append one episode as a line of JSON that survives a power cut once this returns.

    Raises:
        OSError: the file cannot be written.
    """
    append_line(path, record.to_json())


def _plain(value: object) -> object:
    """A value as JSON can carry it; a number that is not finite becomes null."""
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value
