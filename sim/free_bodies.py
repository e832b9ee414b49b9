"""Bodies of a model that are neither of the robot nor fixed: objects and mocap bodies; and the hand's second finger."""

from __future__ import annotations

from collections.abc import Mapping

import mujoco
import numpy as np
from mujoco.batch import Batch
from numpy.typing import NDArray

from hardware.arrays import Array, FloatArray
from hardware.errors import UnknownNameError
from sim.model_binding import ModelBinding

Rows = slice | NDArray[np.intp]


class FreeBodies:
    """Reads and writes poses in the base frame, (k, 7): position [m], quaternion w x y z.

    Args:
        batch: the simulations.
        binding: where things are in the model.
    """

    def __init__(self, batch: Batch, binding: ModelBinding) -> None:
        model = batch.get_model(0)
        self._binding = binding
        self._qpos, self._qvel = batch.bind("qpos"), batch.bind("qvel")
        self._mocap = {
            str(mujoco.mj_id2name(model, mujoco.mjtObj.mjOBJ_BODY, body)): int(model.body_mocapid[body])
            for body in np.flatnonzero(model.body_mocapid >= 0)
        }
        self._free = {found.name: found for found in binding.objects if found.qpos is not None}
        if self._mocap:
            self._mocap_position, self._mocap_quaternion = batch.bind("mocap_pos"), batch.bind("mocap_quat")
        self.width = 7 * len(self._mocap)
        """Numbers per physics step that move the mocap bodies: all positions, then all quaternions."""
        rotation = np.zeros(9)
        mujoco.mju_quat2Mat(rotation, binding.base_quaternion)
        self._rotation, self._origin = rotation.reshape(3, 3), binding.base_position
        self._left = left_product(binding.base_quaternion).T
        self._left_inverse = left_product(binding.base_quaternion * np.array([1.0, -1.0, -1.0, -1.0])).T
        self._base_is_world = not self._origin.any() and bool(binding.base_quaternion[0] == 1.0)

    def poses(self) -> dict[str, FloatArray] | None:
        """Pose of every object of all simulations, (count, 7); None for a model without objects."""
        if not self._binding.objects:
            return None
        found = {}
        for body in self._binding.objects:
            if body.qpos is not None:
                pose = self._qpos[:, body.qpos : body.qpos + 7].copy()
            else:
                pose = np.concatenate(
                    [self._mocap_position[:, body.mocap], self._mocap_quaternion[:, body.mocap]], axis=1
                )
            found[body.name] = pose if self._base_is_world else self._to_base(pose)
        return found

    def put(self, name: str, rows: Rows, pose: Array) -> None:
        """Put a body of the simulations `rows` at `pose`, (k, 7) in the base frame, at rest.

        Raises:
            UnknownNameError: there is no such body.
        """
        world = pose if self._base_is_world else self._to_world(pose)
        if name in self._free:
            body = self._free[name]
            first, velocity = body.qpos or 0, body.qvel or 0
            self._qpos[rows, first : first + 7] = world
            self._qvel[rows, velocity : velocity + 6] = 0.0
        elif name in self._mocap:
            self._mocap_position[rows, self._mocap[name]] = world[..., :3]
            self._mocap_quaternion[rows, self._mocap[name]] = world[..., 3:]
        else:
            raise UnknownNameError("object of the model", name, {**self._free, **self._mocap})

    def write_path(self, columns: FloatArray, paths: Mapping[str, Array]) -> None:
        """Fill the inputs of a rollout, (count, steps, width), with poses of mocap bodies, (count, steps + 1, 7).

        The last pose of a path is left out; bodies without a path stay where they are.
        """
        split = 3 * len(self._mocap)
        count, steps = columns.shape[:2]
        position = columns[..., :split].reshape(count, steps, -1, 3)
        quaternion = columns[..., split:].reshape(count, steps, -1, 4)
        position[:] = self._mocap_position[:, None]
        quaternion[:] = self._mocap_quaternion[:, None]
        for name, path in paths.items():
            if name not in self._mocap:
                raise UnknownNameError("mocap body of the model", name, self._mocap)
            world = path[:, :-1] if self._base_is_world else self._to_world(path[:, :-1])
            position[:, :, self._mocap[name]] = world[..., :3]
            quaternion[:, :, self._mocap[name]] = world[..., 3:]
        columns[..., :split] = position.reshape(count, steps, -1)
        columns[..., split:] = quaternion.reshape(count, steps, -1)

    def couple(self, rows: Rows, position: FloatArray, velocity: FloatArray) -> None:
        """Put the joints that follow joints of the robot where these are, (k, num_joints) [rad] or [m], per second."""
        for joint in self._binding.coupled:
            coupled, own = joint.reference
            shift = position[..., joint.joint] - own
            polynomial = np.polynomial.Polynomial(joint.coefficients)
            self._qpos[rows, joint.qpos] = coupled + polynomial(shift)
            self._qvel[rows, joint.qvel] = polynomial.deriv()(shift) * velocity[..., joint.joint]

    def _to_base(self, pose: Array) -> FloatArray:
        position = (pose[..., :3] - self._origin) @ self._rotation
        return np.concatenate([position, pose[..., 3:] @ self._left_inverse], axis=-1)

    def _to_world(self, pose: Array) -> FloatArray:
        position = pose[..., :3] @ self._rotation.T + self._origin
        return np.concatenate([position, pose[..., 3:] @ self._left], axis=-1)


def left_product(quaternion: FloatArray) -> FloatArray:
    """The matrix L with L p = quaternion * p (Hamilton product), (4, 4)."""
    w, x, y, z = quaternion
    return np.array([[w, -x, -y, -z], [x, w, -z, y], [y, z, w, -x], [z, -y, x, w]])
