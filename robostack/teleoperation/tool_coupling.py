"""A tool velocity from an operator becomes joint velocities, by differential inverse kinematics."""

from __future__ import annotations

import numpy as np

from controllers.cartesian import CartesianConfig, DifferentialInverseKinematics
from controllers.reference import JointReference, ToolReference
from hardware.arrays import FloatArray
from hardware.records import RobotState
from hardware.robot import RobotEntry
from hardware.teleoperator import OperatorCommand
from robostack.teleoperation.coupling import Coupled, CouplingConfig, shortened
from robostack.teleoperation.gripper import OperatorGripper

_WALL_GAIN = 4.0
"""Largest speed towards a wall of the workspace, per metre of distance from it [1/s]."""
_WALL_MARGIN_M = 0.02
"""Distance from the walls of the workspace at which the tool comes to rest [m]."""


class ToolCoupling:
    """See the module. Every period begins at the measured joint positions.

    Args:
        entry: the robot; has a tool.
        config: limits.
    """

    def __init__(self, entry: RobotEntry, config: CouplingConfig) -> None:
        self.spec, self.config = entry.spec, config
        arm = [name for name in entry.spec.joint_names if name != config.gripper_joint]
        # With fewer than six joints position and orientation cannot both be had: the position wins.
        weight = 0.3 if len(arm) >= 6 else 0.02
        settings = CartesianConfig(velocity_share=config.joint_speed_share, orientation_weight=weight)
        self._kinematics = DifferentialInverseKinematics(entry.model, entry.spec, settings)
        self._gripper = OperatorGripper(entry.spec, config)

    def step(self, command: OperatorCommand, state: RobotState, factor: float, now_s: float) -> Coupled:
        """See `Coupling.step`."""
        position = np.asarray(state.joint_position, dtype=np.float64)
        linear, angular = (
            np.zeros(3) if part is None else np.asarray(part, dtype=np.float64)
            for part in (command.tool_linear_velocity, command.tool_angular_velocity)
        )
        linear = self._inside(factor * shortened(linear, self.config.linear_speed_max), position)
        angular = factor * shortened(angular, self.config.angular_speed_max)
        period_s = 1.0 / self.config.rate_hz
        result = self._kinematics.follow(ToolReference(linear, angular, period_s, now_s), position)
        velocity = np.array(result.reference.value, dtype=np.float64)
        if self._gripper.index is not None:
            velocity[self._gripper.index] = self._gripper.velocity(command.gripper, state, factor)
        return Coupled(JointReference("velocity", velocity, period_s, created_s=now_s), True, result.reason or "")

    def release(self) -> None:
        """The gripper keeps its set-point; nothing else is kept between periods."""
        self._gripper.release()

    def _inside(self, linear: FloatArray, position: FloatArray) -> FloatArray:
        """Slower towards the walls of the workspace (a velocity damper), so that the safety filter need not stop it."""
        low, high = self.spec.workspace_min, self.spec.workspace_max
        if low is None or high is None:
            return linear
        tool, _ = self._kinematics.tool_pose(position)
        slowest = np.minimum((np.array(low) + _WALL_MARGIN_M - tool) * _WALL_GAIN, 0.0)
        fastest = np.maximum((np.array(high) - _WALL_MARGIN_M - tool) * _WALL_GAIN, 0.0)
        return np.clip(linear, slowest, fastest)
