"""A motion of many joints as polynomial segments one after the other, under construction."""

from __future__ import annotations

import numpy as np

from controllers.profiles import Ramp, quintic, velocity_ramp
from hardware.arrays import FloatArray

SEGMENTS = 9
"""Ramp (3), quintic, cruise, brake (3), rest. A segment that a plan does not need has no duration."""
START = 6
"""Column of a segment's start time, behind its six coefficients."""


class MotionPlan:
    """Segments under construction, for joint arrays of one shape (*batch, n).

    `rows` is (*batch, n, segments, 7): polynomial coefficients from t^0 up, and the start time; `ends` holds the end
    time of every segment but the last.

    Args:
        position: present position, (*batch, n) [rad].
        velocity: present velocity [rad/s].
        acceleration: present acceleration [rad/s^2].
    """

    def __init__(self, position: FloatArray, velocity: FloatArray, acceleration: FloatArray) -> None:
        self.rows = np.zeros((*position.shape, SEGMENTS, START + 1))
        self.ends = np.zeros((*position.shape, SEGMENTS - 1))
        self.position, self.velocity, self.acceleration = position, velocity, acceleration
        self._time = np.zeros_like(position)

    def ramp(
        self,
        target: FloatArray,
        acceleration_max: FloatArray,
        jerk_max: FloatArray,
        where: FloatArray | None = None,
        first: int = 0,
    ) -> None:
        """Segments `first` to `first` + 2: transition to the velocity `target`, of the robots in `where`."""
        durations, jerk = velocity_ramp(self.velocity, self.acceleration, target, acceleration_max, jerk_max)
        for index, (duration, rate) in enumerate(zip(durations, (jerk, 0.0 * jerk, -jerk), strict=True)):
            self._segment(first + index, duration if where is None else np.where(where, duration, 0.0), rate)
        if where is None:
            self.velocity, self.acceleration = target, np.zeros_like(target)
        else:
            self.velocity = np.where(where, target, self.velocity)
            self.acceleration = np.where(where, 0.0, self.acceleration)

    def quintic(self, goal: FloatArray, arrival: FloatArray, duration: FloatArray) -> None:
        """Segment 3: to `goal` with the velocity `arrival` after `duration` [s]."""
        row = self.rows[..., 3, :]
        higher = quintic(goal - self.position, self.velocity, self.acceleration, arrival, duration)
        self._segment(3, duration, 0.0)
        row[..., 3], row[..., 4], row[..., 5] = higher
        self.position, self.velocity, self.acceleration = goal, arrival, np.zeros_like(goal)

    def rest_of_plan(self, cruise: FloatArray, acceleration_max: FloatArray, jerk_max: FloatArray) -> None:
        """Segments 4 to 8: the present velocity for `cruise` [s] (for ever if it is 0), brake, rest."""
        if not self.ends[..., 3].any():
            self._segment(3, np.zeros_like(cruise), 0.0)
        self._segment(4, cruise, 0.0)
        self.ramp(np.zeros_like(cruise), acceleration_max, jerk_max, first=5)
        self._segment(8, np.zeros_like(cruise), 0.0)

    def _segment(self, index: int, duration: FloatArray, jerk: FloatArray | float) -> None:
        """Constant jerk for `duration`; the state moves to its end."""
        row, t = self.rows[..., index, :], duration
        row[..., 0], row[..., 1], row[..., 2], row[..., 3] = (
            self.position,
            self.velocity,
            0.5 * self.acceleration,
            jerk / 6.0,
        )
        row[..., START] = self._time
        self.position = self.position + t * (self.velocity + t * (0.5 * self.acceleration + t * (jerk / 6.0)))
        self.velocity = self.velocity + t * (self.acceleration + 0.5 * t * jerk)
        self.acceleration = self.acceleration + t * jerk
        self._time = self._time + t
        if index < SEGMENTS - 1:
            self.ends[..., index] = self._time


def ramp_motion(
    position: FloatArray,
    velocity: FloatArray,
    acceleration: FloatArray,
    ramp: Ramp,
    target: FloatArray,
    cruise: FloatArray,
    brake: Ramp,
) -> tuple[FloatArray, FloatArray]:
    """The plan without a quintic, all segments at once: ramp, cruise, brake, rest.

    The same as `MotionPlan.ramp` and `MotionPlan.rest_of_plan` at a third of the cost; it runs in every control period.

    Args:
        position: present position, (*batch, n) [rad].
        velocity: present velocity [rad/s].
        acceleration: present acceleration [rad/s^2].
        ramp: transition to `target`.
        target: velocity it leads to [rad/s].
        cruise: duration at `target` [s].
        brake: transition from `target` to rest.

    Returns:
        `rows` and `ends` of `MotionPlan`.
    """
    shape = (*position.shape, SEGMENTS)
    duration, jerk = np.zeros(shape), np.zeros(shape)
    for first, profile in ((0, ramp), (5, brake)):
        for index, phase in enumerate(profile.durations):
            duration[..., first + index] = phase
        jerk[..., first], jerk[..., first + 2] = profile.jerk, -profile.jerk
    duration[..., 4] = cruise
    end = np.add.accumulate(duration, axis=-1)
    bend = jerk * duration
    accelerations = acceleration[..., None] + np.add.accumulate(bend, axis=-1) - bend
    accelerations[..., 3:6] = 0.0  # exactly: what rounding leaves would grow while cruising
    gain = duration * (accelerations + 0.5 * bend)
    velocities = velocity[..., None] + np.add.accumulate(gain, axis=-1) - gain
    velocities[..., 3:6] = target[..., None]
    accelerations[..., 8] = velocities[..., 8] = 0.0
    moved = duration * (velocities + duration * (0.5 * accelerations + bend * (1.0 / 6.0)))
    rows = np.zeros((*shape, START + 1))
    rows[..., 0] = position[..., None] + np.add.accumulate(moved, axis=-1) - moved
    rows[..., 1], rows[..., 2], rows[..., 3] = velocities, 0.5 * accelerations, jerk * (1.0 / 6.0)
    rows[..., START] = end - duration
    return rows, end[..., :-1]
