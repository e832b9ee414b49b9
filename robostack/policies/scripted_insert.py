"""A hand-written policy that inserts a peg: over the hole, then down; the chamfer and the springs do the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hardware.arrays import Array, namespace
from robostack.policies.scripted import ScriptedPolicy

if TYPE_CHECKING:
    from robostack.tasks.panda_tool import ToolMotionConfig
    from robostack.tasks.task import Term

HOVER_M = 0.006
"""Height of the tip above the hole at which it comes over it [m]."""
DEPTH_M = 0.025
"""Depth that it goes for [m]."""
OVER_M = 0.001
"""Horizontal error below which it goes down [m]."""


class ScriptedInsert(ScriptedPolicy):
    """Moves the target of the tool by the error, as far as an action goes; it has no memory.

    Args:
        terms: blocks of the observation of `panda-peg-insert`.
        motion: how an action moves the tool.
    """

    def __init__(self, terms: tuple[Term, ...], motion: ToolMotionConfig) -> None:
        super().__init__(terms)
        self.motion = motion

    def action(self, seen: dict[str, Array]) -> Array:
        """The action, (..., num_actions), for the observation's blocks in physical units, (..., k) each."""
        xp = namespace(seen["tool_to_target"])
        to_hole, ahead = seen["tip_to_hole"], seen["tool_to_target"]
        beside = xp.linalg.vector_norm(to_hole[..., :2], axis=-1, keepdims=True)
        inside = to_hole[..., 2:] > 0.0
        down = (beside < OVER_M) | inside
        height = xp.where(down, to_hole[..., 2:] - DEPTH_M, to_hole[..., 2:] + HOVER_M)
        goal = xp.concat([to_hole[..., :2], height], axis=-1)
        return xp.clip((goal - ahead) / self.motion.step_m, -1.0, 1.0)
