"""What engines other than MuJoCo get from a MuJoCo model, and what they refuse: shared by all that read its URDF."""

from __future__ import annotations

import mujoco
import numpy as np
from scipy.spatial.transform import Rotation

from hardware.arrays import FloatArray
from hardware.errors import ConfigError
from sim.urdf import link_name

_FREE = int(mujoco.mjtJoint.mjJNT_FREE)


def require_expressible(model: mujoco.MjModel, engine: str) -> None:
    """Raise ConfigError for what a URDF cannot carry to the engine called `engine`."""
    roots = {int(model.body_rootid[model.jnt_bodyid[j]]) for j in range(model.njnt) if int(model.jnt_type[j]) != _FREE}
    if len(roots) > 1:
        raise ConfigError(f"the engine '{engine}' simulates one robot; this model has several trees with joints")
    for body in np.flatnonzero(model.body_mocapid >= 0):
        below = model.geom_bodyid == body
        if (model.geom_contype[below] | model.geom_conaffinity[below]).any():
            raise ConfigError(f"the engine '{engine}' cannot move the mocap body '{link_name(model, int(body))}'")
    if (model.actuator_trntype != int(mujoco.mjtTrn.mjTRN_JOINT)).any():
        raise ConfigError(
            f"the engine '{engine}' has only actuators on joints, no Cartesian impedance control or tendons; use mujoco"
        )
    if model.npair:
        raise ConfigError(f"the engine '{engine}' has no explicit contact pairs; give the geoms a contype instead")


def scalar_joints(model: mujoco.MjModel) -> dict[str, int]:
    """Hinges and slides: name -> index."""
    names = (mujoco.mj_id2name(model, mujoco.mjtObj.mjOBJ_JOINT, joint) for joint in range(model.njnt))
    joints = {str(name or f"joint_{joint}"): joint for joint, name in enumerate(names)}
    return {name: joint for name, joint in joints.items() if int(model.jnt_type[joint]) != _FREE}


def ground_geoms(model: mujoco.MjModel) -> np.ndarray:
    """Geoms of the world that can be touched, (k,)."""
    return np.flatnonzero((model.geom_bodyid == 0) & ((model.geom_contype | model.geom_conaffinity) != 0))


def friction_on_ground(model: mujoco.MjModel, friction: FloatArray) -> FloatArray:
    """Friction of every geom on the ground: the larger of both, or its own where it has priority over the ground.

    Args:
        model: the model.
        friction: `geom_friction`, (..., ngeom, 3).

    Returns:
        (..., ngeom, 3).
    """
    ground = ground_geoms(model)
    if not len(ground):
        return friction.copy()
    own = model.geom_priority > model.geom_priority[ground].max()
    return np.where(own[:, None], friction, np.maximum(friction, friction[..., ground, :].max(-2, keepdims=True)))


def uniform_gravcomp(model: mujoco.MjModel, bodies: list[int], engine: str) -> float:
    """Share of gravity that the moving bodies have compensated.

    Raises:
        ConfigError: they differ.
    """
    shares = {float(model.body_gravcomp[body]) for body in bodies}
    if len(shares) > 1:
        raise ConfigError(f"the engine '{engine}' needs the same gravcomp on every moving body of the robot")
    return shares.pop() if shares else 0.0


def compose_poses(poses: FloatArray, inner: FloatArray) -> FloatArray:
    """Where `inner`, (7,) in each of the frames `poses` (k, 7), is in the world: (k, 7)."""
    rotation = Rotation.from_quat(poses[:, 3:], scalar_first=True)
    turned = rotation * Rotation.from_quat(inner[3:], scalar_first=True)
    moved = poses[:, :3] + rotation.apply(inner[:3])
    return np.concatenate([moved, turned.as_quat(canonical=True, scalar_first=True)], axis=1)


def poses_in_frame(poses: FloatArray, position: FloatArray, quaternion: FloatArray) -> FloatArray:
    """Poses in the world as poses in a frame that is at `position`, `quaternion` there.

    Args:
        poses: (k, 7), position [m] and quaternion w x y z.
        position: (3,) [m].
        quaternion: (4,) w x y z.

    Returns:
        (k, 7).
    """
    inverse = Rotation.from_quat(quaternion, scalar_first=True).inv()
    turned = inverse * Rotation.from_quat(poses[:, 3:], scalar_first=True)
    moved = inverse.apply(poses[:, :3] - position)
    return np.concatenate([moved, turned.as_quat(canonical=True, scalar_first=True)], axis=1)


def poses_from_frame(poses: FloatArray, position: FloatArray, quaternion: FloatArray) -> FloatArray:
    """The inverse of `poses_in_frame`: poses (k, 7) in the frame as poses in the world."""
    rotation = Rotation.from_quat(quaternion, scalar_first=True)
    turned = rotation * Rotation.from_quat(poses[:, 3:], scalar_first=True)
    moved = rotation.apply(poses[:, :3]) + position
    return np.concatenate([moved, turned.as_quat(canonical=True, scalar_first=True)], axis=1)
