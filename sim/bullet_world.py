"""One simulation in PyBullet of a robot whose model is MuJoCo's: a second opinion on the same numbers.

PyBullet computes kinematics, mass matrix, inverse dynamics, contacts, joint limits and the integration. It has neither
armature, nor servos with MuJoCo's law, nor dry friction that agrees with an armature; so the acceleration of the joints
without contact is solved here from PyBullet's own mass matrix M and bias c, semi-implicitly as MuJoCo does,

    (M + A + h D) a = tau(q, v) - D v - c,

with armature A, damping D and step h, and PyBullet gets the torques that cause it, M a + c. A contact sees the links
without the armature. A base that floats is part of M, a and c, without a torque of its own (`sim.bullet_base`).
Friction coefficients of two bodies are multiplied, not compared, so fixed bodies have 1 and each other body the larger
of its own and the ground's, or its own where it has priority over the ground.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from hardware.arrays import FloatArray
from hardware.errors import ConfigError, MissingExtraError
from sim.bullet_base import DOFS, FloatingBase
from sim.foreign_model import friction_on_ground, require_expressible, scalar_joints
from sim.urdf import Placed, anchor, frame_of, link_name, shape_of, urdf_of

_FRICTION_RESOLUTION_NM = 1e-6
"""Change of dry friction that ends the sweeps [Nm]."""
_SWEEPS = 10
"""Gauss-Seidel sweeps over the joints with dry friction."""
_PLANE = int(mujoco.mjtGeom.mjGEOM_PLANE)
_FREE = int(mujoco.mjtJoint.mjJNT_FREE)


def bullet() -> Any:
    """The module pybullet.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        with _silence():
            import pybullet
    except ImportError as error:
        raise MissingExtraError("pybullet", "pybullet", "the engine 'pybullet'") from error
    return pybullet


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Standard error nowhere: the module greets when it is imported, in the middle of what a command prints."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


class BulletWorld:
    """A client of PyBullet with the robot, the fixed bodies and the free objects of one model.

    Args:
        model: the model; its fields are those of this simulation, and may be changed before `build`.

    Raises:
        ConfigError: the model has what this engine cannot do.
        MissingExtraError: PyBullet is not installed.
    """

    def __init__(self, model: mujoco.MjModel) -> None:
        self._p = bullet()
        self.model, self.time_s = model, 0.0
        self._client = -1
        require_expressible(model, "pybullet")
        self._roots = [body for body in range(1, model.nbody) if int(model.body_parentid[body]) == 0]
        self.build()

    def build(self) -> None:
        """Make everything anew from the model's fields."""
        self.close()
        p, model = self._p, self.model
        self._client = client = p.connect(p.DIRECT)
        p.setTimeStep(float(model.opt.timestep), physicsClientId=client)
        p.setGravity(*model.opt.gravity, physicsClientId=client)
        self._classes = _Classes(model)
        self._objects: dict[str, tuple[int, Placed]] = {}
        self._joints: list[tuple[int, int]] = []  # body and joint of PyBullet, by joint of the model
        self.base: FloatingBase | None = None
        self._links: dict[int, tuple[int, int]] = {0: (-1, -1)}  # body of the model -> body and link
        for geom in np.flatnonzero(model.geom_bodyid == 0):
            self._fixed_geom(int(geom))
        places: dict[str, tuple[int, int]] = {}
        for root in self._roots:
            if int(model.body_mocapid[root]) < 0:
                self._tree(root, places)
        self._order = [name for name in scalar_joints(model) if name in places]
        self._body = places[self._order[0]][0] if self._order else -1
        # Columns of the model by joint of PyBullet, in PyBullet's own order, which its dynamics use.
        self._order.sort(key=lambda name: places[name][1])
        self._numbers = [places[name][1] for name in self._order]
        joints = [model.joint(name) for name in self._order]
        self.columns = np.array([joint.qposadr[0] for joint in joints], dtype=np.intp)
        self.dofs = np.array([joint.dofadr[0] for joint in joints], dtype=np.intp)
        self._torque_only()

    def close(self) -> None:
        """End the client. Idempotent."""
        if self._client >= 0:
            self._p.disconnect(physicsClientId=self._client)
            self._client = -1

    @property
    def base_dofs(self) -> int:
        """Degrees of freedom of a floating base, which come before those of the joints: 6 or 0."""
        return 0 if self.base is None else DOFS

    def reset(self, position: FloatArray, velocity: FloatArray) -> None:
        """Put the joints at a state, (nq,) and (nv,) by columns of the model; objects to where the model has them."""
        for number, column, dof in zip(self._numbers, self.columns, self.dofs, strict=True):
            self._p.resetJointState(
                self._body, number, float(position[column]), float(velocity[dof]), physicsClientId=self._client
            )
        if self.base is not None:
            self.base.put(position[self.base.qpos], velocity[self.base.qvel])
        for name in self._objects:
            column = self._free_column(name)
            self.put(name, frame_of(self.model.qpos0[column : column + 3], self.model.qpos0[column + 3 : column + 7]))
        self.time_s = 0.0

    def put(self, name: str, place: Placed) -> None:
        """Put an object at a place in the world, at rest."""
        body, inertial = self._objects[name]
        there = place @ inertial
        self._p.resetBasePositionAndOrientation(
            body, there.position.tolist(), there.rotation.as_quat().tolist(), physicsClientId=self._client
        )
        self._p.resetBaseVelocity(body, [0.0] * 3, [0.0] * 3, physicsClientId=self._client)

    def objects(self) -> dict[str, Placed]:
        """Where the objects are in the world, by name."""
        found = {}
        for name, (body, inertial) in self._objects.items():
            position, quaternion = self._p.getBasePositionAndOrientation(body, physicsClientId=self._client)
            rotation = Rotation.from_quat(quaternion) * inertial.rotation.inv()
            found[name] = Placed(np.array(position) - rotation.apply(inertial.position), rotation)
        return found

    def joints(self) -> tuple[FloatArray, FloatArray]:
        """Positions and velocities of the joints, in the order of `columns`, [rad] or [m], per second."""
        states = self._p.getJointStates(self._body, self._numbers, physicsClientId=self._client)
        return np.array([state[0] for state in states]), np.array([state[1] for state in states])

    def site(self, site: int) -> Placed:
        """Where a site of the model is in the world."""
        model = self.model
        owner = int(model.site_bodyid[site])
        inner = frame_of(model.site_pos[site] - anchor(model, owner), model.site_quat[site])
        body, link = self._links[owner]
        if body < 0:
            return inner
        state = self._p.getLinkState(body, link, computeForwardKinematics=True, physicsClientId=self._client)
        return Placed(np.array(state[4]), Rotation.from_quat(state[5])) @ inner

    def velocity(self, joints: FloatArray) -> FloatArray:
        """Velocity of the base, where it floats, and of the joints (n,), together (base_dofs + n,)."""
        return joints if self.base is None else np.concatenate([self.base.state()[1], joints])

    def dynamics(self, position: FloatArray, velocity: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Mass matrix (m, m), bias and gravity alone (m,); m = base_dofs + n, the joints in the order of `columns`."""
        if self.base is not None:
            return self.base.dynamics(self.columns, self.dofs, position, velocity)
        p, body, client = self._p, self._body, self._client
        q, zero = position.tolist(), [0.0] * len(position)
        mass = np.array(p.calculateMassMatrix(body, q, physicsClientId=client))
        bias = np.array(p.calculateInverseDynamics(body, q, velocity.tolist(), zero, physicsClientId=client))
        gravity = np.array(p.calculateInverseDynamics(body, q, zero, zero, physicsClientId=client))
        return mass, bias, gravity

    def touches(self) -> bool:
        """Whether the robot touched anything in the last step."""
        return self._body >= 0 and bool(self._p.getContactPoints(self._body, physicsClientId=self._client))

    def step(self, torque: FloatArray) -> None:
        """Advance one step with torques on the joints, (n,) [Nm] or [N]."""
        p, client = self._p, self._client
        if len(torque):
            p.setJointMotorControlArray(
                self._body, self._numbers, p.TORQUE_CONTROL, forces=torque.tolist(), physicsClientId=client
            )
        p.stepSimulation(physicsClientId=client)
        self.time_s += float(self.model.opt.timestep)

    def _tree(self, root: int, places: dict[str, tuple[int, int]]) -> None:
        """Load one tree: the robot, an object, or something fixed."""
        p, model, client = self._p, self.model, self._client
        first = int(model.body_jntadr[root])
        free = first >= 0 and int(model.jnt_type[first]) == _FREE
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.urdf"
            fields = {"geom_friction": friction_on_ground(model, model.geom_friction)}
            path.write_text(urdf_of(model, root, fields), encoding="utf-8")
            flags = p.URDF_USE_INERTIA_FROM_FILE | p.URDF_USE_SELF_COLLISION_EXCLUDE_PARENT
            body = p.loadURDF(str(path), useFixedBase=not free, flags=flags, physicsClientId=client)
        named = {link_name(model, index): index for index in range(model.nbody)}
        if free:
            self._links[root] = (body, -1)
            self._settle(body, -1, root)
        fixed = 0
        for number in range(p.getNumJoints(body, physicsClientId=client)):
            info = p.getJointInfo(body, number, physicsClientId=client)
            if info[2] == p.JOINT_FIXED:
                fixed += 1
            else:
                places[info[1].decode()] = (body, number)
            index = named.get(info[12].decode())
            if index is not None:
                self._links[index] = (body, number)
            self._settle(body, number, index)
        if free and p.getNumJoints(body, physicsClientId=client) > fixed:
            self.base = FloatingBase(p, client, body, model, root)
        elif free:
            inertial = frame_of(model.body_ipos[root], model.body_iquat[root])
            self._objects[link_name(model, root)] = (body, inertial)

    def _settle(self, body: int, link: int, index: int | None) -> None:
        """No damping but ours, no restitution, and what the link collides with."""
        p, client = self._p, self._client
        p.changeDynamics(
            body,
            link,
            linearDamping=0.0,
            angularDamping=0.0,
            jointDamping=0.0,
            restitution=0.0,
            physicsClientId=client,
        )
        group, mask = self._classes.of(index)
        p.setCollisionFilterGroupMask(body, link, group, mask, physicsClientId=client)

    def _fixed_geom(self, geom: int) -> None:
        """A geom of the world itself: the ground, or furniture."""
        p, model, client = self._p, self.model, self._client
        if not (model.geom_contype[geom] or model.geom_conaffinity[geom]):
            return
        place, size = frame_of(model.geom_pos[geom], model.geom_quat[geom]), model.geom_size[geom]
        if int(model.geom_type[geom]) == _PLANE:
            shape = p.createCollisionShape(p.GEOM_PLANE, physicsClientId=client)
        else:
            kind = shape_of(model, geom)
            settings: Mapping[str, Any] = {
                "box": {"halfExtents": size.tolist()},
                "sphere": {"radius": float(size[0])},
            }.get(kind, {"radius": float(size[0]), "height": 2.0 * float(size[1])})
            code = getattr(p, f"GEOM_{kind.upper()}")
            shape = p.createCollisionShape(code, physicsClientId=client, **settings)
        quaternion = place.rotation.as_quat().tolist()
        body = p.createMultiBody(0.0, shape, -1, place.position.tolist(), quaternion, physicsClientId=client)
        p.changeDynamics(body, -1, lateralFriction=1.0, restitution=0.0, physicsClientId=client)
        group, mask = self._classes.of_geom(geom)
        p.setCollisionFilterGroupMask(body, -1, group, mask, physicsClientId=client)

    def _torque_only(self) -> None:
        """Switch off the brakes that PyBullet puts on every joint."""
        if self._numbers:
            self._p.setJointMotorControlArray(
                self._body,
                self._numbers,
                self._p.VELOCITY_CONTROL,
                forces=[0.0] * len(self._numbers),
                physicsClientId=self._client,
            )

    def _free_column(self, name: str) -> int:
        return int(self.model.jnt_qposadr[self.model.body_jntadr[self.model.body(name).id]])


class _Classes:
    """MuJoCo's rule which geoms collide (contype and conaffinity), as PyBullet's group and mask per link.

    Raises:
        ConfigError: geoms of one body have different rules.
    """

    def __init__(self, model: mujoco.MjModel) -> None:
        self._model = model
        kinds = sorted({(int(a), int(b)) for a, b in zip(model.geom_contype, model.geom_conaffinity, strict=True)})
        self._kinds = [kind for kind in kinds if kind != (0, 0)]

    def of_geom(self, geom: int) -> tuple[int, int]:
        """Group and mask of a geom."""
        own = (int(self._model.geom_contype[geom]), int(self._model.geom_conaffinity[geom]))
        if own == (0, 0):
            return 0, 0
        mask = 0
        for bit, other in enumerate(self._kinds):
            if own[0] & other[1] or other[0] & own[1]:
                mask |= 1 << bit
        return 1 << self._kinds.index(own), mask

    def of(self, body: int | None) -> tuple[int, int]:
        """Group and mask of a body's link; nothing for a link that is no body."""
        if body is None:
            return 0, 0
        found = {self.of_geom(int(geom)) for geom in np.flatnonzero(self._model.geom_bodyid == body)} - {(0, 0)}
        if len(found) > 1:
            raise ConfigError(f"body '{link_name(self._model, body)}' has geoms of different contype or conaffinity")
        return found.pop() if found else (0, 0)


def dry_friction(
    velocity: FloatArray, acceleration: FloatArray, inverse: FloatArray, loss: FloatArray, step_s: float
) -> FloatArray:
    """Acceleration with dry friction of at most `loss` on each joint, which stops a joint but never reverses it.

    Projected Gauss-Seidel on the velocities at the end of the step.

    Args:
        velocity: (n,) [rad/s].
        acceleration: without dry friction, (n,) [rad/s^2].
        inverse: inverse of the matrix of the step, (n, n).
        loss: largest friction, (n,) [Nm].
        step_s: [s].

    Returns:
        (n,) [rad/s^2].
    """
    final = velocity + step_s * acceleration
    force = np.zeros_like(final)
    joints: NDArray[np.intp] = np.flatnonzero(loss > 0.0)
    effect = step_s * inverse
    for _ in range(_SWEEPS):
        largest = 0.0
        for joint in joints:
            wanted = force[joint] - final[joint] / effect[joint, joint]
            change = min(max(wanted, -loss[joint]), loss[joint]) - force[joint]
            if change:
                force[joint] += change
                final += change * effect[joint]
                largest = max(largest, abs(change))
        if largest < _FRICTION_RESOLUTION_NM:
            break
    return (final - velocity) / step_s
