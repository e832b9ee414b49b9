"""What a browser may say, checked strictly: an unknown field, a wrong type or a number out of range is refused.

Every message is one JSON object with the field `type`:

    input    sequence, client_time_s, seen_s, frames, enabled, linear, angular, gripper
    control  take
    event    event
    stop
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from hardware.errors import ProtocolError
from hardware.teleoperator import OperatorEvent

MESSAGE_BYTES_MAX = 2048
"""Longest message a browser may send [B]; the longest valid one has about 400."""
_COUNT_MAX = 2**53
"""Largest integer that JavaScript can count to exactly."""


@dataclass(frozen=True, slots=True)
class Input:
    """The controls of the page at one moment. Velocities are fractions of full deflection, in the base frame."""

    sequence: int
    """Counts up with every input of one connection."""
    client_time_s: float
    """The browser's monotonic time [s]; returned with the next state, so that the page can measure the round trip."""
    seen_s: float
    """`server_time_s` of the newest state that the page has shown [s]."""
    frames: int
    """Pictures received on this connection."""
    enabled: bool
    """Whether the operator holds a control."""
    linear: tuple[float, float, float]
    """Each in [-1, 1]."""
    angular: tuple[float, float, float]
    """Each in [-1, 1]."""
    gripper: float | None
    """0 closed to 1 open; None until the operator touches it."""


@dataclass(frozen=True, slots=True)
class Control:
    """Take or give back the control over the robot."""

    take: bool


@dataclass(frozen=True, slots=True)
class Event:
    """A button of the episode."""

    event: OperatorEvent


@dataclass(frozen=True, slots=True)
class Stop:
    """The emergency stop; taken from everyone, in control or not."""


Message = Input | Control | Event | Stop


def parse(text: str) -> Message:
    """The message in `text`.

    Raises:
        ProtocolError: it is none; says why, in at most 120 characters.
    """
    if len(text) > MESSAGE_BYTES_MAX:
        raise ProtocolError(f"message longer than {MESSAGE_BYTES_MAX} bytes")
    try:
        data = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise ProtocolError("message is not JSON") from error
    if not isinstance(data, dict):
        raise ProtocolError("message is not a JSON object")
    kind = data.pop("type", None)
    if kind == "input":
        return _input(data)
    if kind == "control":
        _require_fields(data, {"take"})
        return Control(_boolean(data, "take"))
    if kind == "event":
        _require_fields(data, {"event"})
        return Event(_event(data))
    if kind == "stop":
        _require_fields(data, set())
        return Stop()
    raise ProtocolError("unknown message type; known are input, control, event, stop")


def _input(data: dict[str, Any]) -> Input:
    _require_fields(data, {"sequence", "client_time_s", "seen_s", "frames", "enabled", "linear", "angular", "gripper"})
    return Input(
        sequence=_count(data, "sequence"),
        client_time_s=_number(data["client_time_s"], "client_time_s", 0.0, _COUNT_MAX),
        seen_s=_number(data["seen_s"], "seen_s", 0.0, _COUNT_MAX),
        frames=_count(data, "frames"),
        enabled=_boolean(data, "enabled"),
        linear=_vector(data, "linear"),
        angular=_vector(data, "angular"),
        gripper=None if data["gripper"] is None else _number(data["gripper"], "gripper", 0.0, 1.0),
    )


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def _require_fields(data: dict[str, Any], expected: set[str]) -> None:
    unknown, missing = sorted(set(data) - expected), sorted(expected - set(data))
    if unknown:
        raise ProtocolError(f"unknown field '{unknown[0][:40]}'")
    if missing:
        raise ProtocolError(f"field '{missing[0]}' is missing")


def _boolean(data: dict[str, Any], name: str) -> bool:
    if not isinstance(data[name], bool):
        raise ProtocolError(f"field '{name}' is not true or false")
    return data[name]


def _count(data: dict[str, Any], name: str) -> int:
    value = data[name]
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _COUNT_MAX:
        raise ProtocolError(f"field '{name}' is not a count")
    return value


def _number(value: Any, name: str, low: float, high: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise ProtocolError(f"field '{name}' is not a number in [{low:g}, {high:g}]")
    return float(value)


def _vector(data: dict[str, Any], name: str) -> tuple[float, float, float]:
    values = data[name]
    if not isinstance(values, list) or len(values) != 3:
        raise ProtocolError(f"field '{name}' is not a list of three numbers")
    x, y, z = (_number(value, name, -1.0, 1.0) for value in values)
    return x, y, z


def _event(data: dict[str, Any]) -> OperatorEvent:
    try:
        event = OperatorEvent(data["event"])
    except ValueError as error:
        raise ProtocolError("unknown event") from error
    if event in (OperatorEvent.STOP, OperatorEvent.CLUTCH):  # a message of its own; needless with a dead-man switch
        raise ProtocolError("unknown event")
    return event
