"""The controller's motion functions: each cycle they move the joint target a little, within the joints' limits.

Universal Robots does not publish these laws. They are modelled on what the script manual says of them: `servoj` smooths
the target over `lookahead_time` and follows it with a gain, `speedj` ramps linearly, `movej` is trapezoidal.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hardware.arrays import FloatArray
from hardware.ur5e import UR5E
from sim.devices.ur5e.config import CYCLE_S

ACCELERATION_MAX_RAD_S2 = 40.0
"""Largest acceleration the controller lets any joint target have; the script manual caps `a` near this."""
STOP_DECELERATION_RAD_S2 = 15.0
"""Deceleration of protective and emergency stops, and after a program has ended."""
_STILL_RAD_S = 1e-9


@dataclass
class _Servo:
    goal: FloatArray
    smoothed: FloatArray
    lookahead_s: float
    gain: float


@dataclass
class _Speed:
    goal: FloatArray
    acceleration: float


@dataclass
class _Move:
    start: FloatArray
    goal: FloatArray
    ramp_s: float
    duration_s: float
    time_s: float = 0.0

    def fraction(self) -> float:
        """How far along the straight line in joint space the trapezoidal profile is at `time_s`, 0..1."""
        t = self.time_s
        if t >= self.duration_s:
            return 1.0
        cruise = 1.0 / (self.duration_s - self.ramp_s)
        if t < self.ramp_s:
            return 0.5 * cruise * t * t / self.ramp_s
        if t > self.duration_s - self.ramp_s:
            left = self.duration_s - t
            return 1.0 - 0.5 * cruise * left * left / self.ramp_s
        return cruise * (t - 0.5 * self.ramp_s)


class Motion:
    """The joint target and the motion function that moves it.

    Args:
        position: the target at the start, (6,) [rad].
    """

    def __init__(self, position: FloatArray) -> None:
        self.position = position.copy()
        self.velocity = np.zeros_like(position)
        self.acceleration = np.zeros_like(position)
        self.goal_distance = 0.0
        self._function: _Servo | _Speed | _Move = _Speed(np.zeros_like(position), STOP_DECELERATION_RAD_S2)

    def servo(self, goal: FloatArray, lookahead_s: float, gain: float) -> None:
        """`servoj`: follow `goal`, (6,) [rad]."""
        _finite(goal, lookahead_s, gain)
        function = self._function
        smoothed = function.smoothed if isinstance(function, _Servo) else self.position.copy()
        self._function = _Servo(goal, smoothed, max(lookahead_s, CYCLE_S), gain)

    def speed(self, goal: FloatArray, acceleration: float) -> None:
        """`speedj`: ramp to the velocity `goal`, (6,) [rad/s], at `acceleration` [rad/s^2]."""
        _finite(goal, acceleration)
        limited = np.clip(goal, -UR5E.velocity_max, UR5E.velocity_max)
        self._function = _Speed(limited, min(abs(acceleration), ACCELERATION_MAX_RAD_S2))

    def stop(self, deceleration: float = STOP_DECELERATION_RAD_S2) -> None:
        """`stopj`: ramp to standstill at `deceleration` [rad/s^2]."""
        self.speed(np.zeros_like(self.position), deceleration)

    def move(self, goal: FloatArray, speed: float, acceleration: float) -> None:
        """`movej` from standstill to `goal`, (6,) [rad]; the joint with the longest way sets the profile."""
        _finite(goal, speed, acceleration)
        way = float(np.max(np.abs(goal - self.position)))
        speed = min(abs(speed), float(UR5E.velocity_max.min()))
        acceleration = min(abs(acceleration), ACCELERATION_MAX_RAD_S2)
        ramp_s = min(speed / acceleration, (way / acceleration) ** 0.5)
        duration_s = way / (ramp_s * acceleration) + ramp_s if ramp_s > 0.0 else 0.0
        self._function = _Move(self.position.copy(), goal, ramp_s, duration_s)

    def hold(self, position: FloatArray) -> None:
        """Drop every motion and hold `position`, (6,) [rad], after a stop at the highest deceleration."""
        self.position = np.clip(position, UR5E.position_min, UR5E.position_max)
        self.stop(ACCELERATION_MAX_RAD_S2)

    @property
    def still(self) -> bool:
        """Whether the target stands still."""
        return bool(np.abs(self.velocity).max() < _STILL_RAD_S)

    @property
    def moved(self) -> bool:
        """Whether `move` has arrived."""
        return not isinstance(self._function, _Move) or self._function.time_s >= self._function.duration_s

    @property
    def at_speed(self) -> bool:
        """Whether `speed` has reached its goal."""
        return not isinstance(self._function, _Speed) or bool(np.allclose(self.velocity, self._function.goal))

    def advance(self, scaling: float) -> None:
        """One cycle. `scaling` in [0, 1] stretches time, as the speed slider does."""
        function, before = self._function, self.velocity
        step_s = CYCLE_S * scaling
        self.goal_distance = 0.0
        if isinstance(function, _Move):
            function.time_s += step_s
            position = function.start + function.fraction() * (function.goal - function.start)
            velocity = (position - self.position) / CYCLE_S
        else:
            if isinstance(function, _Speed):
                change = function.acceleration * CYCLE_S
                velocity = before + np.clip(function.goal * scaling - before, -change, change)
            else:
                velocity = self._servo_velocity(function, step_s, scaling)
            position = self.position + velocity * CYCLE_S
        self.acceleration = (velocity - before) / CYCLE_S
        self.position, self.velocity = position, velocity

    def _servo_velocity(self, servo: _Servo, step_s: float, scaling: float) -> FloatArray:
        """Velocity of the target under `servoj`, (6,) [rad/s]: lag of the look-ahead, then a limited P controller."""
        self.goal_distance = float(np.max(np.abs(servo.goal - self.position)))
        servo.smoothed = servo.smoothed + (servo.goal - servo.smoothed) * min(1.0, step_s / servo.lookahead_s)
        error = servo.smoothed - self.position
        wanted = error * min(servo.gain, 1.0 / CYCLE_S) * scaling
        # Never faster than what can still be braked before the goal.
        fastest = np.minimum(UR5E.velocity_max * scaling, np.sqrt(2.0 * ACCELERATION_MAX_RAD_S2 * np.abs(error)))
        wanted = np.clip(wanted, -fastest, fastest)
        change = ACCELERATION_MAX_RAD_S2 * CYCLE_S
        return self.velocity + np.clip(wanted - self.velocity, -change, change)


def _finite(goal: FloatArray, *numbers: float) -> None:
    if not (np.isfinite(goal).all() and np.isfinite(numbers).all()):
        raise ValueError(f"motion arguments must be finite, not {goal.tolist()} and {numbers}")
