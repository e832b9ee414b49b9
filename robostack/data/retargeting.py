"""Where a demonstration moved the tool relative to an object, and the actions that do the same at another place.

Everything is read from the blocks of the observation and the action by their names, so that any dataset of a task that
has them can be used: `tool_from_start`, `tool_to_target`, a distance to the object (`tool_to_cube`, `tip_to_hole`), and
`tool_displacement` in the action. Positions are in the base frame's directions, from where the tool began.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hardware.arrays import FloatArray
from hardware.errors import ConfigError
from robostack.contract import Contract
from robostack.env import bounds
from robostack.tasks.task import Term

_TO_OBJECT = re.compile(r"^(tool|tip)_to_(?!target)\w+(?<!_near)$")
_MOVES, _GRIPS = "tool_displacement", "gripper"
_CLOSES = 0.0
"""A gripper's action above this closes it."""


@dataclass(frozen=True)
class Segment:
    """A part of a demonstration within which the tool moves relative to one place of the object."""

    target: FloatArray
    """Where each action sent the tool, from where the object was at the beginning of the segment, (n, 3) [m]."""
    rest: FloatArray
    """The other elements of each action, (n, num_actions); those of the displacement are 0."""


class Retargeting:
    """See the module.

    Args:
        contract: of the task.

    Raises:
        ConfigError: the task's observations or actions do not say what is needed.
    """

    def __init__(self, contract: Contract) -> None:
        seen, done = _blocks(contract.observation), _blocks(contract.action)
        objects = [name for name in seen if _TO_OBJECT.match(name)]
        missing = [name for name in ("tool_from_start", "tool_to_target") if name not in seen]
        missing += [] if objects else ["tool_to_<object>"]
        missing += [] if _MOVES in done else [f"the action {_MOVES}"]
        unknown = set(done) - {_MOVES, _GRIPS}
        if missing or unknown:
            lacking = f"has no {', '.join(missing)}" if missing else f"also acts by {', '.join(sorted(unknown))}"
            raise ConfigError(
                f"demonstrations of '{contract.task}' cannot be moved to other places: the task {lacking}. "
                f"It takes tasks that displace a tool, and observe the tool, its target and an object"
            )
        self._start, self._ahead = seen["tool_from_start"], seen["tool_to_target"]
        self._object = seen[objects[0]]
        self._move, self._grip = done[_MOVES], done.get(_GRIPS)
        self._low, self._high = bounds(contract.action)

    def target(self, observation: FloatArray) -> FloatArray:
        """Where the tool is being sent, (..., 3) [m]."""
        return _value(self._start, observation) + _value(self._ahead, observation)

    def place(self, observation: FloatArray) -> FloatArray:
        """Where the object is, (..., 3) [m]; a constant distance from the tool to its tip does not matter."""
        return _value(self._start, observation) + _value(self._object, observation)

    def segments(self, observations: FloatArray, actions: FloatArray) -> list[Segment]:
        """A demonstration, (n, num_observations) and (n, num_actions), cut where the gripper opens or closes."""
        sent = self.target(observations) + _value(self._move, actions)
        cuts = [0, len(actions)]
        if self._grip is not None:
            closing = actions[:, self._grip[0]][:, 0] > _CLOSES
            cuts[1:1] = (np.flatnonzero(np.diff(closing.astype(np.int8))) + 1).tolist()
        rest = actions.copy()
        rest[:, self._move[0]] = 0.0
        return [
            Segment(sent[begin:end] - self.place(observations[begin]), rest[begin:end])
            for begin, end in itertools.pairwise(cuts)
        ]

    def towards(self, goal: FloatArray, observation: FloatArray, rest: FloatArray) -> tuple[FloatArray, bool]:
        """The action that sends the tool to `goal` (3,) [m], straight, and whether it gets there in one step."""
        part, scale = self._move
        wanted = (goal - self.target(observation)) / scale
        too_far = float(np.max(np.abs(wanted)))
        action = rest.copy()
        action[part] = wanted / max(too_far, 1.0)
        return np.clip(action, self._low, self._high), too_far <= 1.0

    def noisy(self, action: FloatArray, sigma: float, rng: np.random.Generator) -> FloatArray:
        """The action with noise on its displacement, `sigma` of its largest value."""
        part, changed = self._move[0], action.copy()
        changed[part] += sigma * self._high[part] * rng.standard_normal(len(changed[part]))
        return np.clip(changed, self._low, self._high)


def _blocks(terms: Sequence[Term]) -> dict[str, tuple[slice, float]]:
    """Name of each block -> where it is, and its scale."""
    found, begin = {}, 0
    for term in terms:
        found[term.name] = slice(begin, begin + len(term.elements)), term.scale
        begin += len(term.elements)
    return found


def _value(block: tuple[slice, float], vector: FloatArray) -> FloatArray:
    return np.asarray(vector, dtype=np.float64)[..., block[0]] * block[1]
