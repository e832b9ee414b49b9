"""Whoever may take over from a policy: asked at every step, answers with the action to execute instead, or None.

After Luo et al., "Precise and Dexterous Robotic Manipulation via Human-in-the-Loop Reinforcement Learning", arXiv
2410.21845: what is executed is what is learned from, in the policy's own action frame and bounds, with the source
"intervention"; learners keep such steps among the demonstrations, too.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from hardware.arrays import Array
from hardware.records import RobotState
from robostack.tasks.task import Episode


class Corrector(Protocol):
    """A person, or a program in a person's place."""

    def reset(self) -> None:
        """An episode begins."""
        ...

    def correct(self, observation: Array, action: Array, state: RobotState, episode: Episode) -> Array | None:
        """The action to execute in place of the policy's; None: the policy goes on.

        Args:
            observation: what the policy saw, (num_observations,).
            action: what the policy answered, (num_actions,).
            state: the measurement behind `observation`, of one robot, in the plant's batch shape.
            episode: what the task remembers, in the same shape.

        Returns:
            An action within the task's bounds, (num_actions,), or None.

        Raises:
            DeviceError: the person was in control and cannot be heard any more; the episode must end.
        """
        ...


@runtime_checkable
class Verdicts(Protocol):
    """A corrector that also says how an episode ended: the person is the judge."""

    def verdict(self) -> bool | None:
        """True: it succeeded, False: it failed, None: nothing was said since the last call."""
        ...
