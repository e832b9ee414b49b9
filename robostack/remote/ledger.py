"""Takes transitions from actors into a learner's replay so that each counts once, also when either end is killed.

Before a batch goes into the replay, `received.json` says which numbers it has and how many transitions the replay will
hold with it; then the replay is flushed, the file says that the batch is whole, and only then it is acknowledged. A
learner that was killed in between takes what came of the batch back, and the actor sends it again.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray

from hardware.errors import CheckpointError
from robostack.files import write_text
from robostack.learning.learner import Transition
from robostack.learning.replay import Replay
from robostack.remote.rows import batches

NAME = "received.json"


class KeepsTransitions(Protocol):
    """A learner whose replay is on disk."""

    online: Replay
    """What the policy did."""
    demos: Replay
    """Demonstrations and corrections."""

    def observe(self, transition: Transition) -> None:
        """Keep a batch."""
        ...

    def flush(self) -> None:
        """Wait until everything is on the disk."""
        ...


@dataclass
class Received:
    """What the file says."""

    actors: dict[str, int]
    """Actor -> highest number taken."""
    actor: str = ""
    """Whose batch came last."""
    whole: bool = True
    """Whether that batch is on the disk; if not, its number in `actors` holds only if the replay has grown by it."""
    before: int = 0
    """That actor's highest number without the batch."""
    online: tuple[int, int] = (0, 0)
    """Transitions ever added to the replay, before and with the batch."""
    demos: tuple[int, int] = (0, 0)
    """Demonstrations and corrections ever added, before and with the batch."""
    version: int = 0
    """Newest version of the weights that was published."""


class Ledger:
    """See the module.

    Args:
        folder: of the run.
        say: gets what people should know.

    Raises:
        CheckpointError: the file is damaged.
    """

    def __init__(self, folder: Path, say: Callable[[str], None]) -> None:
        self.path, self._say = folder / NAME, say
        self.received = self._read()
        self.duplicates = self.missing = 0
        """Transitions that came again; that an actor never sent, because it lost them."""

    def recover(self, learner: KeepsTransitions) -> None:
        """After a start: take back a batch that did not arrive whole."""
        found = self.received
        if found.whole:
            return
        totals = (learner.online.total, learner.demos.total)
        if totals[0] >= found.online[1] and totals[1] >= found.demos[1]:
            return
        found.actors[found.actor] = found.before
        if totals[0] >= found.online[0] and totals[1] >= found.demos[0]:
            learner.online.rewind(found.online[0])
            learner.demos.rewind(found.demos[0])
        found.whole = True
        self._say("the last batch before the stop did not arrive whole; the actor sends it again")

    def take(self, learner: KeepsTransitions, actor: str, first: int, rows: NDArray[Any]) -> int:
        """Keep what is new of a batch; returns the actor's highest number that is on the disk.

        Raises:
            CheckpointError: the disk is full or broken; nothing of the batch is kept.
        """
        found = self.received
        highest = found.actors.get(actor, 0)
        known = min(max(0, highest + 1 - first), len(rows))
        self.duplicates += known
        rows = rows[known:]
        if len(rows) == 0:
            return highest
        missing = max(0, first - highest - 1)
        parts = list(batches(rows))
        online = sum(len(part.observation) for part in parts if part.source != "demo")
        demos = sum(len(part.observation) for part in parts if part.source in ("demo", "intervention"))
        before = (learner.online.total, learner.demos.total)
        last = first + known + len(rows) - 1
        entry = Received(
            actors={**found.actors, actor: last},
            actor=actor,
            whole=False,
            before=highest,
            online=(before[0], before[0] + online),
            demos=(before[1], before[1] + demos),
            version=found.version,
        )
        try:
            self._write(entry)
            for part in parts:
                learner.observe(part)
            learner.flush()
            entry.whole = True
            self._write(entry)
        except CheckpointError:
            learner.online.rewind(before[0])
            learner.demos.rewind(before[1])
            raise
        self.received = entry
        self.missing += missing
        return last

    def published(self, version: int) -> None:
        """Write down that a version of the weights is about to be published, so that its number is never used again."""
        self.received.version = version
        self._write(self.received)

    def _write(self, entry: Received) -> None:
        try:
            write_text(self.path, json.dumps(entry.__dict__))
        except OSError as error:
            raise CheckpointError(f"{self.path} cannot be written: {error.strerror}. Free some room.") from error

    def _read(self) -> Received:
        if not self.path.exists():
            return Received({})
        try:
            values = json.loads(self.path.read_text())
            pairs = {name: (int(values[name][0]), int(values[name][1])) for name in ("online", "demos")}
            actors = {str(name): int(number) for name, number in values["actors"].items()}
            whole, before, version = bool(values["whole"]), int(values["before"]), int(values["version"])
            return Received(actors, str(values["actor"]), whole, before, version=version, **pairs)
        except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
            raise CheckpointError(
                f"{self.path} is damaged ({error}). Remove it to go on; the last transitions may then come twice."
            ) from error
