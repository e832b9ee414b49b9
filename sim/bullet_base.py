"""The floating base of a robot in PyBullet: where it is, how it moves, and the rigid-body dynamics of the whole robot.

PyBullet's inverse dynamics of a robot with a floating base takes no attitude of the base. So for such robots the mass
matrix M and the bias c come from MuJoCo's functions at PyBullet's state: they are facts of the same rigid bodies, equal
to 1e-7 for robots with a fixed base. Contacts, limits and the integration stay PyBullet's.
"""

from __future__ import annotations

from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from hardware.arrays import FloatArray
from sim.urdf import Placed, frame_of

DOFS = 6
"""Degrees of freedom of a floating base, in MuJoCo's order: linear in the world, angular in its own frame."""


class FloatingBase:
    """The base of a robot in one client.

    Args:
        p: the module pybullet.
        client: its client.
        body: the robot's body there.
        model: the model.
        root: the base's body in the model.
    """

    def __init__(self, p: Any, client: int, body: int, model: mujoco.MjModel, root: int) -> None:
        self._p, self._client, self._body, self._model = p, client, body, model
        self._joint = int(model.body_jntadr[root])
        self._inertial = frame_of(model.body_ipos[root], model.body_iquat[root])
        self._data = mujoco.MjData(model)
        mujoco.mj_setConst(model, self._data)

    @property
    def qpos(self) -> slice:
        """Its columns of the model's qpos."""
        first = int(self._model.jnt_qposadr[self._joint])
        return slice(first, first + 7)

    @property
    def qvel(self) -> slice:
        """Its columns of the model's qvel."""
        first = int(self._model.jnt_dofadr[self._joint])
        return slice(first, first + DOFS)

    def put(self, qpos: FloatArray, qvel: FloatArray) -> None:
        """Put it at a pose (7,) with a velocity (6,), as the model has them."""
        place = frame_of(qpos[:3], qpos[3:])
        there = place @ self._inertial
        position, quaternion = there.position.tolist(), there.rotation.as_quat().tolist()
        self._p.resetBasePositionAndOrientation(self._body, position, quaternion, physicsClientId=self._client)
        angular = place.rotation.apply(qvel[3:])
        linear = qvel[:3] + np.cross(angular, place.rotation.apply(self._inertial.position))
        self._p.resetBaseVelocity(self._body, linear.tolist(), angular.tolist(), physicsClientId=self._client)

    def state(self) -> tuple[FloatArray, FloatArray]:
        """Its pose (7,) and velocity (6,), as the model has them; PyBullet gives those of the centre of mass."""
        position, quaternion = self._p.getBasePositionAndOrientation(self._body, physicsClientId=self._client)
        linear, angular = self._p.getBaseVelocity(self._body, physicsClientId=self._client)
        rotation = Rotation.from_quat(quaternion) * self._inertial.rotation.inv()
        lever = rotation.apply(self._inertial.position)
        place = Placed(np.array(position) - lever, rotation)
        pose = np.concatenate([place.position, rotation.as_quat(canonical=True, scalar_first=True)])
        return pose, np.concatenate([linear - np.cross(angular, lever), rotation.inv().apply(angular)])

    def dynamics(
        self, columns: NDArray[np.intp], dofs: NDArray[np.intp], position: FloatArray, velocity: FloatArray
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Mass matrix (6 + n, 6 + n), bias and gravity alone (6 + n,): base first, then the joints `dofs`, (n,).

        Args:
            columns: the joints' columns of qpos, (n,).
            dofs: their columns of qvel, (n,).
            position: joint positions, (n,) [rad].
            velocity: joint velocities, (n,) [rad/s].
        """
        model, data = self._model, self._data
        pose, speed = self.state()
        data.qpos[self.qpos], data.qpos[columns] = pose, position
        data.qvel[self.qvel], data.qvel[dofs] = speed, velocity
        mujoco.mj_kinematics(model, data)
        mujoco.mj_comPos(model, data)
        mujoco.mj_crb(model, data)
        mujoco.mj_comVel(model, data)
        own = np.concatenate([np.arange(self.qvel.start, self.qvel.stop), dofs])
        bias, gravity, mass = np.zeros(model.nv), np.zeros(model.nv), np.zeros((model.nv, model.nv))
        mujoco.mj_rne(model, data, 0, bias)
        data.qvel[:] = 0.0
        mujoco.mj_comVel(model, data)
        mujoco.mj_rne(model, data, 0, gravity)
        mujoco.mj_fullM(model, data, mass)
        mass[np.diag_indices(model.nv)] -= model.dof_armature
        return mass[np.ix_(own, own)], bias[own], gravity[own]
