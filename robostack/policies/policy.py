"""What a policy is to everything that runs one."""

from __future__ import annotations

from typing import Protocol

from hardware.arrays import Array


class Policy(Protocol):
    """A function from observation to action; it may keep memory within an episode."""

    def reset(self) -> None:
        """Forget the episode."""
        ...

    def act(self, observation: Array) -> Array:
        """The action for `observation` (..., num_observations), within the bounds of the action, (..., num_actions).

        Raises:
            NonFiniteError: the observation or the result is not finite.
        """
        ...
