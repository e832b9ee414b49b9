"""Differential inverse kinematics: tool poses and tool velocities to joint velocities, as one small quadratic program.

The program is mink's (https://github.com/kevinzakka/mink), solved by DAQP: least-squares tracking of the tool's motion
under joint position and velocity limits, so that a limit bends the motion instead of stopping it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import mink
import mujoco
import numpy as np
import qpsolvers

from controllers.reference import JointReference, ToolReference
from controllers.rotations import matrix_from_quaternion, matrix_from_rotation_vector, rotation_error
from hardware.arrays import FloatArray
from hardware.errors import ConfigError, UnknownNameError
from hardware.spec import RobotSpec


@dataclass(frozen=True)
class CartesianConfig:
    """How the tool is moved."""

    gain: float = 4.0
    """Share of the remaining pose error that is corrected per second [1/s]."""
    linear_speed_max: float = 0.25
    """Largest speed of the tool on its way to a pose [m/s]."""
    angular_speed_max: float = 1.0
    """Largest turning speed of the tool on its way to a pose [rad/s]."""
    position_margin: float = 0.03
    """Distance kept from the joint limits [rad]; a little more than the safety filter keeps."""
    velocity_share: float = 0.8
    """Share of the joints' velocity limits that may be used."""
    orientation_weight: float = 0.3
    """Weight of a rotation error of 1 rad against a position error of 1 m."""
    damping: float = 1e-5
    """Damping of the least squares; bounds joint speeds near a singular pose at the price of a small error."""


@dataclass(frozen=True, slots=True)
class InverseKinematicsResult:
    """Outcome of one step."""

    reference: JointReference
    """Joint velocities; zero where there is no solution."""
    reason: str | None = None
    """Why there is none; None where there is."""


class DifferentialInverseKinematics:
    """Turns motions of the tool into joint velocities of one robot. Never raises once it is made.

    Args:
        model: the robot's MJCF file.
        spec: the robot; its base frame must be a fixed body (or "world") and its tool frame a site of the model.
        config: speeds, margins and weights.

    Raises:
        ConfigError: the robot has no tool frame.
        UnknownNameError: the model lacks a joint or a frame of `spec`.
    """

    def __init__(self, model: Path, spec: RobotSpec, config: CartesianConfig | None = None) -> None:
        if spec.tool_frame is None:
            raise ConfigError(f"{spec.name} has no tool frame; inverse kinematics needs one")
        self.spec, self.config = spec, config if config is not None else CartesianConfig()
        compiled = mujoco.MjModel.from_xml_path(str(model))
        joints = {compiled.joint(index).name: index for index in range(compiled.njnt)}
        for name in spec.joint_names:
            if name not in joints:
                raise UnknownNameError("joint of the model", name, joints)
        bodies = [compiled.body(index).name for index in range(compiled.nbody)]
        if spec.base_frame not in bodies:
            raise UnknownNameError("body of the model", spec.base_frame, bodies)
        sites = [compiled.site(index).name for index in range(compiled.nsite)]
        if spec.tool_frame not in sites:
            raise UnknownNameError("site of the model", spec.tool_frame, sites)
        ids = [joints[name] for name in spec.joint_names]
        self._positions = compiled.jnt_qposadr[ids]
        self._velocities = compiled.jnt_dofadr[ids]
        self._configuration = mink.Configuration(compiled)
        self._q = self._configuration.q.copy()
        self._base = np.array(self._configuration.data.body(spec.base_frame).xmat).reshape(3, 3)
        self._base_origin = np.array(self._configuration.data.body(spec.base_frame).xpos)
        self._task = mink.FrameTask(spec.tool_frame, "site", 1.0, self.config.orientation_weight)
        bounds = mink.ConfigurationLimit(compiled)
        bounds.lower[self._positions] = spec.position_min + self.config.position_margin
        bounds.upper[self._positions] = spec.position_max - self.config.position_margin
        speeds = self.config.velocity_share * spec.velocity_max
        self._limits = [
            bounds,
            mink.VelocityLimit(compiled, dict(zip(spec.joint_names, speeds.tolist(), strict=True))),
        ]

    def tool_pose(self, joint_position: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Position (3,) [m] and rotation matrix (3, 3) of the tool in the base frame."""
        self._update(joint_position)
        site = self._configuration.data.site(self.spec.tool_frame)
        return self._base.T @ (site.xpos - self._base_origin), self._base.T @ site.xmat.reshape(3, 3)

    def toward(
        self, position: FloatArray, quaternion: FloatArray, joint_position: FloatArray, horizon_s: float
    ) -> InverseKinematicsResult:
        """Joint velocities that bring the tool nearer to a pose, straight and at bounded speed.

        Args:
            position: (3,) in the base frame [m].
            quaternion: (4,) in the base frame, w x y z.
            joint_position: present joint positions, (n,) [rad].
            horizon_s: time for which the velocities are meant [s].
        """
        current, rotation = self.tool_pose(joint_position)
        config = self.config
        gain = min(config.gain, 1.0 / horizon_s)
        linear = gain * (position - current)
        angular = gain * rotation_error(matrix_from_quaternion(quaternion), rotation)
        linear = linear * min(1.0, config.linear_speed_max / max(float(np.linalg.norm(linear)), 1e-12))
        angular = angular * min(1.0, config.angular_speed_max / max(float(np.linalg.norm(angular)), 1e-12))
        return self.follow(ToolReference(linear, angular, horizon_s), joint_position)

    def follow(self, reference: ToolReference, joint_position: FloatArray) -> InverseKinematicsResult:
        """Joint velocities for a velocity of the tool.

        Args:
            reference: velocity of the tool in the base frame; its horizon and time of creation are kept.
            joint_position: present joint positions, (n,) [rad].
        """
        horizon = reference.horizon_s
        given = np.concatenate([reference.linear_velocity, reference.angular_velocity, joint_position])
        if not (np.isfinite(given).all() and horizon > 0.0):
            return self._none(
                reference, "the reference or the joint positions are not finite, or the horizon not positive"
            )
        position, rotation = self.tool_pose(joint_position)
        turned = matrix_from_rotation_vector(horizon * reference.angular_velocity) @ rotation
        moved = position + horizon * reference.linear_velocity
        pose = np.eye(4)
        pose[:3, :3], pose[:3, 3] = self._base @ turned, self._base @ moved + self._base_origin
        self._task.set_target(mink.SE3.from_matrix(pose))
        problem = mink.build_ik(self._configuration, [self._task], horizon, self.config.damping, self._limits)
        solution = qpsolvers.solve_problem(problem, solver="daqp")
        if not solution.found or solution.x is None:
            return self._none(
                reference, "no joint velocity keeps all limits; move the robot back inside its joint limits"
            )
        velocity = np.asarray(solution.x, dtype=np.float64)[self._velocities] / horizon
        return InverseKinematicsResult(JointReference("velocity", velocity, horizon, created_s=reference.created_s))

    def _update(self, joint_position: FloatArray) -> None:
        self._q[self._positions] = joint_position
        self._configuration.update(self._q)

    def _none(self, reference: ToolReference, reason: str) -> InverseKinematicsResult:
        zero = np.zeros(len(self.spec.joints))
        still = JointReference("velocity", zero, max(reference.horizon_s, 0.0), created_s=reference.created_s)
        return InverseKinematicsResult(still, reason)
