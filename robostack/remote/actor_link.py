"""The thread between a robot's control loop and the learner: keeps every transition until it is acknowledged.

The control loop only appends to a queue in memory and reads what this thread has put down; it never waits. Here the
queue is written to the spool, sent, sent again where no answer came, and forgotten once the learner has it on disk.
"""

from __future__ import annotations

import hashlib
import threading
import uuid
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hardware.clock import Clock, SystemClock
from hardware.errors import ConfigError, DatasetError, NonFiniteError, ProtocolError, RobostackError
from robostack.contract import Contract
from robostack.learning.learner import Transition
from robostack.policies.exploring import ExploringPolicy
from robostack.remote.actor_port import ActorPort
from robostack.remote.backend import zmq
from robostack.remote.protocol import VERSION
from robostack.remote.rows import row_of, row_type
from robostack.remote.spool import SUFFIX, Spool, SpoolHead, left_behind
from robostack.remote.weights import unpacked

QUEUE_MAX = 2_000
"""Transitions in memory that are not in the spool yet; only a disk that hangs lets so many wait."""
TURN_S = 0.02
"""Longest wait for a message in each turn of the thread [s]."""
ALIVE_S = 1.0
"""Time between two signs of life, and between two greetings [s]."""
ANSWER_S = 5.0
"""After which a batch or a question for weights counts as lost, and is sent again [s]."""
RETRY_S = 2.0
"""Rest after the learner, or the robot's disk, could not store a batch [s]."""
BATCH, WINDOW = 256, 1024
"""Transitions per message, and under way at most."""


@dataclass(frozen=True)
class LinkConfig:
    """How an actor reaches its learner."""

    address: str
    """Of the learner, "host:port"."""
    keys: Path
    """Folder of keys."""
    spool: Path
    """Folder on the robot for what is not acknowledged."""
    spool_limit: int = 100_000
    """Transitions that may be without acknowledgement before no further episode begins."""
    batch_period_s: float = 0.2
    """Time between two writes to the spool [s]: what a power cut of the robot loses at most."""

    def __post_init__(self) -> None:
        """Check ranges.

        Raises:
            ConfigError: a value is out of range.
        """
        if self.spool_limit < 1 or not 0.0 <= self.batch_period_s <= 10.0:
            raise ConfigError("spool_limit must be at least 1, batch_period_s lie in [0, 10]")


@dataclass
class _Outbox:
    """A spool and how far it was sent."""

    spool: Spool
    sent: int = 0
    answered_s: float = 0.0


class ActorLink:
    """See the module. `offer` and the public attributes are for the control loop; everything else is the thread's.

    Args:
        config: see there.
        contract: of the robot and task at hand.
        clock: measures silence and resending.

    Raises:
        ConfigError: the keys or the address cannot be used.
        MissingExtraError: pyzmq or msgpack is not installed.
    """

    def __init__(self, config: LinkConfig, contract: Contract, clock: Clock | None = None) -> None:
        self.config, self.contract = config, contract
        self.clock: Clock = clock if clock is not None else SystemClock()
        self.actor = uuid.uuid4().hex
        """This start of this actor; sequence numbers count within it."""
        self.failure = ""
        """Why there is nothing left to hope for: refused, damaged, no keys in common."""
        self.problem = ""
        """What is wrong now and may pass; "" if nothing."""
        self.policy: ExploringPolicy | None = None
        """The newest weights."""
        self.version = 0
        """Their number; 0: none yet."""
        self.learner: Mapping[str, Any] = {}
        """The learner's newest status."""
        self.welcomed = False
        """Whether the learner has ever taken this actor in."""
        self.heard_s = self.clock.now()
        """When the learner was last heard [s]."""
        self.recorded = self.acknowledged = self.waiting = self.lost = self.rejected = 0
        """Transitions of this start: in the spool, acknowledged; without acknowledgement (of all starts); lost because
        the robot's disk hung; left out because they were not finite."""
        self.notes: deque[str] = deque(maxlen=100)
        """What a person should read; whoever shows them takes them away."""
        self.says: Mapping[str, Any] = {}
        """What the actor adds to its signs of life."""
        self._queue: deque[NDArray[Any]] = deque()
        self._kind: np.dtype[Any] | None = None
        self._run = ""
        self._outboxes: list[_Outbox] = []
        self._own: Spool | None = None
        self._at_home = False
        self._greeted_s = self._alive_s = self._asked_s = self._written_s = self._rest_s = 0.0
        self._port = ActorPort(config.address, config.keys, self.clock)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._guarded, name="learner-link", daemon=True)

    def start(self) -> None:
        """Begin to look for the learner."""
        self._thread.start()

    def offer(self, transition: Transition) -> None:
        """Keep a transition; never waits."""
        if self._kind is None:
            raise ProtocolError("there is no learner yet to act for")
        try:
            row = row_of(transition, self._kind)
        except NonFiniteError:
            self.rejected += 1
            return
        if len(self._queue) >= QUEUE_MAX:
            self.lost += 1
            return
        self._queue.append(row)

    @property
    def queued(self) -> int:
        """Transitions in memory only."""
        return len(self._queue)

    @property
    def silent_s(self) -> float:
        """How long the learner has not been heard [s]."""
        return self.clock.now() - self.heard_s

    @property
    def full(self) -> bool:
        """Whether so much waits that no further episode should begin."""
        return self.waiting + self.queued >= self.config.spool_limit or self.queued > QUEUE_MAX // 4

    def close(self, wait_s: float = 5.0) -> None:
        """Write down what is queued, give the learner `wait_s` to acknowledge, and let go."""
        end_s = self.clock.now() + wait_s
        while self._thread.is_alive() and self.clock.now() < end_s and (self.queued or self.waiting):
            if self.failure or (not self.queued and self.silent_s > 2.0):
                break
            self.clock.sleep_until(self.clock.now() + TURN_S)
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(wait_s)

    def _guarded(self) -> None:
        """The thread: whatever ends it is a reason that the actor can read."""
        try:
            while not self._stop.is_set():
                self._turn()
            self._write(True)
        except (RobostackError, OSError, zmq.ZMQError) as error:
            self.failure = self.failure or str(error)
        finally:
            if not self._stop.is_set():
                self.failure = self.failure or "the thread that speaks to the learner has ended"
            for outbox in self._outboxes:
                outbox.spool.close()
            self._port.close()

    def _turn(self) -> None:
        for kind, values in self._port.receive(TURN_S):
            self.heard_s = self.clock.now()
            self._on_message(kind, values)
        if self.failure:
            self._stop.wait(TURN_S)
        now_s = self.clock.now()
        if not self.welcomed and self._port.key_refused:
            self.failure = self._port.trouble
        if self._port.trouble:
            self._at_home, self.problem = False, self._port.trouble
        if not self.failure:
            self._write(False)
            self._speak(now_s)
        self.waiting = sum(len(outbox.spool) for outbox in self._outboxes)

    def _on_message(self, kind: str, values: Mapping[str, Any]) -> None:
        if kind == "welcome":
            self._on_welcome(values)
        elif kind == "refusal":
            self.failure = f"the learner at {self.config.address} refuses: {values['reason']}"
        elif kind == "greet":
            self._at_home = False
        elif kind == "status":
            self.learner = values["values"]
            self.problem = ""
        elif kind == "taken":
            self._on_taken(str(values["actor"]), int(values["last"]))
        elif kind == "retry":
            self.problem, self._rest_s = str(values["reason"]), self.clock.now() + RETRY_S
            for outbox in self._outboxes:
                outbox.sent = outbox.spool.acknowledged
        elif kind == "weights":
            self.policy = unpacked(values, self.contract)
            self.version, self._asked_s = int(values["version"]), 0.0

    def _on_welcome(self, values: Mapping[str, Any]) -> None:
        if values["version"] != VERSION:
            raise ProtocolError(f"the learner speaks version {values['version']} of the protocol, this actor {VERSION}")
        if self._run and values["run"] != self._run:
            raise ProtocolError(f"at {self.config.address} there is another run now. Start the actor again to join it.")
        if self._own is None:
            self._run = str(values["run"])
            self._open_spools(values["layout"])
        for outbox in self._outboxes:
            outbox.sent = outbox.spool.acknowledged
        self._at_home = self.welcomed = True
        self.problem = ""

    def _open_spools(self, layout: Mapping[str, Any]) -> None:
        """A spool of one's own, and those that earlier starts left behind."""
        kind = row_type(layout)
        for name, wanted in (("observation", self.contract.num_observations), ("action", self.contract.num_actions)):
            width = wanted * (self.contract.history if name == "observation" else 1)
            if kind[name].shape != (width,):
                raise ProtocolError(f"the learner wants {name} of shape {kind[name].shape}, this task has {width}")
        digest = hashlib.sha256(self.contract.to_json().encode()).hexdigest()
        for path in left_behind(self.config.spool):
            try:
                spool = Spool(path)
            except RobostackError as error:
                self.notes.append(f"left alone: {error}")
                continue
            fits = (spool.head.run, spool.head.contract, row_type(spool.head.layout)) == (self._run, digest, kind)
            if fits and len(spool):
                self.notes.append(f"{len(spool)} transitions of an earlier start are sent first")
                self._outboxes.append(_Outbox(spool))
            else:
                if len(spool):
                    self.notes.append(f"{len(spool)} transitions of another run or task stay in {path}")
                spool.close()
        head = SpoolHead(self.actor, self._run, digest, dict(layout))
        self._own = Spool(self.config.spool / f"{self.actor}{SUFFIX}", head)
        self._outboxes.append(_Outbox(self._own))
        self._kind = kind

    def _on_taken(self, actor: str, last: int) -> None:
        for outbox in list(self._outboxes):
            spool = outbox.spool
            if spool.head.actor != actor:
                continue
            outbox.answered_s = self.clock.now()
            spool.acknowledge(last)
            outbox.sent = max(outbox.sent, spool.acknowledged)
            if spool is self._own:
                self.acknowledged = spool.acknowledged
            elif len(spool) == 0:
                self._outboxes.remove(outbox)
                spool.close()

    def _write(self, everything: bool) -> None:
        """Move the queue to the spool."""
        now_s = self.clock.now()
        due = everything or now_s - self._written_s >= self.config.batch_period_s
        if self._own is None or not self._queue or not due:
            return
        count = len(self._queue)
        rows = np.array([self._queue[index] for index in range(count)], dtype=self._kind)
        try:
            self._own.append(rows)
        except DatasetError as error:
            self.problem, self._written_s = str(error), now_s + RETRY_S
            return
        for _ in range(count):
            self._queue.popleft()
        self.recorded, self._written_s = self._own.last, now_s

    def _speak(self, now_s: float) -> None:
        """Greet, give a sign of life, send what is due, ask for weights."""
        if not self._at_home:
            if now_s - self._greeted_s > ALIVE_S:
                self._greeted_s = now_s
                about = {"task": self.contract.task, "contract": self.contract.to_json()}
                self._port.send("hello", version=VERSION, actor=self.actor, **about)
            return
        if now_s - self._alive_s > ALIVE_S:
            self._alive_s = now_s
            self._port.send("alive", actor=self.actor, status=self._status())
        newest = int(self.learner.get("version", 0))
        if newest not in (0, self.version) and now_s - self._asked_s > ANSWER_S:
            self._asked_s = now_s
            self._port.send("want_weights")
        if now_s > self._rest_s:
            for outbox in self._outboxes:
                self._send(outbox, now_s)

    def _send(self, outbox: _Outbox, now_s: float) -> None:
        spool = outbox.spool
        if outbox.sent == spool.acknowledged:
            outbox.answered_s = now_s
        elif now_s - outbox.answered_s > ANSWER_S:
            outbox.sent, outbox.answered_s = spool.acknowledged, now_s
        while outbox.sent - spool.acknowledged < WINDOW:
            first, rows = spool.read(outbox.sent, BATCH)
            message = {"actor": spool.head.actor, "first": first, "count": len(rows), "rows": rows.tobytes()}
            if len(rows) == 0 or not self._port.send("transitions", **message):
                return
            outbox.sent = first + len(rows) - 1

    def _status(self) -> dict[str, Any]:
        found = {"queued": self.queued, "unacknowledged": self.waiting, "version": self.version, "lost": self.lost}
        return {**found, "recorded": self.recorded, "rejected": self.rejected, **self.says}
