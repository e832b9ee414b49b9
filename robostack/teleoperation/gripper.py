"""How fast a gripper is to move for what its operator says."""

from __future__ import annotations

import dataclasses

import numpy as np

from controllers.gripping import JawLimits, JawPlan, next_jaw
from hardware.records import RobotState
from hardware.spec import RobotSpec
from robostack.teleoperation.coupling import CouplingConfig

_ELSEWHERE_RAD = 0.3
"""A jaw this far from the set-point has been moved by someone else [rad]; otherwise the robot holds its set-point."""


class OperatorGripper:
    """Keeps the set-point just ahead of the jaw, so that holding something does not overload the servo.

    Args:
        spec: the robot.
        config: speeds.
    """

    def __init__(self, spec: RobotSpec, config: CouplingConfig) -> None:
        self.config = config
        self.index: int | None = None
        """Of the gripper's joint; None where the robot has none."""
        if config.gripper_joint in spec.joint_names:
            self.index = spec.joint_names.index(config.gripper_joint)
            self._joint = spec.joints[self.index]
        self._plan: JawPlan | None = None

    def velocity(self, opening: float | None, state: RobotState, factor: float) -> float:
        """Speed of the gripper's joint for one period [rad/s]; 0 where it stays.

        Args:
            opening: where it is to go, 0 closed to 1 open; None: it stays.
            state: newest measurement.
            factor: share of its speed.
        """
        if opening is None or self.index is None:
            self.release()
            return 0.0
        joint, config = self._joint, self.config
        jaw, speed = (np.float64(values[self.index]) for values in (state.joint_position, state.joint_velocity))
        span, reach = joint.position_max - joint.position_min, config.gripper_reach
        zero = np.float64(0.0)
        if self._plan is None or abs(float(self._plan.asked) - float(jaw)) > _ELSEWHERE_RAD:
            self._plan = JawPlan(jaw, zero, zero)
        goal = np.float64(joint.position_min + min(max(opening, 0.0), 1.0) * span)
        fastest = factor * min(config.gripper_speed * span, config.joint_speed_share * joint.velocity_max)
        limits = JawLimits(fastest, reach=reach, squeeze=config.gripper_squeeze)
        self._plan = next_jaw(self._plan, goal, jaw, speed, 1.0 / config.rate_hz, limits)
        return float(self._plan.speed)

    def release(self) -> None:
        """Nobody moves it now: the set-point comes to rest."""
        if self._plan is not None:
            zero = np.float64(0.0)
            self._plan = dataclasses.replace(self._plan, speed=zero, still_s=zero)
