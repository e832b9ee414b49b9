"""A leader arm moves a robot joint by joint: first they are aligned, then coupled, without a jump in between."""

from __future__ import annotations

import math

import numpy as np

from controllers.reference import JointReference
from hardware.arrays import FloatArray
from hardware.records import RobotState
from hardware.spec import RobotSpec
from hardware.teleoperator import OperatorCommand
from robostack.teleoperation.coupling import Coupled, CouplingConfig

_PERIODS_MAX = 5
"""A gap between two steps counts as this many periods at most."""


class JointCoupling:
    """See the module.

    The set-point begins at the measured pose and follows the leader through a critically damped filter,
    x'' = w^2 (leader - x) - 2 w x' with w = 2 pi smoothing_hz, whose speed and acceleration are bounded. Until every
    joint was within the tolerance once, that bound is `align_speed` ("move"), or the robot holds ("wait").

    Args:
        spec: the robot.
        config: limits.
    """

    def __init__(self, spec: RobotSpec, config: CouplingConfig) -> None:
        self.spec, self.config = spec, config
        self._position: FloatArray | None = None
        self._velocity: FloatArray = np.zeros(len(spec.joints))
        self._aligned = False
        self._stepped_s = 0.0

    def step(self, command: OperatorCommand, state: RobotState, factor: float, now_s: float) -> Coupled:
        """See `Coupling.step`."""
        measured = np.asarray(state.joint_position, dtype=np.float64)
        leader = np.asarray(command.joint_position, dtype=np.float64)
        if leader.shape != measured.shape:
            return Coupled(None, False, f"the leader has {leader.size} joints, {self.spec.name} has {measured.size}")
        leader = np.clip(leader, self.spec.position_min, self.spec.position_max)
        away = np.abs(leader - (measured if self._position is None else self._position))
        self._aligned = self._aligned or bool(np.max(away) <= self.config.align_tolerance)
        worst = self.spec.joint_names[int(np.argmax(away))]
        if not self._aligned and self.config.align == "wait":
            return Coupled(None, False, f"bring the leader to the robot: {worst} is {np.max(away):.2f} rad away")
        period_s = 1.0 / self.config.rate_hz
        if self._position is None:
            self._position, self._velocity, self._stepped_s = measured.copy(), np.zeros_like(measured), now_s - period_s
        self._advance(leader, factor, min(now_s - self._stepped_s, _PERIODS_MAX * period_s))
        self._stepped_s = now_s
        ahead_s = max(self.config.lookahead_s, period_s)
        goal = self._position + (ahead_s - period_s) * self._velocity  # the filter is one period ahead already
        goal = np.clip(goal, self.spec.position_min, self.spec.position_max)
        reference = JointReference("position", goal, ahead_s, self._velocity.copy(), now_s)
        return Coupled(reference, True, "" if self._aligned else f"aligning: {worst} is {np.max(away):.2f} rad away")

    def release(self) -> None:
        """The next command begins at the measured pose, and aligns again."""
        self._position, self._aligned = None, False

    def _advance(self, leader: FloatArray, factor: float, duration_s: float) -> None:
        """Move the set-point on, in steps short against the filter's time constant."""
        fastest = self.config.joint_speed_share * self.spec.velocity_max * factor
        if not self._aligned:
            fastest = np.minimum(fastest, self.config.align_speed)
        omega = 2.0 * math.pi * self.config.smoothing_hz
        count = max(1, math.ceil(duration_s * omega * 10.0))
        step_s = duration_s / count
        position, velocity = self._position if self._position is not None else leader, self._velocity
        for _ in range(count):
            acceleration = omega**2 * (leader - position) - 2.0 * omega * velocity
            acceleration = np.clip(acceleration, -self.spec.acceleration_max, self.spec.acceleration_max)
            velocity = np.clip(velocity + step_s * acceleration, -fastest, fastest)
            position = position + step_s * velocity
        self._position = np.clip(position, self.spec.position_min, self.spec.position_max)
        self._velocity = velocity
