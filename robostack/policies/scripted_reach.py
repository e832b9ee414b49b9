"""A hand-written policy for reaching: velocity proportional to the observed error, the yardstick for learned ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hardware.arrays import Array, namespace
from hardware.errors import NonFiniteError

if TYPE_CHECKING:
    from robostack.tasks.ur5e_reach import Ur5eReach

GAIN = 4.0
"""Approach speed per metre of error [1/s]; 0.1 s of delay leaves a phase margin of 67 degrees."""


class ScriptedReach:
    """v = GAIN e, shortened to the largest speed with its direction kept.

    Args:
        task: the reach task; for "joint_velocity" its chain gives the Jacobian.
    """

    def __init__(self, task: Ur5eReach) -> None:
        self.task = task

    def reset(self) -> None:
        """There is no memory."""

    def act(self, observation: Array) -> Array:
        """The action for `observation` (..., num_observations), (..., num_actions).

        Raises:
            NonFiniteError: the observation is not finite.
        """
        xp = namespace(observation)
        if not xp.all(xp.isfinite(observation)):
            raise NonFiniteError("the observation is not finite")
        error = observation[..., :3] * self.task.observation[0].scale
        velocity = GAIN * error
        speed_max = self.task.config.tool_speed_m_s
        speed = xp.linalg.vector_norm(velocity, axis=-1, keepdims=True)
        velocity = velocity * (speed_max / xp.maximum(speed, speed_max * xp.ones_like(speed)))
        if self.task.config.action == "joint_velocity":
            jacobian = self.task.chain.jacobian(observation[..., -len(self.task.spec.joints) :])
            velocity = self.task.joint_speeds(jacobian, xp.concat([velocity, xp.zeros_like(velocity)], axis=-1))
        return xp.clip(velocity / self.task.action[0].scale, -1.0, 1.0)
