"""A hand-written policy that picks a cube: above it, down, shut the hand, up. It has no memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hardware.arrays import Array, namespace
from robostack.policies.scripted import ScriptedPolicy

if TYPE_CHECKING:
    from robostack.tasks.panda_tool import ToolMotionConfig
    from robostack.tasks.task import Term

HOVER_M = 0.07
"""Height above the cube at which the tool comes over it [m]."""
OVER_M = 0.012
"""Horizontal error below which it goes down [m]."""
AT_CUBE_M = 0.008
"""Vertical error below which the hand shuts [m]."""
GRASPED_WIDTH_M = 0.062
"""A hand that stands still, shut this far or less, with the cube in it, has grasped it [m]."""
STILL_M_S = 0.02
"""Speed of the fingers below which they stand still [m/s]."""


class ScriptedPick(ScriptedPolicy):
    """Moves the target of the tool straight to the next of four places, as far as an action goes.

    Args:
        terms: blocks of the observation of `panda-pick-cube`.
        motion: how an action moves the tool.
    """

    def __init__(self, terms: tuple[Term, ...], motion: ToolMotionConfig) -> None:
        super().__init__(terms)
        self.motion = motion

    def action(self, seen: dict[str, Array]) -> Array:
        """The action, (..., num_actions), for the observation's blocks in physical units, (..., k) each."""
        xp = namespace(seen["tool_to_target"])
        to_cube, ahead = seen["tool_to_cube"], seen["tool_to_target"]
        closed = seen["gripper_closed"] > 0.5
        over = xp.linalg.vector_norm(to_cube[..., :2], axis=-1, keepdims=True) < OVER_M
        level = xp.abs(to_cube[..., 2:]) < AT_CUBE_M
        still = xp.abs(seen["gripper_velocity"]) < STILL_M_S
        inside = over & (xp.abs(to_cube[..., 2:]) < 2.0 * AT_CUBE_M)
        grasped = closed & inside & still & (seen["gripper"] < GRASPED_WIDTH_M)
        shut = (over & level) | (closed & inside)
        above = xp.where(over, xp.zeros_like(to_cube[..., 2:]), HOVER_M * xp.ones_like(to_cube[..., 2:]))
        goal = xp.concat([to_cube[..., :2], to_cube[..., 2:] + above], axis=-1)
        lift = xp.concat([xp.zeros_like(to_cube[..., :2]), self.motion.step_m + ahead[..., 2:]], axis=-1)
        goal = xp.where(grasped, lift, xp.where(shut, ahead, goal))
        step = (goal - ahead) / self.motion.step_m
        moves = [xp.clip(step, -1.0, 1.0)]
        if self.motion.turn_rad > 0.0:
            moves.append(self._turn(seen["cube_turn"], closed))
        moves.append(xp.where(shut, xp.ones_like(step[..., :1]), -xp.ones_like(step[..., :1])))
        return xp.concat(moves, axis=-1)

    def _turn(self, cube_turn: Array, closed: Array) -> Array:
        """Turn of the tool towards the nearest face of the cube, until the hand shuts, (..., 1)."""
        xp = namespace(cube_turn)
        angle = 0.25 * xp.atan2(cube_turn[..., 1:], cube_turn[..., :1])
        turn = xp.clip(angle / self.motion.turn_rad, -1.0, 1.0)
        return xp.where(closed, xp.zeros_like(turn), turn)
