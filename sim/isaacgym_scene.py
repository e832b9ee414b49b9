"""A MuJoCo model as plain data that the process with Isaac Gym builds its simulations from."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations_with_replacement
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

from hardware.arrays import FloatArray
from hardware.errors import ConfigError
from sim.foreign_model import friction_on_ground, ground_geoms, scalar_joints, uniform_gravcomp
from sim.urdf import anchor, link_name, urdf_of, urdf_of_world

ENGINE = "isaacgym"
_FREE = int(mujoco.mjtJoint.mjJNT_FREE)
_PLANE = int(mujoco.mjtGeom.mjGEOM_PLANE)
_SPACING_M = 4.0
"""Between simulations; they do not touch each other wherever they are."""


@dataclass(frozen=True)
class IsaacGymScene:
    """A scene, and where its parts are in the model."""

    values: dict[str, Any]
    """What `sim.isaacgym_worker.IsaacGymWorld` reads."""
    actors: dict[str, int]
    """Number of each actor by the name of its root body."""
    bodies: tuple[NDArray[np.intp], ...]
    """Bodies of the model whose properties can be set, per actor."""
    joints: NDArray[np.intp]
    """Joints of the model, in the order of all joint arrays."""
    anchors: FloatArray
    """Where the link of each body is in the body's frame, (nbody, 3) [m]."""
    ground_friction: float
    """Friction of the ground plane, the same for all simulations."""


def scene_of(
    model: mujoco.MjModel, count: int, watched: list[int], substeps: int = 1, device: int = 0
) -> IsaacGymScene:
    """The scene of a model.

    Args:
        model: the model.
        count: number of simulations.
        watched: bodies of the model whose poses and speeds are wanted.
        substeps: steps that PhysX divides a physics step into.
        device: number of the GPU.

    Raises:
        ConfigError: the model has what Isaac Gym cannot do.
    """
    roots = [
        body for body in range(1, model.nbody) if int(model.body_parentid[body]) == 0 and model.body_mocapid[body] < 0
    ]
    filters = _filters(model)
    trees = [np.array([b for b in range(1, model.nbody) if int(model.body_rootid[b]) == root]) for root in roots]
    actors = [_actor(model, root, tree, filters) for root, tree in zip(roots, trees, strict=True)]
    bodies = [tree.astype(np.intp) for tree in trees]
    if any(int(model.geom_type[geom]) != _PLANE for geom in ground_geoms(model)):
        world: dict[str, Any] = {"name": "furniture", "urdf": urdf_of_world(model), "fixed": True, "weightless": True}
        shapes = [filters[int(geom)] for geom in ground_geoms(model) if int(model.geom_type[geom]) != _PLANE]
        world |= {"pose": [0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0], "filters": {link_name(model, 0): shapes}, "bodies": []}
        actors.append(world)
        bodies.append(np.zeros(0, dtype=np.intp))
    named = scalar_joints(model)
    joints = np.array(list(named.values()), dtype=np.intp)
    numbers = {root: number for number, root in enumerate(roots)}
    robot = numbers[int(model.body_rootid[model.jnt_bodyid[joints[0]]])] if len(joints) else None
    ground = _ground(model)
    values = {
        "count": count,
        "timestep_s": float(model.opt.timestep),
        "substeps": substeps,
        "device": device,
        "gravity": model.opt.gravity.tolist(),
        "spacing_m": _SPACING_M,
        "ground": ground,
        "actors": actors,
        "robot": robot,
        "joints": list(named),
        "watched": [[numbers[int(model.body_rootid[body])], link_name(model, body)] for body in watched],
    }
    return IsaacGymScene(
        values,
        {link_name(model, root): number for number, root in enumerate(roots)},
        tuple(bodies),
        joints,
        np.array([anchor(model, body) for body in range(model.nbody)]),
        0.0 if ground is None else float(ground["friction"]),
    )


def shape_friction(scene: IsaacGymScene, model: mujoco.MjModel, friction: FloatArray) -> FloatArray:
    """Friction that the shapes of each body need for the one of MuJoCo on the ground, (k, nbody).

    PhysX takes the mean of both sides of a contact, MuJoCo the larger one; the ground plane is shared by all
    simulations and keeps its nominal friction.

    Args:
        scene: the scene.
        model: its model.
        friction: `geom_friction`, (k, ngeom, 3).

    Raises:
        ConfigError: less than half of the ground's friction is asked for.
    """
    touching = (model.geom_contype | model.geom_conaffinity) != 0
    needed = 2.0 * friction_on_ground(model, friction)[..., 0] - scene.ground_friction
    if (needed[:, touching] < 0.0).any():
        raise ConfigError(
            f"the engine '{ENGINE}' has one ground for all simulations, of friction {scene.ground_friction:g}, and can "
            "lower the friction on it to half of that at most; raise the lower bound of contact/friction"
        )
    found = np.zeros((len(friction), model.nbody))
    for geom in np.flatnonzero(touching):
        body = int(model.geom_bodyid[geom])
        found[:, body] = np.maximum(found[:, body], needed[:, geom])
    return found


def _actor(model: mujoco.MjModel, root: int, tree: FloatArray, filters: dict[int, int]) -> dict[str, Any]:
    first = int(model.body_jntadr[root])
    free = first >= 0 and int(model.jnt_type[first]) == _FREE
    gravcomp = uniform_gravcomp(model, [int(body) for body in tree if model.body_weldid[body] != 0], ENGINE)
    if gravcomp not in (0.0, 1.0):
        raise ConfigError(f"the engine '{ENGINE}' compensates gravity wholly or not at all (gravcomp 0 or 1)")
    pose = [0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0]
    if free:
        column = int(model.jnt_qposadr[first])
        pose = model.qpos0[column : column + 7].tolist()
    shapes: dict[str, list[int]] = {}
    for body in tree:
        found = [filters[int(geom)] for geom in np.flatnonzero(model.geom_bodyid == body) if int(geom) in filters]
        shapes[link_name(model, int(body))] = found
    return {
        "name": link_name(model, root),
        "urdf": urdf_of(model, root),
        "fixed": not free,
        "weightless": gravcomp == 1.0,
        "pose": pose,
        "filters": shapes,
        "bodies": [link_name(model, int(body)) for body in tree],
    }


def _ground(model: mujoco.MjModel) -> dict[str, float] | None:
    """The ground plane, if there is one.

    Raises:
        ConfigError: there are several, or it is not level.
    """
    planes = [int(geom) for geom in ground_geoms(model) if int(model.geom_type[geom]) == _PLANE]
    if not planes:
        return None
    normal = np.zeros(3)
    mujoco.mju_rotVecQuat(normal, np.array([0.0, 0.0, 1.0]), model.geom_quat[planes[0]])
    if len(planes) > 1 or not np.allclose(normal, [0.0, 0.0, 1.0]):
        raise ConfigError(f"the engine '{ENGINE}' has one level ground plane; make the others boxes")
    friction = float(model.geom_friction[planes[0], 0])
    return {"height_m": float(model.geom_pos[planes[0], 2]), "friction": friction}


def _filters(model: mujoco.MjModel) -> dict[int, int]:
    """Filter of every geom that can touch anything: two with a common bit do not touch.

    Every pair of kinds (contype, conaffinity) that MuJoCo lets pass through each other gets a bit.

    Raises:
        ConfigError: there are more such pairs than bits.
    """
    kind_of = {
        geom: (int(model.geom_contype[geom]), int(model.geom_conaffinity[geom]))
        for geom in range(model.ngeom)
        if model.geom_contype[geom] or model.geom_conaffinity[geom]
    }
    kinds = sorted(set(kind_of.values()))
    apart = [
        (first, second)
        for first, second in combinations_with_replacement(kinds, 2)
        if not (first[0] & second[1] or first[1] & second[0])
    ]
    if len(apart) > 31:
        raise ConfigError(f"the engine '{ENGINE}' has 31 bits to say what does not touch; {len(apart)} are needed")
    bits = {kind: sum(1 << bit for bit, pair in enumerate(apart) if kind in pair) for kind in kinds}
    return {geom: bits[kind] for geom, kind in kind_of.items()}
