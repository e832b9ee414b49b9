"""What a learner answers to its actors: who may join, which transitions it has on disk, the newest weights."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from hardware.errors import CheckpointError, ContractMismatchError, ProtocolError
from robostack.contract import Contract, contract_from_json, require_match
from robostack.remote.learner_port import LearnerPort, Message
from robostack.remote.protocol import BATCH_MAX, VERSION
from robostack.remote.rows import Layout, row_type, rows_from

GONE_S = 10.0
"""An actor that is silent for this long is gone [s]."""
ROUND = 64
"""Messages answered before the learner learns on."""


@dataclass(frozen=True)
class Identity:
    """What an actor must know of the learner before it sends anything."""

    run: str
    """Name of the run that no other has."""
    learner: str
    """Registry name of the learner."""
    contract: Contract
    """Of the task it learns."""
    layout: Layout
    """Of its transitions."""


@dataclass
class Actor:
    """One that has been let in."""

    actor: str
    """Its name for this start."""
    robot: str
    """Name of its key."""
    heard_s: float
    """When it was last heard [s]."""
    status: Mapping[str, Any] = field(default_factory=dict)
    """What it said of itself."""


class LearnerEnd:
    """See the module.

    Args:
        port: the socket.
        identity: see there.
        take: keeps transitions of an actor from a sequence number on; returns the highest number that is on disk, or
            raises CheckpointError.
        status: what the learner says of itself: text, switches and finite numbers.
        say: gets what people should know.
    """

    def __init__(
        self,
        port: LearnerPort,
        identity: Identity,
        take: Callable[[str, int, NDArray[Any]], int],
        status: Callable[[], dict[str, Any]],
        say: Callable[[str], None],
    ) -> None:
        self.port, self.identity = port, identity
        self.actors: dict[bytes, Actor] = {}
        self.problem = ""
        """Why transitions cannot be kept now."""
        self._take, self._status, self._say = take, status, say
        self._kind = row_type(identity.layout)
        self._weights: Mapping[str, Any] | None = None

    def serve(self, wait_s: float) -> None:
        """Answer what has come; wait at most `wait_s` [s] if nothing has."""
        for _ in range(ROUND):
            message = self.port.receive(wait_s)
            if message is None:
                break
            wait_s = 0.0
            self._answer(message)
        now_s = time.monotonic()
        for peer, actor in list(self.actors.items()):
            if now_s - actor.heard_s > GONE_S:
                del self.actors[peer]
                self._say(f"{actor.robot} ({actor.actor[:8]}) is gone")

    def publish(self, weights: Mapping[str, Any]) -> None:
        """Offer weights (`weights.packed`) to every actor."""
        self._weights = weights
        self.tell()

    def tell(self) -> None:
        """Send the status to every actor."""
        for peer in self.actors:
            self.port.send(peer, "status", values=self._status())

    def _answer(self, message: Message) -> None:
        peer, kind = message.peer, message.kind
        actor = self.actors.get(peer)
        if kind == "hello":
            self._on_hello(message)
        elif kind not in ("transitions", "want_weights", "alive"):
            self.port.refuse(peer, f"malformed: an actor does not send '{kind}'")
        elif actor is None:
            self.port.send(peer, "greet")
        else:
            actor.heard_s = time.monotonic()
            if kind == "transitions":
                self._on_transitions(message)
            elif kind == "alive":
                actor.status = message.values["status"]
                self.port.send(peer, "status", values=self._status())
            elif self._weights is not None:
                self.port.send(peer, "weights", **self._weights)

    def _on_hello(self, message: Message) -> None:
        values, identity = message.values, self.identity
        try:
            if values["version"] != VERSION:
                raise ProtocolError(f"version {values['version']} of the protocol; this learner speaks {VERSION}")
            offered = contract_from_json(values["contract"], "the actor's contract")
            require_match(identity.contract, offered, f"the learner of '{identity.contract.task}'")
        except (ProtocolError, CheckpointError, ContractMismatchError) as error:
            self._say(f"refused {message.robot}: {error}")
            self.port.send(message.peer, "refusal", reason=str(error))
            return
        if values["actor"] not in {known.actor for known in self.actors.values()}:
            self._say(f"{message.robot} ({values['actor'][:8]}) has joined")
        stale = [peer for peer, known in self.actors.items() if known.actor == values["actor"]]
        for peer in stale:
            del self.actors[peer]
        self.actors[message.peer] = Actor(values["actor"], message.robot, time.monotonic())
        about = {"run": identity.run, "learner": identity.learner, "layout": dict(identity.layout)}
        self.port.send(message.peer, "welcome", version=VERSION, **about)
        self.port.send(message.peer, "status", values=self._status())

    def _on_transitions(self, message: Message) -> None:
        values = message.values
        try:
            if values["first"] < 1 or not 1 <= values["count"] <= BATCH_MAX:
                raise ProtocolError(f"{values['count']} transitions from number {values['first']}")
            rows = rows_from(values["rows"], values["count"], self._kind)
        except ProtocolError as error:
            self.port.refuse(message.peer, f"malformed: {error}")
            return
        try:
            last = self._take(values["actor"], values["first"], rows)
        except CheckpointError as error:
            if str(error) != self.problem:
                self._say(str(error))
            self.problem = str(error)
            self.port.send(message.peer, "retry", reason=str(error))
            return
        self.problem = ""
        self.port.send(message.peer, "taken", actor=values["actor"], last=last)
