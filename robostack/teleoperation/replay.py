"""A recorded episode is done again: slowly to its first pose, then at the recorded rate. Knows no ROS, no real time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np

from controllers.reference import JointReference
from hardware.arrays import FloatArray
from hardware.errors import ConfigError
from hardware.records import RobotState
from hardware.spec import RobotSpec
from robostack.data.features import ACTION, CAPTURE_TIME, STATE, Feature

_LEAD_S = 0.03
"""How much earlier than recorded a velocity is asked for: about what the ramps between velocities take [s]."""
_GAIN = 4.0
"""Share of the difference from the recorded position that is corrected per second [1/s]."""
_COMPLETE = 0.9
"""Share of the time steps that must have been measured."""
_HOLE_S = 0.1
"""Between two measurements further apart than this nobody knows what the robot did [s]; nothing is compared there."""
_HORIZON_S = 0.05
"""Time for which a set-point is valid [s]."""


@dataclass(frozen=True)
class ReplayConfig:
    """How an episode is replayed, and when it counts as reproduced.

    Raises:
        ConfigError: a setting out of range.
    """

    start_speed_fraction: float = 0.15
    """Top speed of the motion to the first pose, as a share of each joint's speed limit."""
    settle_s: float = 1.0
    """Rest at the first pose [s]."""
    tolerance_rms: float = 0.03
    """Largest root mean square of the difference from the recorded joint positions [rad]."""
    tolerance_max: float = 0.15
    """Largest difference of any joint at any time [rad]."""

    def __post_init__(self) -> None:
        if not 0.01 <= self.start_speed_fraction <= 1.0:
            raise ConfigError(f"start_speed_fraction = {self.start_speed_fraction} is outside [0.01, 1]")
        if not (self.tolerance_rms > 0.0 and self.tolerance_max > 0.0 and self.settle_s >= 0.0):
            raise ConfigError("replay: tolerances must be positive, settle_s not negative")


@dataclass(frozen=True)
class RecordedMotion:
    """What one episode says about the joints, in the robot's order."""

    time_s: FloatArray
    """Capture times since the first one, (k,) [s], rising."""
    position: FloatArray
    """Measured positions, (k, num_joints) [rad]."""
    action: FloatArray
    """Positions that the device was told, (k, num_joints) [rad]."""

    @property
    def duration_s(self) -> float:
        """From the first to the last time step [s]."""
        return float(self.time_s[-1])


def recorded_motion(
    episode: Mapping[str, Any], features: Mapping[str, Feature], fps: float, spec: RobotSpec
) -> RecordedMotion:
    """The motion in an episode; joints are matched by the names of the columns' elements.

    Args:
        episode: column -> values, (k, ...).
        features: of the dataset.
        fps: of the dataset; gives the times where capture times were not recorded.
        spec: the robot that is to do it again.

    Raises:
        ConfigError: the dataset has no joint positions of this robot, or fewer than three time steps.
    """
    columns = {}
    for name in (STATE, ACTION):
        feature = features.get(name)
        offered = feature.names if feature is not None and feature.names is not None else ()
        missing = [joint for joint in spec.joint_names if f"{joint}.pos" not in offered]
        if missing or not spec.joints:
            raise ConfigError(
                f"column '{name}' has {', '.join(offered) or 'no names'}; replaying on {spec.name} needs joint "
                f"positions called {', '.join(f'{joint}.pos' for joint in missing) or '<joint>.pos'}"
            )
        order = [offered.index(f"{joint}.pos") for joint in spec.joint_names]
        columns[name] = np.asarray(episode[name], dtype=np.float64)[:, order]
    count = len(columns[STATE])
    if count < 3:
        raise ConfigError(f"the episode has {count} time steps; replaying needs three")
    if CAPTURE_TIME in episode:
        time_s = np.asarray(episode[CAPTURE_TIME], dtype=np.float64).reshape(-1)
    else:
        time_s = np.arange(count) / fps
    new = np.concatenate([[True], np.diff(np.maximum.accumulate(time_s)) > 0.0])  # a repeated measurement counts once
    if np.count_nonzero(new) < 3:
        raise ConfigError(f"the episode has {np.count_nonzero(new)} different measurements; replaying needs three")
    return RecordedMotion(time_s[new] - time_s[0], columns[STATE][new], columns[ACTION][new])


@dataclass(frozen=True)
class ReplayResult:
    """How well a motion was reproduced."""

    rms_rad: float
    """Root mean square over all joints and times [rad]."""
    max_rad: float
    """Largest difference [rad]."""
    worst_joint: str
    """Joint of the largest difference."""
    joint_rms_rad: dict[str, float]
    """Root mean square per joint [rad]."""
    compared: int
    """Time steps compared."""
    steps: int
    """Time steps of the recording."""

    @property
    def complete(self) -> bool:
        """Whether nearly all of the motion was measured; a computer that stands still in between leaves a hole."""
        return self.compared >= _COMPLETE * self.steps

    def within(self, config: ReplayConfig) -> bool:
        """Whether the whole motion was measured and the tolerances are kept."""
        return self.complete and self.rms_rad <= config.tolerance_rms and self.max_rad <= config.tolerance_max


class ReplayPhase(Enum):
    """What the replay is doing."""

    MOVE = "move to the first pose"
    SETTLE = "rest"
    RUN = "replay"
    DONE = "done"


class Replay:
    """Call `step` once per period with the newest state; send what it returns. `on_state` gets every measurement.

    Args:
        motion: what to do again.
        spec: the robot.
        config: speeds and tolerances.
        period_s: time between two calls of `step` [s].
    """

    def __init__(self, motion: RecordedMotion, spec: RobotSpec, config: ReplayConfig, period_s: float) -> None:
        self.motion, self.spec, self.config, self.period_s = motion, spec, config, period_s
        self.phase = ReplayPhase.MOVE
        self._velocity_time_s, self._velocity = _velocities(motion)
        self._since_s: float | None = None
        self._duration_s = 0.0
        self._measured: list[tuple[float, FloatArray]] = []

    def step(self, state: RobotState, now_s: float) -> JointReference | None:
        """The set-point for one period; None when there is nothing left to do.

        Args:
            state: newest measurement.
            now_s: monotonic time [s].
        """
        goal = self.motion.action[0]
        if self._since_s is None:
            away = np.abs(goal - np.asarray(state.joint_position))
            speed = self.config.start_speed_fraction * self.spec.velocity_max
            # A quintic from rest to rest is 15/8 times as fast at its top as on average.
            self._since_s, self._duration_s = now_s, max(0.5, float(np.max(away / speed)) * 15.0 / 8.0)
        elapsed_s = now_s - self._since_s
        if self.phase is ReplayPhase.MOVE and elapsed_s >= self._duration_s:
            self._enter(ReplayPhase.SETTLE, now_s)
        elif self.phase is ReplayPhase.SETTLE and elapsed_s >= self.config.settle_s:
            self._enter(ReplayPhase.RUN, now_s)
        elif self.phase is ReplayPhase.RUN and elapsed_s >= self.motion.duration_s + self.period_s:
            self._enter(ReplayPhase.DONE, now_s)
        if self.phase is ReplayPhase.DONE:
            return None
        if self.phase is ReplayPhase.RUN:
            return self._replayed(state, now_s - self._since_s, now_s)
        left_s = self._duration_s - elapsed_s if self.phase is ReplayPhase.MOVE else 0.0
        return JointReference("position", goal.copy(), max(left_s, self.period_s), created_s=now_s)

    def on_state(self, state: RobotState) -> None:
        """Keep a measurement of the replayed motion."""
        if self.phase is ReplayPhase.RUN and self._since_s is not None:
            captured_s = float(state.capture_time_s) - self._since_s
            self._measured.append((captured_s, np.array(state.joint_position, dtype=np.float64)))

    def result(self) -> ReplayResult:
        """The difference from the recorded positions, at the recorded capture times that were reached."""
        names: Sequence[str] = self.spec.joint_names
        steps = len(self.motion.time_s)
        if len(self._measured) < 2:
            return ReplayResult(float("nan"), float("nan"), "", dict.fromkeys(names, float("nan")), 0, steps)
        times = np.array([time_s for time_s, _ in self._measured])
        positions = np.array([position for _, position in self._measured])
        motion = self.motion
        after = np.clip(np.searchsorted(times, motion.time_s), 1, len(times) - 1)
        near = times[after] - times[after - 1] <= _HOLE_S
        reached = near & (motion.time_s >= times[0]) & (motion.time_s <= times[-1])
        error = _interpolated(motion.time_s[reached], times, positions) - motion.position[reached]
        if not len(error):
            return ReplayResult(float("nan"), float("nan"), "", dict.fromkeys(names, float("nan")), 0, steps)
        per_joint = np.sqrt(np.mean(error**2, axis=0))
        return ReplayResult(
            rms_rad=float(np.sqrt(np.mean(error**2))),
            max_rad=float(np.max(np.abs(error))),
            worst_joint=names[int(np.argmax(np.max(np.abs(error), axis=0)))],
            joint_rms_rad={name: float(value) for name, value in zip(names, per_joint, strict=True)},
            compared=len(error),
            steps=steps,
        )

    def _replayed(self, state: RobotState, elapsed_s: float, now_s: float) -> JointReference:
        """The recorded velocity, corrected by how far the robot is from where it was measured then.

        A velocity, because a position that is to be reached within one period leaves limits of jerk no room.
        """
        motion = self.motion
        left_s = motion.duration_s - elapsed_s
        velocity = _interpolated(np.array([elapsed_s + _LEAD_S]), self._velocity_time_s, self._velocity)[0]
        measured_s = elapsed_s - (now_s - float(state.capture_time_s))
        then = _interpolated(np.array([measured_s]), motion.time_s, motion.position)[0]
        velocity = velocity * (left_s > _LEAD_S) + _GAIN * (then - np.asarray(state.joint_position))
        velocity = np.clip(velocity, -self.spec.velocity_max, self.spec.velocity_max)
        return JointReference("velocity", velocity, _HORIZON_S, created_s=now_s)

    def _enter(self, phase: ReplayPhase, now_s: float) -> None:
        self.phase, self._since_s = phase, now_s


def _velocities(motion: RecordedMotion) -> tuple[FloatArray, FloatArray]:
    """Velocities that were commanded, (m, num_joints) [rad/s], and their times, (m,) [s], rising.

    Between two time steps the mean velocity, in the middle. Where nothing was measured for long, because the recording
    computer stood still, nobody knows what the robot did: there it is the mean velocity from end to end, so that the
    robot is where it was when measurements came again. (A velocity interpolated across such a hole would go on as
    before, where the robot may have stood: that made errors of 0.09 rad.)
    """
    between_s = np.diff(motion.time_s)
    mean = np.diff(motion.action, axis=0) / between_s[:, None]
    hole = between_s > max(_HOLE_S, 2.5 * float(np.median(between_s)))
    edge_s = np.minimum(1e-3, 0.1 * between_s)
    first = np.where(hole, motion.time_s[:-1] + edge_s, motion.time_s[:-1] + 0.5 * between_s)
    last = motion.time_s[1:] - edge_s
    times_s, values = np.concatenate([first, last[hole]]), np.concatenate([mean, mean[hole]])
    order = np.argsort(times_s, kind="stable")
    return times_s[order], values[order]


def _interpolated(at_s: FloatArray, times_s: FloatArray, values: FloatArray) -> FloatArray:
    """`values` (k, n) at other times, linear in between, (m, n)."""
    return np.stack([np.interp(at_s, times_s, column) for column in values.T], axis=1)
