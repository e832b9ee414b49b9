"""A URDF of a compiled MuJoCo model: the same links, joints, inertias and primitive shapes for other engines.

URDF knows one joint per link, whose frame is the link's frame. So a body with several joints becomes a chain of links,
and a body whose joint is not at its origin is shifted to it. Joints keep their names, links those of their bodies.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from xml.etree import ElementTree

import mujoco
import numpy as np
from scipy.spatial.transform import Rotation

from hardware.arrays import FloatArray
from hardware.errors import ConfigError

_SHAPES = {
    int(mujoco.mjtGeom.mjGEOM_BOX): "box",
    int(mujoco.mjtGeom.mjGEOM_SPHERE): "sphere",
    int(mujoco.mjtGeom.mjGEOM_CYLINDER): "cylinder",
    int(mujoco.mjtGeom.mjGEOM_CAPSULE): "capsule",
}
_VIRTUAL_MASS_KG, _VIRTUAL_INERTIA_KG_M2 = 1e-9, 1e-12
"""Of the links between several joints of one body: engines refuse links without any."""
_UNLIMITED = 1e9
Fields = Mapping[str, FloatArray]
"""Fields of MjModel that replace the model's own ("body_mass", "body_inertia", "body_ipos", "geom_friction")."""


@dataclass(frozen=True)
class Placed:
    """A frame: position and orientation in another one."""

    position: FloatArray
    """(3,) [m]."""
    rotation: Rotation
    """Orientation."""

    def __matmul__(self, inner: Placed) -> Placed:
        """The frame `inner`, given in this one, where this one is given."""
        return Placed(self.position + self.rotation.apply(inner.position), self.rotation * inner.rotation)


def frame_of(position: FloatArray, quaternion: FloatArray) -> Placed:
    """A frame from a position [m] and a quaternion (w, x, y, z)."""
    return Placed(np.asarray(position, dtype=np.float64), Rotation.from_quat(quaternion, scalar_first=True))


def anchor(model: mujoco.MjModel, body: int) -> FloatArray:
    """Where the frame of a body's link is in the body's own frame: at its last hinge, (3,) [m]."""
    first, count = int(model.body_jntadr[body]), int(model.body_jntnum[body])
    if count == 0 or int(model.jnt_type[first]) == int(mujoco.mjtJoint.mjJNT_FREE):
        return np.zeros(3)
    return model.jnt_pos[first + count - 1].copy()


def urdf_of(model: mujoco.MjModel, root: int, fields: Fields | None = None) -> str:
    """The tree below and with the body `root` as URDF.

    Where the root has a free joint, it is the base link. Otherwise the base link is "world", which has no mass: engines
    take the principal axes of the base link for its frame.

    Args:
        model: the model.
        root: a child of the world body.
        fields: values that replace the model's.

    Raises:
        ConfigError: a ball joint, a shape that URDF has not, or a body without a name.
    """
    values = {name: getattr(model, name) for name in ("body_mass", "body_inertia", "body_ipos", "geom_friction")}
    writer = _Writer(model, values | dict(fields or {}))
    writer.tree(root)
    return _text(writer.robot)


def urdf_of_world(model: mujoco.MjModel) -> str:
    """The geoms of the world itself that can be touched, without planes, as URDF of one link.

    Raises:
        ConfigError: a shape that URDF has not.
    """
    values = {name: getattr(model, name) for name in ("body_mass", "body_inertia", "body_ipos", "geom_friction")}
    writer = _Writer(model, values)
    link = ElementTree.SubElement(writer.robot, "link", name=link_name(model, 0))
    writer.collisions(link, 0)
    return _text(writer.robot)


def link_name(model: mujoco.MjModel, body: int) -> str:
    """Name of the link of a body."""
    return str(mujoco.mj_id2name(model, mujoco.mjtObj.mjOBJ_BODY, body) or f"body_{body}")


class _Writer:
    def __init__(self, model: mujoco.MjModel, values: Mapping[str, FloatArray]) -> None:
        self._model, self._values = model, values
        self.robot = ElementTree.Element("robot", name=link_name(model, 0))

    def tree(self, root: int) -> None:
        model = self._model
        joint = int(model.body_jntadr[root])
        if joint >= 0 and int(model.jnt_type[joint]) == int(mujoco.mjtJoint.mjJNT_FREE):
            self._link(root)
        else:
            ElementTree.SubElement(self.robot, "link", name="world")
            self._body(root, "world", np.zeros(3))
        for body in range(root + 1, model.nbody):
            if int(model.body_rootid[body]) == root:
                parent = int(model.body_parentid[body])
                self._body(body, link_name(model, parent), anchor(model, parent))

    def _body(self, body: int, parent: str, parent_anchor: FloatArray) -> None:
        """The joints of a body, with the links between them, and its link."""
        model = self._model
        name, joints = link_name(model, body), range(int(model.body_jntnum[body]))
        place = frame_of(model.body_pos[body] - parent_anchor, model.body_quat[body])
        if not joints:
            self._joint(f"{name}_fixed", "fixed", parent, name, place, np.array([1.0, 0.0, 0.0]), None)
        done = np.zeros(3)
        for number in joints:
            joint = int(model.body_jntadr[body]) + number
            kind = {int(mujoco.mjtJoint.mjJNT_HINGE): "revolute", int(mujoco.mjtJoint.mjJNT_SLIDE): "prismatic"}.get(
                int(model.jnt_type[joint])
            )
            if kind is None:
                raise ConfigError(f"body '{name}' has a ball joint; URDF has none")
            last = number == len(joints) - 1
            child = name if last else f"{name}_{number}"
            here = np.asarray(model.jnt_pos[joint])
            place = place @ Placed(here - done, Rotation.identity())
            limits = model.jnt_range[joint] if model.jnt_limited[joint] else None
            joint_name = str(mujoco.mj_id2name(model, mujoco.mjtObj.mjOBJ_JOINT, joint) or f"joint_{joint}")
            self._joint(joint_name, kind, parent, child, place, model.jnt_axis[joint], limits)
            if not last:
                self._virtual_link(child)
            parent, place, done = child, Placed(np.zeros(3), Rotation.identity()), here
        self._link(body)

    def _joint(
        self,
        name: str,
        kind: str,
        parent: str,
        child: str,
        place: Placed,
        axis: FloatArray,
        limits: FloatArray | None,
    ) -> None:
        if kind == "revolute" and limits is None:
            kind = "continuous"
        joint = ElementTree.SubElement(self.robot, "joint", name=name, type=kind)
        ElementTree.SubElement(joint, "parent", link=parent)
        ElementTree.SubElement(joint, "child", link=child)
        _origin(joint, place)
        ElementTree.SubElement(joint, "axis", xyz=_numbers(axis))
        if kind in ("revolute", "prismatic"):
            low, high = limits if limits is not None else (-_UNLIMITED, _UNLIMITED)
            ElementTree.SubElement(
                joint,
                "limit",
                lower=_number(low),
                upper=_number(high),
                effort=str(_UNLIMITED),
                velocity=str(_UNLIMITED),
            )

    def _link(self, body: int) -> None:
        model, values = self._model, self._values
        link = ElementTree.SubElement(self.robot, "link", name=link_name(model, body))
        shift = Placed(-anchor(model, body), Rotation.identity())
        _inertial(
            link,
            shift @ frame_of(values["body_ipos"][body], model.body_iquat[body]),
            float(values["body_mass"][body]),
            values["body_inertia"][body],
        )
        self.collisions(link, body)

    def collisions(self, link: ElementTree.Element, body: int) -> None:
        """The shapes of a body that can be touched, in the order of the model's geoms; planes of the world are none."""
        model, values = self._model, self._values
        shift, friction = Placed(-anchor(model, body), Rotation.identity()), 0.0
        for geom in np.flatnonzero(model.geom_bodyid == body):
            if not (model.geom_contype[geom] or model.geom_conaffinity[geom]):
                continue
            if body == 0 and int(model.geom_type[geom]) == int(mujoco.mjtGeom.mjGEOM_PLANE):
                continue
            shape, size = shape_of(model, int(geom)), model.geom_size[geom]
            collision = ElementTree.SubElement(link, "collision")
            _origin(collision, shift @ frame_of(model.geom_pos[geom], model.geom_quat[geom]))
            _shape(ElementTree.SubElement(collision, "geometry"), shape, size)
            friction = max(friction, float(values["geom_friction"][geom, 0]))
        contact = ElementTree.SubElement(link, "contact")
        ElementTree.SubElement(contact, "lateral_friction", value=_number(friction))

    def _virtual_link(self, name: str) -> None:
        link = ElementTree.SubElement(self.robot, "link", name=name)
        here = Placed(np.zeros(3), Rotation.identity())
        _inertial(link, here, _VIRTUAL_MASS_KG, np.full(3, _VIRTUAL_INERTIA_KG_M2))


def shape_of(model: mujoco.MjModel, geom: int) -> str:
    """Name of a geom's shape.

    Raises:
        ConfigError: a mesh, a plane, or another one that URDF has not.
    """
    shape = _SHAPES.get(int(model.geom_type[geom]))
    if shape is None:
        name = mujoco.mj_id2name(model, mujoco.mjtObj.mjOBJ_GEOM, geom) or geom
        raise ConfigError(f"geom '{name}' is no box, sphere, cylinder or capsule; give it such a shape for contact")
    return shape


def _text(robot: ElementTree.Element) -> str:
    """The file, one element per line: PyBullet breaks lines of more than 1024 characters, even within a number."""
    ElementTree.indent(robot)
    return ElementTree.tostring(robot, encoding="unicode")


def _inertial(link: ElementTree.Element, place: Placed, mass: float, inertia: FloatArray) -> None:
    inertial = ElementTree.SubElement(link, "inertial")
    _origin(inertial, place)
    ElementTree.SubElement(inertial, "mass", value=_number(mass))
    xx, yy, zz = (_number(value) for value in inertia)
    ElementTree.SubElement(inertial, "inertia", ixx=xx, iyy=yy, izz=zz, ixy="0", ixz="0", iyz="0")


def _shape(geometry: ElementTree.Element, shape: str, size: FloatArray) -> None:
    if shape == "box":
        ElementTree.SubElement(geometry, "box", size=_numbers(2.0 * size))
    elif shape == "sphere":
        ElementTree.SubElement(geometry, "sphere", radius=_number(size[0]))
    else:
        ElementTree.SubElement(geometry, shape, radius=_number(size[0]), length=_number(2.0 * size[1]))


def _origin(element: ElementTree.Element, place: Placed) -> None:
    # Fixed axes x, y, z: roll, pitch, yaw of URDF. At a pitch of 90 degrees any split of roll and yaw is right.
    rotation = place.rotation.as_matrix()
    pitch = math.asin(float(np.clip(-rotation[2, 0], -1.0, 1.0)))
    if abs(rotation[2, 0]) < 1.0 - 1e-12:
        roll = math.atan2(rotation[2, 1], rotation[2, 2])
        yaw = math.atan2(rotation[1, 0], rotation[0, 0])
    else:
        roll, yaw = 0.0, math.atan2(-rotation[0, 1], rotation[1, 1])
    ElementTree.SubElement(element, "origin", xyz=_numbers(place.position), rpy=_numbers(np.array([roll, pitch, yaw])))


def _number(value: float) -> str:
    return repr(float(value))


def _numbers(values: FloatArray) -> str:
    return " ".join(_number(value) for value in values)
