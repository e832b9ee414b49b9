"""A hand-written policy that pushes a box by a face, and steers it by where it touches that face; a yardstick.

With little friction a box goes where the normal of the pushed face points, whichever way the tool moves. Pushed at the
speed v, at an offset s from its centre of friction, it turns by about v s / (c^2 + s^2), the pushed side going ahead,
with c of 0.38 sides for a square (Lynch, Maekawa and Tanie, "Manipulation and Active Sensing by Pushing Using Tactile
Feedback", IROS 1992). So the tool pushes along the normal, and takes its offset from the angle between the normal and
the direction to the goal. Where the centre of friction is not known, the angle that remains finds the offset it takes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from controllers.rotations import rotation_error
from hardware.arrays import Array, frozen, namespace
from robostack.policies.scripted import ScriptedPolicy

if TYPE_CHECKING:
    from robostack.tasks.panda_push import PandaPush

HEIGHT_M = 0.025
"""Height of the tool above the table [m]."""
BEHIND_M = 0.062
"""Distance of the tool from the middle of the box, along the normal, when it touches the face [m]."""
SPEED_M_S = 0.09
"""Largest speed of the tool along the normal, and along the face [m/s]."""
GAIN = 3.0
"""Speed per metre of error [1/s]."""
SIDE_GAIN = 8.0
"""Speed along the face per metre from the wanted offset [1/s]."""
STEER_M = 0.15
"""Wanted offset per radian between the normal and the direction to the goal [m/rad]."""
OFFSET_M = 0.045
"""Largest wanted offset [m]; the face ends at 0.05."""
NEAR_M = 0.03
"""Distance from the wanted offset at which pushing has fallen to a third [m]."""
CLEAR_M = 0.015
"""Gap to the face to which the tool backs off where it does not push [m]."""
WIDEST_RAD = 1.0
"""Angle between the normal and the direction to the goal from which on another face is pushed [rad]."""
CLOSE_M = 0.012
"""Distance of the box from the goal at which pushing ends [m]: nearer, the direction to the goal turns with every
millimetre of error, and a tool that follows it sweeps the box away."""
RETREAT_M = 0.03
"""Gap to the box to which the tool then backs off [m]."""
VELOCITY_GAIN = 12.0
"""Acceleration per speed error [1/s]."""
_QUARTER = 0.5 * np.pi


class ScriptedPush(ScriptedPolicy):
    """Tool velocity by geometry, joint speeds by damped least squares, accelerations by their error; no memory.

    Once the box is there, the tool backs off straight away from it.

    Args:
        task: the push task.
    """

    def __init__(self, task: PandaPush) -> None:
        super().__init__(task.observation)
        self.task = task
        self._down = frozen(task.chain.forward(task.spec.default_position)[1])

    def action(self, seen: dict[str, Array]) -> Array:
        """The action, (..., num_actions), for the observation's blocks in physical units, (..., k) each."""
        arm = seen["joint_position"]
        xp = namespace(arm)
        joints = xp.concat([arm, xp.zeros_like(arm[..., :1])], axis=-1)
        tool, rotation, jacobian = self.task.chain.forward_and_jacobian(joints)
        turn = seen["box_turn"]
        heading = xp.atan2(turn[..., :1], turn[..., 1:])
        plane = plane_velocity(tool[..., :2], seen["box_position"], heading, seen["goal"])
        velocity = xp.concat([plane, GAIN * (HEIGHT_M - tool[..., 2:])], axis=-1)
        spin = GAIN * rotation_error(xp.asarray(self._down.copy()), rotation)
        jacobian = jacobian[..., : arm.shape[-1]]
        transposed = xp.matrix_transpose(jacobian)
        gram = jacobian @ transposed + 1e-4 * xp.eye(6, dtype=jacobian.dtype)
        twist = xp.concat([velocity, spin], axis=-1)
        wanted = (transposed @ xp.linalg.solve(gram, twist[..., None]))[..., 0]
        limit = xp.asarray(np.asarray(self.task.spec.acceleration_max[: arm.shape[-1]]).copy())
        scale = self.task.config.acceleration_scale * limit
        return xp.clip(VELOCITY_GAIN * (wanted - seen["joint_velocity"]) / scale, -1.0, 1.0)


def plane_velocity(tool: Array, box: Array, heading: Array, goal: Array) -> Array:
    """Velocity of the tool in the plane of the table, (..., 2) [m/s].

    Args:
        tool: its place, (..., 2) [m].
        box: place of its middle, (..., 2) [m].
        heading: angle by which the box is turned, (..., 1) [rad].
        goal: where the box is to go, (..., 2) [m].
    """
    xp = namespace(tool)
    way, from_box = goal - box, tool - box
    left = xp.linalg.vector_norm(way, axis=-1, keepdims=True)
    normal = pushed_normal(way, -from_box, heading)
    face = xp.concat([-normal[..., 1:], normal[..., :1]], axis=-1)
    ahead, beside = _along(way, normal), _along(way, face)
    gap, offset = -BEHIND_M - _along(from_box, normal), _along(from_box, face)
    wrong = xp.clip(-STEER_M * xp.atan2(beside, ahead), -OFFSET_M, OFFSET_M) - offset
    there = xp.exp(-((wrong / NEAR_M) ** 2))
    push = there * GAIN * (ahead + gap) + (1.0 - there) * GAIN * (gap - CLEAR_M)
    # A tool beside the box first moves back, and only then behind the face.
    free = xp.where(xp.abs(offset) < BEHIND_M, xp.ones_like(gap), xp.clip(gap / CLEAR_M, 0.0, 1.0))
    slide = free * xp.clip(SIDE_GAIN * wrong, -SPEED_M_S, SPEED_M_S)
    pushing = xp.clip(push, -SPEED_M_S, SPEED_M_S) * normal + slide * face
    distance = xp.linalg.vector_norm(from_box, axis=-1, keepdims=True)
    away = from_box / xp.maximum(distance, 1e-3 * xp.ones_like(distance))
    retreat = xp.clip(GAIN * (BEHIND_M + RETREAT_M - distance), 0.0, SPEED_M_S) * away
    return xp.where(left > CLOSE_M, pushing, retreat)


def pushed_normal(way: Array, reach: Array, heading: Array) -> Array:
    """Inward normal of the face to push, (..., 2).

    The face that the tool is at, as long as the goal lies ahead of it: so the tool does not change faces where two are
    equally good. Else the face that has the goal straightest ahead.

    Args:
        way: from the box to the goal, (..., 2) [m].
        reach: from the tool to the box, (..., 2) [m].
        heading: angle by which the box is turned, (..., 1) [rad].
    """
    xp = namespace(way)
    to_goal, to_box = (xp.atan2(vector[..., 1:], vector[..., :1]) - heading for vector in (way, reach))
    at, best = xp.round(to_box / _QUARTER), xp.round(to_goal / _QUARTER)
    difference = to_goal - at * _QUARTER
    kept = xp.cos(difference) > np.cos(WIDEST_RAD)
    angle = heading + _QUARTER * xp.where(kept, at, best)
    return xp.concat([xp.cos(angle), xp.sin(angle)], axis=-1)


def _along(vector: Array, direction: Array) -> Array:
    """Component of a vector along a unit vector, (..., 1)."""
    return namespace(vector).sum(vector * direction, axis=-1, keepdims=True)
