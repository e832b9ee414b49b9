"""Jerk-limited interpolation between the references of a slow policy and the set-points of a fast servo."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from controllers.motion_plan import SEGMENTS, START, MotionPlan, ramp_motion
from controllers.profiles import (
    Ramp,
    brake_ramp,
    quintic,
    quintic_acceleration_peak,
    ramp_displacement,
    rest_to_rest_duration,
    stop_displacement,
    velocity_ramp,
)
from controllers.reference import JointReference
from hardware.arrays import FloatArray, frozen
from hardware.errors import ConfigError

_FOREVER_S = 1e6
_HORIZON_MIN_S = 1e-3
_STRETCH = 1.3 ** np.arange(12)
"""Durations tried for a quintic from a moving start, as factors on the shortest one."""
_CHECKS = 0.5 - 0.5 * np.cos(np.linspace(0.0, np.pi, 25))
_MARGIN = 0.02
"""Share of a limit kept free at the checked points of a quintic, so that it holds between them too."""
_STOP_MARGIN = 1.01
"""Stopping distances are taken longer by this factor, for the same reason."""
_SLOWEST = 1e-9
"""Velocities below this count as none [rad/s]."""
_REFINEMENTS = 3
_FRACTIONS = np.linspace(0.0, 1.0, 17)


class JerkLimitedInterpolator:
    """Position, velocity and acceleration over time that follow references and never exceed the limits.

    One plan for each joint leads from the present state to the reference and, if no further reference comes, to rest
    inside the position limits: from every state on it the joint can be stopped in time. Quintics are checked at
    points: between them velocities and positions may exceed a limit by less than 1e-4 of it [rad]. Shapes: `batch` is
    () for one robot or (count,) for many.

    Args:
        velocity_max: (n,) [rad/s].
        acceleration_max: (n,) [rad/s^2].
        jerk_max: (n,) [rad/s^3].
        position_min: (n,) [rad]; -inf where there is no limit.
        position_max: (n,) [rad]; inf where there is no limit.

    Raises:
        ConfigError: a rate limit is not positive and finite, or a position range is empty.
    """

    def __init__(
        self,
        velocity_max: ArrayLike,
        acceleration_max: ArrayLike,
        jerk_max: ArrayLike,
        position_min: ArrayLike,
        position_max: ArrayLike,
    ) -> None:
        self.velocity_max, self.acceleration_max = frozen(velocity_max), frozen(acceleration_max)
        self.jerk_max = frozen(jerk_max)
        self.position_min, self.position_max = frozen(position_min), frozen(position_max)
        for name in ("velocity_max", "acceleration_max", "jerk_max"):
            values = getattr(self, name)
            if not np.all(np.isfinite(values) & (values > 0.0)):
                raise ConfigError(f"{name} must be positive and finite for every joint, got {values.tolist()}")
        if not np.all(self.position_min < self.position_max):
            raise ConfigError("position_min must be below position_max for every joint")
        self._limits = (self.acceleration_max, self.jerk_max)
        self._offsets: NDArray[np.intp] = np.zeros(0, dtype=np.intp)
        self.reset(np.zeros_like(self.velocity_max))

    def reset(self, position: FloatArray, velocity: FloatArray | None = None, ids: Any = None) -> None:
        """Start from a measured state, coming to rest from it.

        Args:
            position: (*batch, n) [rad]; with `ids`, (k, n).
            velocity: the same shape [rad/s]; None means at rest.
            ids: the robots of the batch to reset, (k,); None means all, and sets the batch shape.
        """
        position = np.array(position, dtype=np.float64)
        velocity = np.zeros_like(position) if velocity is None else np.asarray(velocity, dtype=np.float64)
        rows, ends = self._ramp_plan(position, velocity, np.zeros_like(position), np.zeros_like(position))
        if ids is None:
            self._elapsed_s = 0.0
            self._install(rows, ends, polynomial=False)
            return
        ends = ends + self._elapsed_s
        rows[..., START] += self._elapsed_s
        self._rows[ids], self._ends[ids] = rows, ends

    def state(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Position [rad], velocity [rad/s] and acceleration [rad/s^2] at present, each (*batch, n)."""
        position, velocity, acceleration = self.sample(np.zeros(1))
        return position[0], velocity[0], acceleration[0]

    def advance(self, duration_s: float) -> None:
        """Move the present on by `duration_s` >= 0 [s]."""
        self._elapsed_s += duration_s

    def sample(self, times: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """The motion at `times` after the present.

        Args:
            times: (k,) [s], >= 0.

        Returns:
            Position [rad], velocity [rad/s], acceleration [rad/s^2], each (k, *batch, n).
        """
        shape = self._ends.shape[:-1]
        time = (np.asarray(times, dtype=np.float64) + self._elapsed_s).reshape((-1,) + (1,) * len(shape))
        segment = np.add.reduce(time[..., None] >= self._ends, axis=-1)
        rows = self._rows.reshape(-1, START + 1).take(segment + self._offsets, axis=0)
        c0, c1, c2, c3 = rows[..., 0], rows[..., 1], rows[..., 2], rows[..., 3]
        t = time - rows[..., START]
        if not self._polynomial:
            cubic = t * c3
            return c0 + t * (c1 + t * (c2 + cubic)), c1 + t * (2.0 * c2 + 3.0 * cubic), 2.0 * c2 + 6.0 * cubic
        c4, c5 = rows[..., 4], rows[..., 5]
        return (
            c0 + t * (c1 + t * (c2 + t * (c3 + t * (c4 + t * c5)))),
            c1 + t * (2.0 * c2 + t * (3.0 * c3 + t * (4.0 * c4 + t * 5.0 * c5))),
            2.0 * c2 + t * (6.0 * c3 + t * (12.0 * c4 + t * 20.0 * c5)),
        )

    def retarget(self, reference: JointReference) -> None:
        """Plan from the present state to `reference`.

        Mode "velocity": fastest jerk-limited transition to `value` (clipped to the limits), then cruise, and brake in
        time to rest at the position limit. Mode "position": quintic to `value` (clipped to the limits) with `velocity`
        there, in `horizon_s`, or longer where the limits ask for it, the joints of a robot together; then the velocity
        is kept for one more `horizon_s` and braked. From a state out of which no quintic stays within the limits, the
        robot first stops.

        Raises:
            ConfigError: mode "effort", which is not interpolated.
        """
        position, velocity, acceleration = self.state()
        value = np.asarray(reference.value, dtype=np.float64)
        if reference.mode == "velocity":
            rows, ends = self._ramp_plan(position, velocity, acceleration, np.broadcast_to(value, position.shape))
        elif reference.mode == "position":
            rows, ends = self._position_plan(position, velocity, acceleration, reference)
        else:
            raise ConfigError("a reference of mode 'effort' is not interpolated; send it as it is")
        self._elapsed_s = 0.0
        self._install(rows, ends, polynomial=reference.mode == "position")

    def _install(self, rows: FloatArray, ends: FloatArray, *, polynomial: bool) -> None:
        shape = ends.shape[:-1]
        if self._offsets.shape != shape:
            self._offsets = (np.arange(int(np.prod(shape))) * SEGMENTS).reshape(shape)
        self._rows, self._ends, self._polynomial = rows, ends, polynomial

    def _ramp_plan(
        self, position: FloatArray, velocity: FloatArray, acceleration: FloatArray, target: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """Segments of a velocity transition, cruise, and brake before the position limit."""
        target = np.minimum(np.maximum(target, -self.velocity_max), self.velocity_max)
        target = np.where(np.abs(target) < _SLOWEST, 0.0, target)
        sign = np.where(target < 0.0, -1.0, 1.0)
        bound = np.where(target > 0.0, self.position_max, self.position_min)
        ramp, brake = velocity_ramp(velocity, acceleration, target, *self._limits), brake_ramp(target, *self._limits)
        room = sign * (bound - position - ramp_displacement(velocity, acceleration, ramp)) - _brake_distance(
            target, brake
        )
        if np.any((room < 0.0) & (target != 0.0)):
            target, room = self._slow_enough(position, velocity, acceleration, target, bound)
            ramp, brake = (
                velocity_ramp(velocity, acceleration, target, *self._limits),
                brake_ramp(target, *self._limits),
            )
        cruise = np.where(target == 0.0, 0.0, np.minimum(room / np.maximum(np.abs(target), _SLOWEST), _FOREVER_S))
        return ramp_motion(position, velocity, acceleration, ramp, target, cruise, brake)

    def _slow_enough(
        self,
        position: FloatArray,
        velocity: FloatArray,
        acceleration: FloatArray,
        target: FloatArray,
        bound: FloatArray,
    ) -> tuple[FloatArray, FloatArray]:
        """Largest share of `target` from which the joint can still stop at `bound`; and the room then left [rad]."""
        sign = np.where(target < 0.0, -1.0, 1.0)
        room = sign * (bound - position) - self._travel(velocity, acceleration, target, sign)
        tight = (room < 0.0) & (target != 0.0)
        if not tight.any():
            return target, np.maximum(room, 0.0)
        v, a, goal, s = velocity[tight], acceleration[tight], target[tight], sign[tight]
        limits = [np.broadcast_to(limit, target.shape)[tight] for limit in self._limits]
        space = (sign * (bound - position))[tight]
        # The travel grows with the target from where the present acceleration alone would lead; a slower target can
        # take longer to stop from than stopping at once, which always fits.
        led_to = (v + a * np.abs(a) / (2.0 * limits[1])) / goal
        low = np.where(led_to < 1.0, np.maximum(led_to, 0.0), 0.0)
        width = np.where(led_to < 1.0, 1.0 - low, 0.0)
        for _ in range(_REFINEMENTS):
            shares = low + width * _FRACTIONS[:, None]
            fits = self._travel(v, a, shares * goal, s, limits) <= space
            best = np.maximum(np.add.reduce(fits, axis=0) - 1, 0)  # the highest that fits
            low = np.where(fits[0], low + width * _FRACTIONS[best], 0.0)
            width = np.where(fits[0], width * _FRACTIONS[1], 0.0)
        target, room = target.copy(), room.copy()
        target[tight] = low * goal
        room[tight] = space - self._travel(v, a, low * goal, s, limits)
        return target, np.maximum(room, 0.0)

    def _travel(
        self, velocity: FloatArray, acceleration: FloatArray, target: FloatArray, sign: FloatArray, limits: Any = None
    ) -> FloatArray:
        """Displacement, towards `sign`, of a transition to `target` and a stop right after it [rad]."""
        limits = self._limits if limits is None else limits
        moved = ramp_displacement(velocity, acceleration, velocity_ramp(velocity, acceleration, target, *limits))
        zero = np.zeros_like(target)
        return sign * (moved + ramp_displacement(target, zero, velocity_ramp(target, zero, zero, *limits)))

    def _position_plan(
        self, position: FloatArray, velocity: FloatArray, acceleration: FloatArray, reference: JointReference
    ) -> tuple[FloatArray, FloatArray]:
        """Segments of a quintic (after a stop where it must be), a coast of one horizon, and a brake."""
        goal = np.asarray(reference.value, dtype=np.float64)
        goal = np.minimum(np.maximum(goal, self.position_min), self.position_max)
        goal = np.broadcast_to(goal, position.shape)
        arrival = np.zeros_like(position)
        if reference.velocity is not None:
            arrival = np.minimum(np.maximum(reference.velocity, -self.velocity_max), self.velocity_max) + arrival
            low, high = stop_displacement(arrival, np.zeros_like(arrival), *self._limits)
            arrival = np.where((goal + low >= self.position_min) & (goal + high <= self.position_max), arrival, 0.0)
        horizon = max(float(reference.horizon_s), _HORIZON_MIN_S)
        moving = np.any((velocity != 0.0) | (acceleration != 0.0) | (arrival != 0.0), axis=-1)
        duration = np.full(position.shape[:-1], np.nan)
        if np.any(moving):
            duration = self._moving_duration(position, velocity, acceleration, goal, arrival, horizon, moving)
        stops = np.isnan(duration) & moving
        plan = MotionPlan(position, velocity, acceleration)
        if np.any(stops):
            arrival = np.where(stops[..., None], 0.0, arrival)
            plan.ramp(np.zeros_like(position), *self._limits, where=stops[..., None])
        rests = np.isnan(duration)
        shortest = rest_to_rest_duration(goal - plan.position, self.velocity_max, *self._limits).max(axis=-1)
        duration = np.where(rests, np.maximum(shortest, horizon), duration)[..., None]
        plan.quintic(goal, arrival, np.broadcast_to(duration, position.shape))
        _, room = self._slow_enough(
            goal, arrival, np.zeros_like(goal), arrival, np.where(arrival > 0.0, self.position_max, self.position_min)
        )
        coast = np.where(arrival == 0.0, 0.0, np.minimum(room / np.maximum(np.abs(arrival), _SLOWEST), horizon))
        plan.rest_of_plan(coast, *self._limits)
        return plan.rows, plan.ends

    def _moving_duration(
        self,
        position: FloatArray,
        velocity: FloatArray,
        acceleration: FloatArray,
        goal: FloatArray,
        arrival: FloatArray,
        horizon: float,
        moving: NDArray[np.bool_],
    ) -> FloatArray:
        """Duration of a quintic within the limits for each moving robot, (*batch,) [s]; NaN where none was found."""
        n = position.shape[-1]
        flat = [array.reshape(-1, n) for array in (position, velocity, acceleration, goal, arrival)]
        duration = np.full(flat[0].shape[0], np.nan)
        todo = np.flatnonzero(moving)
        shortest = np.maximum(horizon, np.max(np.abs(flat[3] - flat[0]) / self.velocity_max, axis=-1))
        for factor in _STRETCH:
            tried = factor * shortest[todo]
            good = self._fits(flat[0][todo], flat[1][todo], flat[2][todo], flat[3][todo], flat[4][todo], tried[:, None])
            duration[todo[good]] = tried[good]
            todo = todo[~good]
            if not todo.size:
                break
        return duration.reshape(position.shape[:-1])

    def _fits(
        self,
        position: FloatArray,
        velocity: FloatArray,
        acceleration: FloatArray,
        goal: FloatArray,
        arrival: FloatArray,
        duration: FloatArray,
    ) -> NDArray[np.bool_]:
        """Whether all joints' quintics keep every limit, and could be stopped in time all the way, (k,) bool."""
        c3, c4, c5 = quintic(goal - position, velocity, acceleration, arrival, duration)
        t = _CHECKS[:, None, None] * duration
        jerk = 6.0 * c3 + t * (24.0 * c4 + t * 60.0 * c5)
        peak = quintic_acceleration_peak(acceleration, c3, c4, c5, duration)
        good = np.all(np.abs(jerk) <= (1.0 - _MARGIN) * self.jerk_max, axis=(0, 2))
        good &= np.all(peak <= self.acceleration_max * (1.0 + 1e-12), axis=-1)
        if not good.any():
            return good
        a = acceleration + t * (6.0 * c3 + t * (12.0 * c4 + t * 20.0 * c5))
        v = velocity + t * (acceleration + t * (3.0 * c3 + t * (4.0 * c4 + t * 5.0 * c5)))
        p = position + t * (velocity + t * (0.5 * acceleration + t * (c3 + t * (c4 + t * c5))))
        share = 1.0 - _MARGIN * (1.0 - (1.0 - _CHECKS[:, None, None]) ** 2)
        a_end = np.where(v * a > 0.0, a * a / (2.0 * self.jerk_max), 0.0)
        keeps = np.abs(v) + a_end <= share * self.velocity_max
        keeps[0] = True  # the present is what it is
        low, high = stop_displacement(v, np.clip(a, -self.acceleration_max, self.acceleration_max), *self._limits)
        v[-1] = arrival  # exactly, so that rounding makes no turning point
        turn = np.where(v[:-1] * v[1:] < 0.0, 0.6 * v[:-1] * np.abs(v[:-1]) * (t[1:] - t[:-1]), 0.0)
        turn = turn / np.maximum(np.abs(v[:-1] - v[1:]), _SLOWEST)  # a turning point between two checked ones
        low, high = _STOP_MARGIN * low, _STOP_MARGIN * high
        low[:-1], high[:-1] = np.minimum(low[:-1], turn), np.maximum(high[:-1], turn)
        inside = (p + low >= self.position_min - 1e-9) & (p + high <= self.position_max + 1e-9)
        keeps[1:] &= inside[1:]
        return good & np.all(keeps, axis=(0, 2))


def _brake_distance(velocity: FloatArray, brake: Ramp) -> FloatArray:
    """Distance travelled while braking from a steady velocity, >= 0 [rad]."""
    first, hold, last = brake.durations
    return 0.5 * np.abs(velocity) * (first + hold + last)
