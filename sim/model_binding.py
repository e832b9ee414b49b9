"""Where a robot's joints, actuators and frames are in a MuJoCo model, found by name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import mujoco
import numpy as np
from numpy.typing import NDArray

from hardware.arrays import FloatArray
from hardware.errors import ConfigError, UnknownNameError
from hardware.spec import RobotSpec

Index = slice | NDArray[np.intp]
"""Columns of an array; a slice where they are consecutive, because slicing is several times faster."""


@dataclass(frozen=True)
class ObjectBinding:
    """A body that can be put anywhere: it has a free joint, or it is a mocap body that others can touch."""

    name: str
    """Name of the body."""
    qpos: int | None
    """First of the seven columns of qpos of a free body."""
    qvel: int | None
    """First of the six columns of qvel of a free body."""
    mocap: int | None
    """Index of a mocap body."""


@dataclass(frozen=True)
class CoupledJoint:
    """A joint that an equality constraint of the model ties to a joint of the robot (the second finger of a hand)."""

    qpos: int
    """Its column of qpos."""
    qvel: int
    """Its column of qvel."""
    joint: int
    """The joint of the robot, in its order."""
    reference: tuple[float, float]
    """Positions of both joints, coupled and robot's, in the model's own pose."""
    coefficients: tuple[float, ...]
    """Polynomial of the robot's joint position (less its reference), constant first."""


@dataclass(frozen=True)
class ModelBinding:
    """Columns of MuJoCo's arrays that belong to the joints of a `RobotSpec`, in its order."""

    qpos: Index
    """Columns of qpos, num_joints."""
    qvel: Index
    """Columns of qvel and of every array per degree of freedom, num_joints."""
    dofs: NDArray[np.intp]
    """The same as `qvel`, always as an array, (num_joints,)."""
    actuated: Index
    """Joints of the robot that have an actuator, num_actuated columns of a joint array."""
    actuators: NDArray[np.intp]
    """Actuator of each of `actuated`, (num_actuated,)."""
    ctrl: Index
    """Columns of ctrl of each of `actuated`."""
    servo: NDArray[np.bool_]
    """Whether each of `actuators` is a position servo, whose input is a joint position, (num_actuated,)."""
    tool: int | None
    """Site of the tool."""
    base_position: FloatArray
    """Origin of the base frame in the world, (3,) [m]."""
    base_quaternion: FloatArray
    """Orientation of the base frame in the world, (4,), w x y z."""
    free_qpos: int | None
    """First of the seven columns of qpos of a floating base."""
    free_qvel: int | None
    """First of the six columns of qvel of a floating base."""
    objects: tuple[ObjectBinding, ...] = ()
    """Bodies that are neither of the robot nor fixed."""
    coupled: tuple[CoupledJoint, ...] = ()
    """Joints that follow a joint of the robot."""


def bind_model(spec: RobotSpec, model: mujoco.MjModel) -> ModelBinding:
    """Find the joints, actuators and frames of `spec` in `model`.

    Joints without an actuator are passive: their control input is ignored. The base frame is a body or a site; a model
    that has neither of that name has its base at the world's origin.

    Raises:
        UnknownNameError: the model lacks a joint or the tool's site.
        ConfigError: a joint has several degrees of freedom or several actuators, its servo has other gains than the
            description, or the tool is on a floating base.
    """
    joints = [_named(model, mujoco.mjtObj.mjOBJ_JOINT, "joint of the model", name) for name in spec.joint_names]
    single = (int(mujoco.mjtJoint.mjJNT_SLIDE), int(mujoco.mjtJoint.mjJNT_HINGE))
    for joint, name in zip(joints, spec.joint_names, strict=True):
        if int(model.jnt_type[joint]) not in single:
            raise ConfigError(f"joint '{name}' of the model is neither a hinge nor a slide; make it one")
    actuated, actuators = _actuators(spec, model, joints)
    _require_same_gains(spec, model, dict(zip(actuated.tolist(), actuators.tolist(), strict=True)))
    dofs = model.jnt_dofadr[joints].astype(np.intp)
    base_position, base_quaternion, free_joint = _base(spec, model)
    tool = None
    if spec.tool_frame is not None:
        tool = _named(model, mujoco.mjtObj.mjOBJ_SITE, "site of the model", spec.tool_frame)
        if free_joint is not None:
            raise ConfigError(
                f"'{spec.name}': a tool pose relative to a floating base is not supported; unset tool_frame"
            )
    biases = model.actuator_biasprm[actuators]
    affine = model.actuator_biastype[actuators] == int(mujoco.mjtBias.mjBIAS_AFFINE)
    return ModelBinding(
        qpos=_compact(model.jnt_qposadr[joints]),
        qvel=_compact(dofs),
        dofs=dofs,
        actuated=_compact(actuated),
        actuators=actuators,
        ctrl=_compact(model.actuator_ctrladr[actuators]),
        servo=affine & (biases[:, 1] != 0.0),
        tool=tool,
        base_position=base_position,
        base_quaternion=base_quaternion,
        free_qpos=None if free_joint is None else int(model.jnt_qposadr[free_joint]),
        free_qvel=None if free_joint is None else int(model.jnt_dofadr[free_joint]),
        objects=tuple(_objects(model, free_joint)),
        coupled=tuple(_coupled(model, joints)),
    )


def _objects(model: mujoco.MjModel, base_joint: int | None) -> Iterator[ObjectBinding]:
    """Free bodies other than the robot's base, and mocap bodies with a geom that can be touched (others only mark)."""
    for body in range(1, model.nbody):
        name = mujoco.mj_id2name(model, mujoco.mjtObj.mjOBJ_BODY, body)
        joint, mocap = int(model.body_jntadr[body]), int(model.body_mocapid[body])
        if not name:
            continue
        if mocap >= 0:
            below = model.geom_bodyid == body
            if (model.geom_contype[below] | model.geom_conaffinity[below]).any():
                yield ObjectBinding(name, None, None, mocap)
        elif joint >= 0 and joint != base_joint and int(model.jnt_type[joint]) == int(mujoco.mjtJoint.mjJNT_FREE):
            yield ObjectBinding(name, int(model.jnt_qposadr[joint]), int(model.jnt_dofadr[joint]), None)


def _coupled(model: mujoco.MjModel, joints: list[int]) -> Iterator[CoupledJoint]:
    """Joints outside the robot's description that an active joint equality ties to one of its joints."""
    for index in np.flatnonzero(model.eq_type == int(mujoco.mjtEq.mjEQ_JOINT)):
        first, second = int(model.eq_obj1id[index]), int(model.eq_obj2id[index])
        if first in joints or second not in joints or not model.eq_active0[index]:
            continue
        addresses = model.jnt_qposadr[[first, second]]
        yield CoupledJoint(
            int(addresses[0]),
            int(model.jnt_dofadr[first]),
            joints.index(second),
            (float(model.qpos0[addresses[0]]), float(model.qpos0[addresses[1]])),
            tuple(model.eq_data[index, :5].tolist()),
        )


def names_of(model: mujoco.MjModel, kind: mujoco.mjtObj, count: int) -> tuple[str, ...]:
    """Names of the `count` objects of one kind in the model, without those that have none."""
    names = (mujoco.mj_id2name(model, kind, index) for index in range(count))
    return tuple(name for name in names if name)


def _named(model: mujoco.MjModel, kind: mujoco.mjtObj, what: str, name: str) -> int:
    index = int(mujoco.mj_name2id(model, kind, name))
    if index < 0:
        count = model.njnt if kind == mujoco.mjtObj.mjOBJ_JOINT else model.nsite
        raise UnknownNameError(what, name, names_of(model, kind, count))
    return index


def _actuators(spec: RobotSpec, model: mujoco.MjModel, joints: list[int]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Joints of the robot that have an actuator, and that actuator."""
    on_joint = model.actuator_trntype == int(mujoco.mjtTrn.mjTRN_JOINT)
    actuated, actuators = [], []
    for index, joint in enumerate(joints):
        found = np.flatnonzero(on_joint & (model.actuator_trnid[:, 0] == joint))
        if len(found) > 1:
            raise ConfigError(f"joint '{spec.joint_names[index]}' has {len(found)} actuators in the model; leave one")
        if len(found) == 1:
            actuated.append(index)
            actuators.append(int(found[0]))
    return np.array(actuated, dtype=np.intp), np.array(actuators, dtype=np.intp)


def _require_same_gains(spec: RobotSpec, model: mujoco.MjModel, actuator_of: dict[int, int]) -> None:
    """The gains in the description are part of the contract of a policy: the model must have the same ones."""
    for index, joint in enumerate(spec.joints):
        if joint.stiffness == 0.0:
            continue
        if index not in actuator_of:
            raise ConfigError(
                f"joint '{joint.name}' of '{spec.name}': the model has no actuator on it, but stiffness is "
                f"{joint.stiffness:g} Nm/rad; add a position actuator, or set stiffness to 0"
            )
        actuator = actuator_of[index]
        servo = -model.actuator_biasprm[actuator, 1], -model.actuator_biasprm[actuator, 2]
        if servo[0] != 0.0 and not np.allclose(servo, (joint.stiffness, joint.damping), rtol=1e-6):
            raise ConfigError(
                f"joint '{joint.name}' of '{spec.name}': stiffness and damping are {joint.stiffness:g} and "
                f"{joint.damping:g} in the description, kp and kv are {servo[0]:g} and {servo[1]:g} in the model; "
                "make them equal"
            )


def _base(spec: RobotSpec, model: mujoco.MjModel) -> tuple[FloatArray, FloatArray, int | None]:
    """Pose of a fixed base in the world; for a floating one its free joint."""
    data = mujoco.MjData(model)
    mujoco.mj_kinematics(model, data)
    body = int(mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_BODY, spec.base_frame))
    site = int(mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_SITE, spec.base_frame))
    if site >= 0:
        body = int(model.site_bodyid[site])
        position, quaternion = data.site_xpos[site].copy(), np.zeros(4)
        mujoco.mju_mat2Quat(quaternion, data.site_xmat[site])
    elif body >= 0:
        position, quaternion = data.xpos[body].copy(), data.xquat[body].copy()
    else:
        return np.zeros(3), np.array([1.0, 0.0, 0.0, 0.0]), None
    if body > 0 and int(model.body_weldid[body]) != 0:
        joint = int(model.body_jntadr[body])
        if joint >= 0 and int(model.jnt_type[joint]) == int(mujoco.mjtJoint.mjJNT_FREE):
            return position, quaternion, joint
        raise ConfigError(f"base frame '{spec.base_frame}' moves with a joint that is not a free joint")
    return position, quaternion, None


def _compact(columns: NDArray[np.intp]) -> Index:
    """The same columns as a slice where they are consecutive."""
    columns = np.asarray(columns, dtype=np.intp)
    if len(columns) and np.array_equal(columns, np.arange(columns[0], columns[0] + len(columns))):
        return slice(int(columns[0]), int(columns[0]) + len(columns))
    return columns
