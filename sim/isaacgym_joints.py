"""What the actuators and joints of a MuJoCo model become in Isaac Gym: one implicit drive per joint.

The torque of a MuJoCo actuator is affine in its input, in position and in velocity; a joint adds damping and a spring:

    tau = gear (g u + b0) + (gear^2 b1 - k_spring) q + (gear^2 b2 - D) v + k_spring q_spring,

so that a drive with stiffness K = k_spring - gear^2 b1 and damping B = D - gear^2 b2 gives it, K q and B v implicitly,
and what is left is a `feed` that depends on the input alone.
"""

from __future__ import annotations

import mujoco
import numpy as np
from numpy.typing import NDArray

from hardware.arrays import Array, FloatArray
from hardware.errors import ConfigError
from sim.expanded_fields import ExpandedFields
from sim.isaacgym_scene import ENGINE
from sim.model_binding import CoupledJoint, ModelBinding

_UNLIMITED = 1e9
_POSES = 32
"""Configurations in which the inertia that a joint feels is looked at."""


class JointLaws:
    """Laws of all joints of a scene, per simulation.

    Args:
        model: the model.
        binding: where the robot is in it.
        joints: the scene's joints, in the order of all joint arrays.
        count: number of simulations.

    Raises:
        ConfigError: an actuator or a coupling that a drive cannot follow.
    """

    def __init__(self, model: mujoco.MjModel, binding: ModelBinding, joints: NDArray[np.intp], count: int) -> None:
        self._model, self._joints, self._dofs = model, joints, model.jnt_dofadr[joints]
        self._actuators = binding.actuators
        self.own = np.array([list(self._dofs).index(dof) for dof in binding.dofs], dtype=np.intp)
        """Where the robot's joints are among the scene's."""
        self._driven = self.own[binding.actuated]
        self._gain = np.zeros((count, len(binding.actuators)))
        self._offset = np.zeros((count, len(joints)))
        self._stopping = stopping_damping(model, self._dofs)
        self._bounds = self._effort_bounds(binding.servo)
        self._mix, self._couplings = (
            np.eye(len(joints)),
            [(list(self._dofs).index(joint.qvel), int(self.own[joint.joint]), joint) for joint in binding.coupled],
        )
        for follower, leader, joint in self._couplings:
            slope = _slope(model, joint)
            self._mix[leader, leader], self._mix[leader, follower] = 0.5, 0.5 / slope

    def configure(self, fields: ExpandedFields, rows: NDArray[np.intp]) -> dict[str, FloatArray]:
        """Properties of the joints of simulations for `sim.isaacgym_worker`, each (k, num_joints)."""
        model, which, driven, shape = self._model, self._actuators, self._driven, (len(rows), len(self._joints))
        gear = model.actuator_gear[which, 0]
        bias = fields.rows("actuator_biasprm", rows)[:, which]
        stiffness, servo_damping, constant = np.zeros(shape), np.zeros(shape), np.zeros(shape)
        stiffness[:, driven], servo_damping[:, driven] = -(gear**2) * bias[..., 1], -(gear**2) * bias[..., 2]
        self._gain[rows] = gear * fields.rows("actuator_gainprm", rows)[:, which, 0]
        constant[:, driven] = gear * bias[..., 0]
        spring = model.jnt_stiffness[self._joints].reshape(shape[1], -1)[:, 0]
        constant += spring * model.qpos_spring[model.jnt_qposadr[self._joints]]
        stiffness = stiffness + spring
        effort = np.where(stiffness > 0.0, self._bounds[:, 1], _UNLIMITED)
        for follower, leader, joint in self._couplings:
            self._share(joint, follower, leader, {"k": stiffness, "d": servo_damping, "c": constant, "f": effort})
        self._offset[rows] = constant
        damping = fields.rows("dof_damping", rows)[:, self._dofs].reshape(*shape, -1)[..., 0]
        limited = model.jnt_limited[self._joints].astype(bool)[:, None]
        limits = np.where(limited, model.jnt_range[self._joints], [-_UNLIMITED, _UNLIMITED])
        return {
            "stiffness": stiffness,
            "damping": servo_damping + damping,
            "servo_damping": servo_damping,
            "effort": effort,
            "armature": fields.rows("dof_armature", rows)[:, self._dofs],
            "loss": fields.rows("dof_frictionloss", rows)[:, self._dofs],
            "stopping": np.broadcast_to(self._stopping, shape),
            "lower": np.broadcast_to(limits[:, 0], shape),
            "upper": np.broadcast_to(limits[:, 1], shape),
        }

    def feed(self, control: Array) -> FloatArray:
        """Torque that depends on the inputs alone, (count, steps, num_joints), of inputs (count, steps, actuators)."""
        model, which = self._model, self._actuators
        limited = model.actuator_ctrllimited[which].astype(bool)
        low, high = model.actuator_ctrlrange[which].T
        given = np.where(limited, np.clip(control, low, high), control) * self._gain[:, None]
        free = ~self._servo
        given[..., free] = np.clip(given[..., free], *self._bounds[self._driven[free]].T)
        torque = np.zeros((*given.shape[:2], len(self._joints)))
        torque[..., self._driven] = given
        return torque @ self._mix + self._offset[:, None]

    def actuator_effort(self, applied: FloatArray) -> FloatArray:
        """Torque of each actuator on its joint, (count, actuators), of that of the drives (count, num_joints)."""
        total = applied.copy()
        for follower, leader, joint in self._couplings:
            total[:, leader] += _slope(self._model, joint) * total[:, follower]
        return total[:, self._driven]

    def _share(self, joint: CoupledJoint, follower: int, leader: int, parts: dict[str, FloatArray]) -> None:
        """Half of a leader's actuator to its follower, of which a movement is `slope` times the leader's."""
        slope = _slope(self._model, joint)
        for name, power in (("k", 2), ("d", 2), ("f", 1)):
            half = 0.5 * parts[name][:, leader]
            parts[name][:, leader], parts[name][:, follower] = half, half / abs(slope) ** power
        shift = joint.reference[0] + joint.coefficients[0] - slope * joint.reference[1]
        parts["c"][:, leader] *= 0.5
        parts["c"][:, follower] = parts["k"][:, follower] * shift + parts["c"][:, leader] / slope

    def _effort_bounds(self, servo: NDArray[np.bool_]) -> FloatArray:
        """Bounds of the actuators' torque by joint, (num_joints, 2).

        Raises:
            ConfigError: a servo with other bounds on one side than on the other.
        """
        model, which = self._model, self._actuators
        self._servo = servo
        bounds = np.tile([-_UNLIMITED, _UNLIMITED], (len(self._joints), 1))
        limited = model.jnt_actfrclimited[self._joints].astype(bool)
        bounds[limited] = model.jnt_actfrcrange[self._joints][limited]
        own = np.where(model.actuator_forcelimited[which, None], model.actuator_forcerange[which], [-np.inf, np.inf])
        own = np.sort(own * model.actuator_gear[which, 0, None], axis=1)
        bounds[self._driven, 0] = np.maximum(bounds[self._driven, 0], own[:, 0])
        bounds[self._driven, 1] = np.minimum(bounds[self._driven, 1], own[:, 1])
        if not np.allclose(bounds[self._driven[servo]].sum(axis=1), 0.0):
            raise ConfigError(f"the engine '{ENGINE}' needs servos with the same torque limit in both directions")
        return bounds


def stopping_damping(model: mujoco.MjModel, dofs: NDArray[np.intp]) -> FloatArray:
    """Damping that stops a joint within one physics step without pushing it back, (n,) [Nm s/rad].

    It is the smallest inertia that the joint feels while the others are free, 1 / (M^-1)_ii, over the step.
    """
    data, found = mujoco.MjData(model), np.full(len(dofs), np.inf)
    rng = np.random.default_rng(0)
    low, high = np.where(model.jnt_limited[:, None].astype(bool), model.jnt_range, [-np.pi, np.pi]).T
    scalar = model.jnt_type >= int(mujoco.mjtJoint.mjJNT_SLIDE)
    for _ in range(_POSES if len(dofs) else 0):
        data.qpos[:] = model.qpos0
        data.qpos[model.jnt_qposadr[scalar]] = rng.uniform(low, high)[scalar]
        mujoco.mj_forward(model, data)
        inverse = np.eye(model.nv)
        mujoco.mj_solveM(model, data, inverse, np.eye(model.nv))
        found = np.minimum(found, 1.0 / np.diag(inverse)[dofs])
    return found / float(model.opt.timestep)


def _slope(model: mujoco.MjModel, joint: CoupledJoint) -> float:
    """Movement of a coupled joint per movement of the one it follows.

    Raises:
        ConfigError: it is not constant.
    """
    if any(joint.coefficients[2:]) or not joint.coefficients[1]:
        name = mujoco.mj_id2name(
            model, mujoco.mjtObj.mjOBJ_JOINT, int(np.flatnonzero(model.jnt_qposadr == joint.qpos)[0])
        )
        raise ConfigError(f"the engine '{ENGINE}' needs a linear equality for the joint '{name}'")
    return joint.coefficients[1]
