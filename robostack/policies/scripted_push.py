"""A hand-written policy that pushes a box: behind it, as seen from the goal, then through it; a yardstick."""

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
"""Distance of the tool from the middle of the box when it touches its side [m]."""
SPEED_M_S = 0.12
"""Largest speed of the tool [m/s]."""
GAIN = 3.0
"""Speed per metre of error [1/s]."""
SIDE_GAIN = 8.0
"""Sideways speed per metre beside the line through box and goal [1/s]."""
STRAIGHT_M = 0.02
"""Distance from that line at which pushing has fallen to a third [m]."""
CLEAR_M = 0.015
"""Gap to the box at which it moves sideways freely [m]."""
CLOSE_M = 0.018
"""Distance of the box from the goal at which pushing ends [m]: nearer, the direction to the goal turns with every
millimetre of error, and a tool that follows it sweeps the box away."""
RETREAT_M = 0.03
"""Gap to the box to which the tool then backs off [m]."""
VELOCITY_GAIN = 12.0
"""Acceleration per speed error [1/s]."""


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
        velocity = self._tool_velocity(tool, seen["box_position"], seen["goal"])
        turn = GAIN * rotation_error(xp.asarray(self._down.copy()), rotation)
        jacobian = jacobian[..., : arm.shape[-1]]
        transposed = xp.matrix_transpose(jacobian)
        gram = jacobian @ transposed + 1e-4 * xp.eye(6, dtype=jacobian.dtype)
        twist = xp.concat([velocity, turn], axis=-1)
        wanted = (transposed @ xp.linalg.solve(gram, twist[..., None]))[..., 0]
        limit = xp.asarray(np.asarray(self.task.spec.acceleration_max[: arm.shape[-1]]).copy())
        scale = self.task.config.acceleration_scale * limit
        return xp.clip(VELOCITY_GAIN * (wanted - seen["joint_velocity"]) / scale, -1.0, 1.0)

    def _tool_velocity(self, tool: Array, box: Array, goal: Array) -> Array:
        """Velocity of the tool, (..., 3) [m/s]."""
        xp = namespace(tool)
        way = goal - box
        left = xp.linalg.vector_norm(way, axis=-1, keepdims=True)
        along = way / xp.maximum(left, 1e-3 * xp.ones_like(left))
        across = xp.stack([-along[..., 1], along[..., 0]], axis=-1)
        from_box = tool[..., :2] - box
        distance = xp.linalg.vector_norm(from_box, axis=-1, keepdims=True)
        away = from_box / xp.maximum(distance, 1e-3 * xp.ones_like(distance))
        aside = xp.sum(from_box * across, axis=-1, keepdims=True)
        gap = -BEHIND_M - xp.sum(from_box * along, axis=-1, keepdims=True)
        # Push while straight behind the box; else back off, and only then move sideways, so as not to drag it along.
        straight = xp.exp(-((aside / STRAIGHT_M) ** 2))
        forward = straight * GAIN * (left + gap) + (1.0 - straight) * GAIN * (gap - CLEAR_M)
        free = xp.clip(gap / CLEAR_M, 0.2, 1.0)
        plane = xp.clip(forward, -SPEED_M_S, SPEED_M_S) * along
        plane = plane + xp.clip(-SIDE_GAIN * free * aside, -SPEED_M_S, SPEED_M_S) * across
        retreat = xp.clip(GAIN * (BEHIND_M + RETREAT_M - distance), 0.0, SPEED_M_S) * away
        plane = xp.where(left > CLOSE_M, plane, retreat)
        return xp.concat([plane, GAIN * (HEIGHT_M - tool[..., 2:])], axis=-1)
