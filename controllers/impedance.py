"""Cartesian impedance control: the tool hangs on springs and dampers at a moving target, so that contact stays gentle.

The law is the one that SERL runs on its robots (https://github.com/rail-berkeley/serl_franka_controllers): the error of
the pose is clipped before it meets the stiffness, so that the springs can never pull harder than stiffness times clip.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from controllers.reference import JointReference
from controllers.rotations import (
    matrix_from_quaternion,
    multiply_quaternions,
    quaternion_from_rotation_vector,
    rotation_error,
    rotation_vector_from_quaternion,
)
from hardware.arrays import Array, FloatArray, frozen, namespace
from hardware.errors import ConfigError
from hardware.spec import RobotSpec


@dataclass(frozen=True)
class ImpedanceConfig:
    """Springs and dampers of the tool, per axis of the target's frame: x, y, z, then rotation about x, y, z."""

    stiffness: tuple[float, float, float, float, float, float] = (1500.0, 1500.0, 1500.0, 150.0, 150.0, 150.0)
    """Stiffness [N/m], [Nm/rad]."""
    damping: tuple[float, float, float, float, float, float] = (150.0, 150.0, 150.0, 12.0, 12.0, 12.0)
    """Damping [N s/m], [Nm s/rad]; about 0.7 of critical for the 8 kg and 0.5 kg m^2 that a Panda shows its tool."""
    clip: tuple[float, float, float, float, float, float] = (0.03, 0.03, 0.03, 0.1, 0.1, 0.1)
    """Largest error that the springs see [m], [rad]. Stiffness times clip bounds the force of a contact at rest."""
    posture_stiffness: float = 0.5
    """Stiffness that keeps the joints near the posture they began in [Nm/rad]. It is not projected into the null space,
    so it must be weak: 0.5 rad away from the posture it moves the tool by 1.5 mm at most (a test measures it)."""
    posture_damping: float = 1.0
    """Damping of every joint [Nm s/rad]."""

    def __post_init__(self) -> None:
        """Check ranges.

        Raises:
            ConfigError: a value is not positive (posture: negative).
        """
        for name in ("stiffness", "damping", "clip"):
            values = getattr(self, name)
            if len(values) != 6 or not all(value > 0.0 for value in values):
                raise ConfigError(f"impedance: {name} = {values}; give six positive numbers (x, y, z, rotations)")
        if self.posture_stiffness < 0.0 or self.posture_damping < 0.0:
            raise ConfigError("impedance: posture_stiffness and posture_damping must not be negative")

    @property
    def force_max(self) -> FloatArray:
        """Largest spring force and torque per axis, (6,) [N], [Nm]: stiffness times clip."""
        return np.asarray(self.stiffness) * np.asarray(self.clip)


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolPoseReference(JointReference):
    """A pose for the tool under impedance control, reached by the target in a straight line within the horizon.

    `value` is NaN for the joints that follow the tool, so that no joint controller can take it for a joint reference;
    the other joints (a gripper) have their position in it. Mode is "position".
    """

    position: Array
    """(..., 3) in the base frame [m]."""
    quaternion: Array
    """(..., 4) in the base frame, w x y z."""


@dataclass(frozen=True, slots=True)
class ImpedanceLinearisation:
    """Derivatives of the torques (before their limits): change = position_gain dq + velocity_gain dqd."""

    position_gain: Array
    """(..., n, n) [Nm/rad]: -(J' R K_active R' J) - posture stiffness; a clipped axis no longer stiffens."""
    velocity_gain: Array
    """(..., n, n) [Nm s/rad]."""


class CartesianImpedanceController:
    """effort = J' R (K clip(R' e) - D R' v) + posture + bias, limited in size and in rate; one robot or many.

    e is the error of the tool's position and the rotation vector of its orientation error, v its velocity, R the
    orientation of the target, posture = k (q_0 - q) - d qd. `sim.impedance_actuators` expresses the same law, without
    the limit of the rate, as actuators of MuJoCo; a test holds both equal.

    Args:
        config: gains.
        effort_max: torque limits, (n,) [Nm].
        effort_rate_max: limit of the torques' rate of change, (n,) [Nm/s]; None: unlimited.
        period_s: period of the control cycle [s].
    """

    def __init__(
        self,
        config: ImpedanceConfig,
        effort_max: FloatArray,
        effort_rate_max: FloatArray | None = None,
        period_s: float = 0.001,
    ) -> None:
        self.config, self.period_s = config, period_s
        self.effort_max = frozen(effort_max)
        self._step_max = None if effort_rate_max is None else frozen(np.asarray(effort_rate_max) * period_s)
        self._gains = tuple(frozen(values) for values in (config.stiffness, config.damping, config.clip))
        self._posture: Array | None = None
        self._effort: Array | None = None

    def reset(self, joint_position: Array, effort: Array | None = None) -> None:
        """Take `joint_position` (..., n) [rad] as the posture; the rate is limited from `effort` (..., n) [Nm] on."""
        self._posture = joint_position
        self._effort = effort

    def wrench(
        self, position: Array, rotation: Array, velocity: Array, target_position: Array, target_rotation: Array
    ) -> Array:
        """Force and torque on the tool, in the base frame, (..., 6) [N], [Nm].

        Args:
            position: of the tool, (..., 3) [m].
            rotation: of the tool, (..., 3, 3).
            velocity: of the tool, linear then angular, (..., 6) [m/s], [rad/s].
            target_position: (..., 3) [m].
            target_rotation: (..., 3, 3).
        """
        xp = namespace(position)
        stiffness, damping, clip = (xp.asarray(gain.copy()) for gain in self._gains)
        error = _in_target(target_rotation, _pose_error(position, rotation, target_position, target_rotation))
        local = stiffness * xp.minimum(xp.maximum(error, -clip), clip)
        local = local - damping * _in_target(target_rotation, velocity)
        pairs = xp.reshape(local, (*local.shape[:-1], 2, 3))
        turned = (target_rotation[..., None, :, :] @ pairs[..., None])[..., 0]
        return xp.reshape(turned, local.shape)

    def effort(
        self,
        joint_position: Array,
        joint_velocity: Array,
        tool: tuple[Array, Array, Array],
        target: tuple[Array, Array],
        bias: Array | None = None,
    ) -> Array:
        """Torques of one control cycle, (..., n) [Nm]; to be called once per period.

        Args:
            joint_position: (..., n) [rad].
            joint_velocity: (..., n) [rad/s].
            tool: position (..., 3) [m], rotation (..., 3, 3), Jacobian (..., 6, n): `SerialChain.forward_and_jacobian`.
            target: position (..., 3) [m] and quaternion (..., 4) w x y z.
            bias: Coriolis and gravity torques to add where the robot does not compensate them, (..., n) [Nm].

        Raises:
            ConfigError: `reset` was not called.
        """
        if self._posture is None:
            raise ConfigError("impedance control needs a posture: call reset() first")
        xp = namespace(joint_position)
        position, rotation, jacobian = tool
        velocity = (jacobian @ joint_velocity[..., None])[..., 0]
        wrench = self.wrench(position, rotation, velocity, target[0], matrix_from_quaternion(target[1]))
        effort = (xp.matrix_transpose(jacobian) @ wrench[..., None])[..., 0]
        effort = effort + self.config.posture_stiffness * (self._posture - joint_position)
        effort = effort - self.config.posture_damping * joint_velocity
        if bias is not None:
            effort = effort + bias
        bound = xp.asarray(self.effort_max.copy())
        effort = xp.minimum(xp.maximum(effort, -bound), bound)
        if self._step_max is not None:
            step = xp.asarray(self._step_max.copy())
            before = self._effort if self._effort is not None else xp.zeros_like(effort)
            effort = before + xp.minimum(xp.maximum(effort - before, -step), step)
        self._effort = effort
        return effort

    def linearisation(self, tool: tuple[Array, Array, Array], target: tuple[Array, Array]) -> ImpedanceLinearisation:
        """Derivatives of the torques at rest, with the Jacobian held; arguments as `effort`."""
        position, rotation, jacobian = tool
        xp = namespace(position)
        turn = matrix_from_quaternion(target[1])
        stiffness, damping, clip = (xp.asarray(gain.copy()) for gain in self._gains)
        error = _in_target(turn, _pose_error(position, rotation, target[0], turn))
        active = xp.where(xp.abs(error) < clip, stiffness, xp.zeros_like(error))
        transposed = xp.matrix_transpose(turn)
        local = xp.concat([transposed @ jacobian[..., :3, :], transposed @ jacobian[..., 3:, :]], axis=-2)
        back = xp.matrix_transpose(local)
        identity = xp.eye(jacobian.shape[-1], dtype=jacobian.dtype)
        return ImpedanceLinearisation(
            position_gain=-(back @ (active[..., None] * local)) - self.config.posture_stiffness * identity,
            velocity_gain=-(back @ (damping[..., None] * local)) - self.config.posture_damping * identity,
        )


def impedance_spec(spec: RobotSpec, config: ImpedanceConfig) -> RobotSpec:
    """The robot with the gains that its joints have under impedance control.

    Revolute joints follow the tool and get the posture gains; prismatic ones, a gripper, keep their own servo.
    """
    joints = tuple(
        dataclasses.replace(joint, stiffness=config.posture_stiffness, damping=config.posture_damping)
        if joint.kind == "revolute"
        else joint
        for joint in spec.joints
    )
    return dataclasses.replace(spec, joints=joints)


def between_poses(start: Array, end: Array, fractions: Array) -> Array:
    """Poses on the way from `start` to `end`: straight, and turning about one axis at constant speed.

    Args:
        start: (..., 7): position [m], quaternion w x y z.
        end: (..., 7).
        fractions: (k,) of the way, 0 to 1.

    Returns:
        (..., k, 7).
    """
    xp = namespace(start)
    share = fractions[:, None]
    position = start[..., None, :3] + share * (end - start)[..., None, :3]
    turn = rotation_vector_from_quaternion(_relative(start[..., 3:], end[..., 3:]))
    partial = quaternion_from_rotation_vector(share * turn[..., None, :])
    quaternion = multiply_quaternions(xp.broadcast_to(start[..., None, 3:], partial.shape), partial)
    return xp.concat([position, quaternion], axis=-1)


def _relative(start: Array, end: Array) -> Array:
    """Rotation from `start` to `end` seen in the frame of `start`: conj(start) end."""
    inverse = namespace(start).concat([start[..., :1], -start[..., 1:]], axis=-1)
    return multiply_quaternions(inverse, end)


def _pose_error(position: Array, rotation: Array, target_position: Array, target_rotation: Array) -> Array:
    """Position error and rotation vector from the tool to the target, in the base frame, (..., 6)."""
    return namespace(position).concat([target_position - position, rotation_error(target_rotation, rotation)], axis=-1)


def _in_target(target_rotation: Array, vectors: Array) -> Array:
    """Both halves of (..., 6) seen in the target's frame."""
    library = namespace(vectors)
    pairs = library.reshape(vectors, (*vectors.shape[:-1], 2, 3))
    turned = (library.matrix_transpose(target_rotation)[..., None, :, :] @ pairs[..., None])[..., 0]
    return library.reshape(turned, vectors.shape)
