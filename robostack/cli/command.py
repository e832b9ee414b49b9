"""What a verb of the command line is, and how one is registered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hardware.registry import Registry


@dataclass(frozen=True)
class Command:
    """How a verb registers: `COMMAND = Command(...)` at the top level of its module in `robostack.cli`."""

    summary: str
    """One line for `robostack --help`."""
    main: Callable[[list[str]], int]
    """Called with the arguments after the verb; returns the exit status. May raise RobostackError."""


COMMANDS: Registry[Command] = Registry("command", "robostack.cli", "COMMAND")
"""Every verb: modules of this package, and entry points of the group `robostack.commands`."""
