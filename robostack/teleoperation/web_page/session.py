"""Who controls the robot through the page, and what the newest reading is.

One browser is in control, the others watch; the emergency stop is taken from all. An input counts only if it is newer
than the last one and if its sender has lately seen a state of ours: the echo bounds the age of what the operator acted
upon in both directions, without comparing two clocks. Held controls stop counting after a silence, and after a long one
they must be let go first, so that a robot does not set off again by itself when a connection comes back.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from hardware.clock import Clock
from hardware.errors import ProtocolError
from hardware.teleoperator import OperatorCommand, OperatorEvent
from robostack.teleoperation.web_page.config import WebConfig
from robostack.teleoperation.web_page.messages import Input

EVENTS_MAX = 16
"""Unread events kept; the oldest are dropped when nobody reads."""
FUTURE_S = 1e-3
"""A seen time may lie this far ahead, by the rounding of its way through JSON [s]."""


@dataclass
class Client:
    """One connected browser."""

    number: int
    """Counts up with the connections."""
    sequence: int = -1
    """Of its newest input."""
    client_time_s: float | None = None
    """Browser time of its newest input [s]."""
    received_s: float = 0.0
    """When that came [s]."""
    dropped: int = 0
    """Inputs that came late, twice or out of order."""
    frames_seen: int = 0
    """Pictures it says it has received."""
    why_not: str = ""
    """Why its newest input did not count; "" if it did."""


@dataclass
class _Reading:
    """The newest input of the one in control."""

    received_s: float
    enabled: bool = False
    linear: tuple[float, float, float] = (0.0, 0.0, 0.0)
    angular: tuple[float, float, float] = (0.0, 0.0, 0.0)
    gripper: float | None = None


@dataclass
class _Control:
    """The state that a lock guards."""

    owner: Client | None = None
    connected: bool = False
    """Whether the owner's connection is open; if not, it was lost while in control."""
    reading: _Reading | None = None
    release_first: bool = True
    """Held controls do not count until they were let go once."""
    events: list[OperatorEvent] = field(default_factory=list)


class Session:
    """The shared state of all browsers and the one reader. Every method may be called from any thread.

    Args:
        config: speeds and time limits.
        clock: monotonic time.
    """

    def __init__(self, config: WebConfig, clock: Clock) -> None:
        self._config, self._clock = config, clock
        self._lock = threading.Lock()
        self._control = _Control()
        self._clients = 0
        self._sequence = 0
        self.stop_event = threading.Event()
        """Set at the moment the emergency stop arrives; whoever waits for it clears it."""
        self.on_stop: Callable[[], None] | None = None
        """Called at once in the server's thread when the emergency stop arrives; must not block."""

    def join(self) -> Client:
        """A browser has connected."""
        with self._lock:
            self._clients += 1
            return Client(self._clients)

    def leave(self, client: Client) -> None:
        """The connection of `client` is gone. Had it the control, its last reading stays and grows old."""
        with self._lock:
            if self._control.owner is client:
                self._control.connected = False
                self._sequence += 1

    def take(self, client: Client) -> str:
        """Give the control to `client`; returns why not, or ""."""
        with self._lock:
            control, now_s = self._control, self._clock.now()
            if control.owner is client:
                return ""
            silent = control.reading is None or now_s - control.reading.received_s > self._config.takeover_s
            if control.owner is not None and control.connected and not silent:
                return "Someone else is in control of the robot."
            control.owner, control.connected, control.release_first = client, True, True
            control.reading = _Reading(now_s)
            self._sequence += 1
            return ""

    def release(self, client: Client) -> None:
        """`client` gives the control back."""
        with self._lock:
            if self._control.owner is client:
                self._control.owner = self._control.reading = None
                self._sequence += 1

    def accept(self, client: Client, given: Input) -> bool:
        """Take an input of `client`; returns whether it counts as its newest.

        Raises:
            ProtocolError: it claims to have seen the future.
        """
        with self._lock:
            now_s = self._clock.now()
            if given.seen_s > now_s + FUTURE_S:
                raise ProtocolError("seen_s lies in the future")
            if given.sequence <= client.sequence or given.client_time_s < (client.client_time_s or 0.0):
                client.dropped += 1
                return False
            client.sequence, client.client_time_s = given.sequence, given.client_time_s
            client.received_s, client.frames_seen = now_s, given.frames
            if now_s - given.seen_s > self._config.blind_s:
                client.dropped += 1
                client.why_not = "connection too slow"
                return False
            self._put(client, given, now_s)
            return True

    def _put(self, client: Client, given: Input, now_s: float) -> None:
        control = self._control
        if control.owner is not client or control.reading is None:
            client.why_not = "not in control" if given.enabled else ""
            return
        if now_s - control.reading.received_s > self._config.release_s:
            control.release_first = True
        if not given.enabled:
            control.release_first = False
        client.why_not = "let go of the controls first" if control.release_first and given.enabled else ""
        enabled = given.enabled and not control.release_first
        control.reading = _Reading(now_s, enabled, given.linear, given.angular, given.gripper)
        self._sequence += 1

    def event(self, client: Client, event: OperatorEvent) -> str:
        """Take a button of the episode from the one in control; returns why not, or ""."""
        with self._lock:
            if self._control.owner is not client:
                return "Take control first."
            self._add_event(event)
            return ""

    def stop(self) -> None:
        """The emergency stop, from anyone: reported at once, and kept for the next reading."""
        with self._lock:
            self._add_event(OperatorEvent.STOP)
            self._control.release_first = True
            self._sequence += 1
            if self._control.reading is not None:
                self._control.reading.enabled = False
        self.stop_event.set()
        if self.on_stop is not None:
            self.on_stop()

    def _add_event(self, event: OperatorEvent) -> None:
        events = self._control.events
        if event is OperatorEvent.STOP and event in events:
            return
        if len(events) >= EVENTS_MAX:
            # Whatever else is lost, a stop is not.
            events.remove(next(kept for kept in events if kept is not OperatorEvent.STOP))
        events.append(event)

    def command(self) -> OperatorCommand:
        """The newest reading; takes the events with it.

        While nobody is in control, a reading is of now: nobody holds anything. When the connection of the one in
        control is lost, the last reading stays as it was and grows old, until someone takes control.
        """
        with self._lock:
            control, now_s = self._control, self._clock.now()
            events, control.events = tuple(control.events), []
            if control.reading is None:
                return OperatorCommand(now_s, self._sequence, False, events=events)
            reading, enabled = control.reading, self._enabled(now_s)
            if reading.enabled and not enabled:  # silent by now: another reading than the last one
                reading.enabled = False
                self._sequence += 1
            return OperatorCommand(
                reading.received_s,
                self._sequence,
                enabled,
                np.asarray(reading.linear) * (self._config.linear_speed_m_s * enabled),
                np.asarray(reading.angular) * (self._config.angular_speed_rad_s * enabled),
                gripper=reading.gripper,
                events=events,
            )

    def _enabled(self, now_s: float) -> bool:
        control = self._control
        if control.reading is None or not control.connected:
            return False
        return control.reading.enabled and now_s - control.reading.received_s <= self._config.silence_s

    def view(self, client: Client) -> dict[str, object]:
        """What `client` is told about itself with every state."""
        with self._lock:
            now_s, owner = self._clock.now(), self._control.owner
            mine = owner is client
            return {
                "server_time_s": now_s,
                "client_time_s": client.client_time_s,
                "client_age_s": now_s - client.received_s,
                "control": "you" if mine else "free" if owner is None or not self._control.connected else "other",
                "enabled": mine and self._enabled(now_s),
                "why_not": client.why_not,
                "dropped": client.dropped,
            }
