"""What a policy is to everything that runs one."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

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


@runtime_checkable
class Sees(Protocol):
    """A policy that may look through the task's cameras."""

    image_size: int | None
    """Width and height of the images that it needs [px]; None: none. With images, `act` takes a dictionary."""


def image_size_of(policy: Policy) -> int | None:
    """Width and height of the images that `policy` needs [px]; None: none."""
    return policy.image_size if isinstance(policy, Sees) else None
