"""What the hand-written policies of tasks share: they have no memory, and see the observation in physical units."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from hardware.arrays import Array, namespace
from hardware.errors import NonFiniteError

if TYPE_CHECKING:
    from robostack.tasks.task import Term


class ScriptedPolicy(ABC):
    """A policy by geometry.

    Args:
        terms: blocks of the task's observation.
    """

    def __init__(self, terms: tuple[Term, ...]) -> None:
        self.terms = terms

    def reset(self) -> None:  # noqa: B027 - not abstract: none of them has a memory
        """There is no memory."""

    def act(self, observation: Array) -> Array:
        """The action for `observation` (..., num_observations), (..., num_actions).

        Raises:
            NonFiniteError: the observation is not finite.
        """
        xp = namespace(observation)
        if not xp.all(xp.isfinite(observation)):
            raise NonFiniteError("the observation is not finite")
        return self.action(unscaled(observation, self.terms))

    @abstractmethod
    def action(self, seen: dict[str, Array]) -> Array:
        """The action, (..., num_actions), for the observation's blocks in physical units, (..., k) each."""


def unscaled(observation: Array, terms: tuple[Term, ...]) -> dict[str, Array]:
    """Blocks of an observation in physical units, by name; where the observation was not clipped."""
    found, first = {}, 0
    for term in terms:
        last = first + len(term.elements)
        found[term.name] = observation[..., first:last] * term.scale
        first = last
    return found
