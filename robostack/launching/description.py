"""What to start, as plain data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

ParameterValue = bool | int | float | str | list[str] | list[float]


@dataclass(frozen=True)
class Argument:
    """One argument of a launch file: `name:=value` for `ros2 launch`, `--name value` for `robostack launch`."""

    name: str
    """Snake case; the command line spells it with dashes."""
    default: str
    """Default, as text."""
    description: str
    """Help text, with the unit."""
    choices: tuple[str, ...] = ()
    """Allowed values; empty: any."""


@dataclass(frozen=True)
class ProcessSpec:
    """A helper process that is no ROS node, such as a virtual device; started before the nodes."""

    name: str
    """Name in messages."""
    module: str
    """Run as `python -m module`."""
    arguments: tuple[str, ...] = ()
    """Command-line arguments."""
    ready_line: str = ""
    """The nodes are started once the process has printed a line that contains this; empty: at once."""


@dataclass(frozen=True)
class NodeSpec:
    """One ROS 2 node in a process of its own."""

    name: str
    """Node name."""
    module: str
    """Run as `python -m module --ros-args ...`."""
    parameters: Mapping[str, ParameterValue] = field(default_factory=dict)
    """ROS parameters."""
    namespace: str = ""
    """ROS namespace."""
    remappings: Mapping[str, str] = field(default_factory=dict)
    """Topic names: from -> to."""
    required: bool = True
    """Whether the end of this node ends the launch."""


@dataclass(frozen=True)
class LaunchDescription:
    """What a launch file describes: its arguments, and what to start for given values of them."""

    summary: str
    """One line for `robostack list launches`."""
    arguments: tuple[Argument, ...]
    """The arguments the file takes."""
    describe: Callable[[Mapping[str, str]], list[ProcessSpec | NodeSpec]]
    """Argument values (all names present) -> what to start, in order."""
