"""What another length of a link changes in a MuJoCo model: shape, mass distribution, and where the next links begin.

A link here is a body of one capsule. Its end at the joint that moves it stays where it is and the far end moves, with
every body that begins there; of a root body the middle stays. Its mass does not change, its inertia is that of the new
capsule. A body that slides up and down (a hopper's or walker's trunk) is raised or lowered so that in the model's own
pose the lowest point of what it stands on is as high as before.
"""

from __future__ import annotations

from dataclasses import dataclass

import mujoco
import numpy as np
from numpy.typing import NDArray

from hardware.arrays import FloatArray

FIELDS = ("geom_size", "geom_pos", "geom_rbound", "geom_aabb", "bvh_aabb", "body_pos", "body_ipos", "body_inertia")
"""Fields of MjModel that lengths change."""
_CAPSULE, _SLIDE, _FREE = (
    int(mujoco.mjtGeom.mjGEOM_CAPSULE),
    int(mujoco.mjtJoint.mjJNT_SLIDE),
    int(mujoco.mjtJoint.mjJNT_FREE),
)


@dataclass(frozen=True)
class Capsule:
    """One link."""

    body: int
    """Its body."""
    geom: int
    """Its capsule."""
    axis: FloatArray
    """Unit vector from the end at its joint to the far end, in the frame of the body, (3,)."""
    length: float
    """Distance between the centres of the capsule's ends [m]."""
    root: bool
    """Whether it is the first body of its tree."""
    children: NDArray[np.intp]
    """Bodies that begin at its far end."""


def capsule_of(model: mujoco.MjModel, body: int) -> Capsule | None:
    """A body as a link whose length can change; None where it is not one capsule in a line with its inertia."""
    if int(model.body_geomnum[body]) != 1 or body == 0 or int(model.body_jntnum[body]) == 0:
        return None
    geom = int(model.body_geomadr[body])
    if int(model.geom_type[geom]) != _CAPSULE or not np.allclose(model.body_ipos[body], model.geom_pos[geom]):
        return None
    first = int(model.body_jntadr[body])
    if int(model.jnt_type[first]) == _FREE:
        return None
    rotation = np.zeros(9)
    mujoco.mju_quat2Mat(rotation, model.geom_quat[geom])
    axis, half = rotation.reshape(3, 3)[:, 2], float(model.geom_size[geom, 1])
    root = int(model.body_parentid[body]) == 0
    children = np.flatnonzero((model.body_parentid == body) & (np.arange(model.nbody) > body))
    centre = model.geom_pos[geom]
    anchors = [_anchor(model, int(child)) for child in children]
    far = anchors[0] if root and anchors else 2.0 * centre - model.jnt_pos[first]
    if (far - centre) @ axis < 0.0:
        axis = -axis
    return Capsule(body, geom, axis, 2.0 * half, root, children)


def _anchor(model: mujoco.MjModel, body: int) -> FloatArray:
    """Where a body's joint is, in the frame of its parent (the bodies of these models are not turned), (3,)."""
    anchor = model.body_pos[body].copy()
    if int(model.body_jntnum[body]):
        anchor += model.jnt_pos[int(model.body_jntadr[body])]
    return np.asarray(anchor)


def inertia_ratio(model: mujoco.MjModel, link: Capsule, length: FloatArray) -> FloatArray:
    """Principal moments of inertia at `length` (k,) over those of the model, (k, 3)."""
    radius = float(model.geom_size[link.geom, 0])
    new, old = capsule_inertia(radius, length), capsule_inertia(radius, np.array([link.length]))
    # The body's principal axes are the capsule's or a permutation of them: across, across, along.
    along = int(np.argmin(model.body_inertia[link.body]))
    ratio = np.repeat(new[:, :1] / old[:, :1], 3, axis=1)
    ratio[:, along] = new[:, 1] / old[:, 1]
    return ratio


def capsule_inertia(radius: float, length: FloatArray) -> FloatArray:
    """Moments of inertia of a uniform capsule of 1 kg about its middle, across and along, (k, 2) [m^2].

    A cylinder and two half balls, whose centres of mass are 3/8 of the radius beyond the cylinder's ends.

    Args:
        radius: of the capsule [m].
        length: of its cylinder, (k,) [m].
    """
    cylinder, ball = np.pi * radius**2 * length, 4.0 / 3.0 * np.pi * radius**3
    share = cylinder / (cylinder + ball)
    across = share * (length**2 / 12.0 + radius**2 / 4.0)
    across = across + (1.0 - share) * (0.4 * radius**2 + 0.25 * length**2 + 0.375 * length * radius)
    return np.stack([across, share * radius**2 / 2.0 + (1.0 - share) * 0.4 * radius**2], axis=-1)


class LinkLengths:
    """The links of a model whose length can change.

    Args:
        model: the model with its nominal lengths.
    """

    def __init__(self, model: mujoco.MjModel) -> None:
        self._model = model
        found = ((body, capsule_of(model, body)) for body in range(model.nbody))
        self.links: dict[int, Capsule] = {body: link for body, link in found if link is not None}
        """By number of the body."""
        self._nominal = {name: np.array(getattr(model, name))[None] for name in ("body_pos", "geom_pos", "geom_size")}

    def stretch(self, fields: dict[str, FloatArray], lengths: list[tuple[int, FloatArray]]) -> None:
        """Change arrays of the fields in `FIELDS`, each (k, ...), which hold everything but lengths, in place.

        Args:
            fields: the arrays by name of the field.
            lengths: body and its new length, (k,) [m].
        """
        for body, length in lengths:
            _stretch_one(self._model, fields, self.links[body], length)
        for root in {int(self._model.body_rootid[body]) for body, _ in lengths}:
            if _slides_up(self._model, root):
                rise = self._lowest(self._nominal, root) - self._lowest(fields, root)
                fields["body_pos"][:, root, 2] += rise

    def _lowest(self, fields: dict[str, FloatArray], root: int) -> FloatArray:
        """Height of the lowest point of a tree in the model's own pose, in which no body is turned, (k,) [m]."""
        model = self._model
        heights: dict[int, FloatArray] = {0: np.zeros(len(fields["body_pos"]))}
        lowest = np.full(len(fields["body_pos"]), np.inf)
        for body in range(1, model.nbody):
            heights[body] = heights[int(model.body_parentid[body])] + fields["body_pos"][:, body, 2]
            link = self.links.get(body)
            if link is not None and int(model.body_rootid[body]) == root:
                reach = abs(link.axis[2]) * fields["geom_size"][:, link.geom, 1] + model.geom_size[link.geom, 0]
                lowest = np.minimum(lowest, heights[body] + fields["geom_pos"][:, link.geom, 2] - reach)
        return lowest


def _stretch_one(model: mujoco.MjModel, fields: dict[str, FloatArray], link: Capsule, length: FloatArray) -> None:
    more, geom, body = length - link.length, link.geom, link.body
    middle = 0.0 if link.root else 0.5
    shift = more[:, None] * link.axis
    fields["geom_size"][:, geom, 1] += 0.5 * more
    fields["geom_pos"][:, geom] += middle * shift
    fields["geom_rbound"][:, geom] += 0.5 * more
    fields["geom_aabb"][:, geom, 5] += 0.5 * more
    if "bvh_aabb" in fields:  # a model without contacts has none
        fields["bvh_aabb"][:, int(model.body_bvhadr[body]), 5] += 0.5 * more
    fields["body_ipos"][:, body] += middle * shift
    fields["body_inertia"][:, body] *= inertia_ratio(model, link, length)
    fields["body_pos"][:, link.children] += ((0.5 + middle) * shift)[:, None]


def _slides_up(model: mujoco.MjModel, root: int) -> bool:
    """Whether a root body has a joint along the world's vertical."""
    first = int(model.body_jntadr[root])
    joints = range(first, first + int(model.body_jntnum[root]))
    return any(int(model.jnt_type[joint]) == _SLIDE and abs(model.jnt_axis[joint, 2]) > 0.99 for joint in joints)
