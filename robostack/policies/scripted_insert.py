"""A hand-written policy that inserts a peg: over the hole, then down; the chamfer and the springs do the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hardware.arrays import Array, namespace
from hardware.errors import NonFiniteError

if TYPE_CHECKING:
    from robostack.tasks.panda_tool import ToolMotionConfig
    from robostack.tasks.task import Term

HOVER_M = 0.006
"""Height of the tip above the hole at which it comes over it [m]."""
DEPTH_M = 0.025
"""Depth that it goes for [m]."""
OVER_M = 0.001
"""Horizontal error below which it goes down [m]."""


class ScriptedInsert:
    """Moves the target of the tool by the error, as far as an action goes; it has no memory.

    Args:
        terms: blocks of the observation of `panda-peg-insert`.
        motion: how an action moves the tool.
    """

    def __init__(self, terms: tuple[Term, ...], motion: ToolMotionConfig) -> None:
        self.terms, self.motion = terms, motion

    def reset(self) -> None:
        """There is no memory."""

    def act(self, observation: Array) -> Array:
        """The action for `observation` (..., num_observations), (..., num_actions).

        Raises:
            NonFiniteError: the observation is not finite.
        """
        from robostack.tasks.panda_tool import unscaled

        xp = namespace(observation)
        if not xp.all(xp.isfinite(observation)):
            raise NonFiniteError("the observation is not finite")
        seen = unscaled(observation, self.terms)
        to_hole, ahead = seen["tip_to_hole"], seen["tool_to_target"]
        beside = xp.linalg.vector_norm(to_hole[..., :2], axis=-1, keepdims=True)
        inside = to_hole[..., 2:] > 0.0
        down = (beside < OVER_M) | inside
        height = xp.where(down, to_hole[..., 2:] - DEPTH_M, to_hole[..., 2:] + HOVER_M)
        goal = xp.concat([to_hole[..., :2], height], axis=-1)
        return xp.clip((goal - ahead) / self.motion.step_m, -1.0, 1.0)
