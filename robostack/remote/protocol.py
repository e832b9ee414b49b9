"""The messages between actor and learner: msgpack maps of fixed keys and types, checked before anything uses them.

Actor to learner: `hello`, `transitions`, `want_weights`, `alive`. Learner to actor: `welcome`, `refusal`, `taken`,
`retry`, `weights`, `status`, `greet`. A transition's sequence number counts from 1 for each start of an actor.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from hardware.errors import ProtocolError
from robostack.remote.backend import msgpack

VERSION = 1
"""Of the protocol; both ends must speak the same."""
MESSAGE_MAX = 64 * 2**20
"""Largest message [byte]."""
TEXT_MAX = 2**20
"""Longest text in a message [byte]."""
BATCH_MAX = 4096
"""Most transitions in a message."""
INTEGER_MAX = 2**53
NAME_MAX = 64
"""Longest name of an actor."""
FIGURE_MAX = 2000
"""Longest text in a status."""

MESSAGES: Mapping[str, Mapping[str, type]] = {
    "hello": {"version": int, "actor": str, "task": str, "contract": str},
    "transitions": {"actor": str, "first": int, "count": int, "rows": bytes},
    "want_weights": {},
    "alive": {"actor": str, "status": dict},
    "welcome": {"version": int, "run": str, "learner": str, "layout": dict},
    "refusal": {"reason": str},
    "taken": {"actor": str, "last": int},
    "retry": {"reason": str},
    "weights": {"version": int, "policy": str, "tensors": bytes, "sha256": str},
    "status": {"values": dict},
    "greet": {},
}
"""Kind -> name and type of each value."""


def pack(kind: str, **values: Any) -> bytes:
    """A message as bytes.

    Raises:
        ProtocolError: it is not one of `MESSAGES`, or too large.
    """
    _check(kind, values)
    data: bytes = msgpack.packb({"kind": kind, **values}, use_bin_type=True)
    if len(data) > MESSAGE_MAX:
        raise ProtocolError(f"message '{kind}' of {len(data)} bytes; at most {MESSAGE_MAX} are sent")
    return data


def unpack(data: bytes) -> tuple[str, dict[str, Any]]:
    """Kind and values of a message.

    Raises:
        ProtocolError: it is not one of `MESSAGES`, or too large.
    """
    if len(data) > MESSAGE_MAX:
        raise ProtocolError(f"a message of {len(data)} bytes; at most {MESSAGE_MAX} are taken")
    try:
        values = msgpack.unpackb(
            data, raw=False, strict_map_key=True, max_str_len=TEXT_MAX, max_map_len=64, max_array_len=64, max_ext_len=0
        )
    except (ValueError, RecursionError, msgpack.UnpackException) as error:
        raise ProtocolError(f"not a readable message: {error}") from error
    if not isinstance(values, dict) or not isinstance(values.get("kind"), str):
        raise ProtocolError("a message without a kind")
    kind = values.pop("kind")
    _check(kind, values)
    return kind, values


def _check(kind: str, values: Mapping[str, Any]) -> None:
    wanted = MESSAGES.get(kind)
    if wanted is None:
        raise ProtocolError(f"unknown message '{kind[:40]}'; known: {', '.join(MESSAGES)}")
    if set(values) != set(wanted):
        raise ProtocolError(f"message '{kind}' has {sorted(map(str, values))}, wanted {sorted(wanted)}")
    for name, expected in wanted.items():
        value = values[name]
        if type(value) is not expected:
            raise ProtocolError(f"message '{kind}': {name} is {type(value).__name__}, wanted {expected.__name__}")
        if isinstance(value, int) and not 0 <= value <= INTEGER_MAX:
            raise ProtocolError(f"message '{kind}': {name} = {value} is out of range")
        if name == "actor" and isinstance(value, str) and not 0 < len(value) <= NAME_MAX:
            raise ProtocolError(f"message '{kind}': a name of {len(value)} characters; 1 to {NAME_MAX} are taken")
        if isinstance(value, dict) and name != "layout":
            _check_figures(kind, value)


def _check_figures(kind: str, figures: Mapping[Any, Any]) -> None:
    """A status carries text, switches, and finite numbers."""
    for name, value in figures.items():
        if not isinstance(name, str) or not isinstance(value, bool | int | float | str):
            raise ProtocolError(f"message '{kind}': {name} is no number and no text")
        if isinstance(value, float) and not math.isfinite(value):
            raise ProtocolError(f"message '{kind}': {name} is not finite")
        if isinstance(value, str) and len(value) > FIGURE_MAX:
            raise ProtocolError(f"message '{kind}': {name} is too long")
