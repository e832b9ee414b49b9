"""How the velocity of a mobile base may change within one control cycle."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from hardware.records import RobotState
from hardware.spec import BaseSpec

REST_SPEED = 1e-3
"""Below this speed a car has no curvature of its own [m/s]."""


class BaseMotion:
    """The velocity that a base is told, moved towards targets within its acceleration limits.

    A car keeps the curvature of its path while its speed changes, because its wheels cannot be turned by a yaw rate:
    yaw rate = curvature * speed, at most `curvature_max`.

    Args:
        base: the base.
        margin: factor on the acceleration limits.
    """

    def __init__(self, base: BaseSpec, margin: float = 1.0) -> None:
        self.base = base
        self.speed = self.yaw_rate = 0.0
        self._margin = margin
        self._curvature = 0.0

    def reset(self, state: RobotState) -> None:
        """Begin at the measured velocity, bounded by the limits; at rest where it is not measured."""
        linear, angular = state.base_linear_velocity, state.base_angular_velocity
        self.speed = 0.0 if linear is None else self.bounded_speed(float(linear[0]))
        self.yaw_rate = 0.0 if angular is None else self.bounded_yaw_rate(float(angular[2]), self.speed)
        self._curvature = 0.0
        self._keep_curvature()

    def bounded_speed(self, speed: float) -> float:
        """`speed` [m/s] within the base's limits."""
        return min(max(speed, -self.base.backward_max), self.base.forward_max)

    def bounded_yaw_rate(self, yaw_rate: float, speed: float) -> float:
        """`yaw_rate` [rad/s] that the base can have at `speed` [m/s]."""
        bound = self.base.yaw_rate_max
        if self.base.kind == "car":
            bound = min(bound, self.base.curvature_max * abs(speed))
        return min(max(yaw_rate, -bound), bound)

    def advance(self, speed: float, yaw_rate: float, duration_s: float) -> None:
        """Come as close to `speed` [m/s] and `yaw_rate` [rad/s], both within the limits, as `duration_s` [s] allows."""
        base, share = self.base, self._margin * duration_s
        self.speed = approach(self.speed, speed, base.acceleration_max * share, base.deceleration_max * share)
        if base.kind == "car":
            if abs(speed) > REST_SPEED:
                self._curvature = yaw_rate / speed
            yaw_rate = self._curvature * self.speed
        change = base.yaw_acceleration_max * share
        turned = approach(self.yaw_rate, yaw_rate, change, change)
        self.yaw_rate = self.bounded_yaw_rate(turned, self.speed)

    def brake(self, duration_s: float) -> None:
        """One cycle towards rest; a car stays in its curve."""
        self._keep_curvature()
        self.advance(0.0, 0.0, duration_s)

    def as_state(self, state: RobotState) -> RobotState:
        """`state` with this velocity as the measured one."""
        return replace(
            state,
            base_linear_velocity=np.array([self.speed, 0.0, 0.0]),
            base_angular_velocity=np.array([0.0, 0.0, self.yaw_rate]),
        )

    @property
    def at_rest(self) -> bool:
        """Whether the base is told to stand still."""
        return self.speed == 0.0 and self.yaw_rate == 0.0

    def _keep_curvature(self) -> None:
        if abs(self.speed) > REST_SPEED:
            self._curvature = self.yaw_rate / self.speed


def approach(value: float, target: float, growth: float, decay: float) -> float:
    """`value` moved towards `target`, by at most `growth` away from zero or `decay` towards it.

    A change of sign stops at zero first.
    """
    if value * target < 0.0:
        target = 0.0
    bound = growth if abs(target) > abs(value) else decay
    step = target - value
    return target if abs(step) <= bound else value + math.copysign(bound, step)
