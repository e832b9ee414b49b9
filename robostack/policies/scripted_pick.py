"""A hand-written policy that picks a cube: above it, down, shut the hand, up. It has no memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hardware.arrays import Array, namespace
from robostack.policies.scripted import ScriptedPolicy

if TYPE_CHECKING:
    from robostack.tasks.panda_tool import ToolMotionConfig
    from robostack.tasks.task import Term


@dataclass(frozen=True)
class PickGeometry:
    """Sizes of hand and cube; the defaults are those of the Panda's task."""

    hover_m: float = 0.07
    """Height above the cube at which the tool comes over it [m]."""
    over_m: float = 0.012
    """Horizontal error below which it goes down [m]."""
    kept_m: float = 0.012
    """Horizontal error below which a hand that shuts has the cube in it [m]; shutting moves the cube."""
    at_cube_m: float = 0.008
    """Vertical error below which the hand shuts [m]."""
    grasped: float = 0.062
    """A hand that stands still, shut this far or less, with the cube in it, has grasped it; unit of the opening."""
    still: float = 0.02
    """Speed of the opening below which the hand stands still."""


class ScriptedPick(ScriptedPolicy):
    """Moves the target of the tool straight to the next of four places, as far as an action goes.

    Args:
        terms: blocks of the observation of `panda-pick-cube` or `so101-pick-cube`.
        motion: how an action moves the tool.
        geometry: of hand and cube.
    """

    def __init__(self, terms: tuple[Term, ...], motion: ToolMotionConfig, geometry: PickGeometry | None = None) -> None:
        super().__init__(terms)
        self.motion, self.geometry = motion, geometry if geometry is not None else PickGeometry()

    def action(self, seen: dict[str, Array]) -> Array:
        """The action, (..., num_actions), for the observation's blocks in physical units, (..., k) each."""
        xp, size = namespace(seen["tool_to_target"]), self.geometry
        to_cube, ahead = seen["tool_to_cube"], seen["tool_to_target"]
        closed = seen["gripper_closed"] > 0.5
        away = xp.linalg.vector_norm(to_cube[..., :2], axis=-1, keepdims=True)
        over = xp.where(closed, away < size.kept_m, away < size.over_m)
        level = xp.abs(to_cube[..., 2:]) < size.at_cube_m
        still = xp.abs(seen["gripper_velocity"]) < size.still
        inside = over & (xp.abs(to_cube[..., 2:]) < 2.0 * size.at_cube_m)
        grasped = closed & inside & still & (seen["gripper"] < size.grasped)
        shut = (over & level) | (closed & inside)
        above = xp.where(over, xp.zeros_like(to_cube[..., 2:]), size.hover_m * xp.ones_like(to_cube[..., 2:]))
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
