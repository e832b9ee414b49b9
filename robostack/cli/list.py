"""`robostack list KIND`: what can be named in other commands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from hardware.errors import UnknownNameError
from hardware.registry import load_object
from robostack.cli.command import Command
from robostack.cli.options import parse_options
from robostack.cli.output import print_json_line, print_next, print_table

if TYPE_CHECKING:
    from sim.engine_dynamics import Variable

KINDS: Mapping[str, str] = {
    "robots": "hardware.robot:ROBOTS",
    "tasks": "robostack.tasks.task:TASKS",
    "learners": "robostack.learning.learner:LEARNERS",
    "devices": "sim.devices.device:DEVICES",
    "engines": "sim.engine:ENGINES",
    "distributions": "sim.randomization.distribution:DISTRIBUTIONS",
    "cameras": "hardware.camera:CAMERAS",
    "teleoperators": "hardware.teleoperator:TELEOPERATORS",
    "benches": "robostack.bench.bench:BENCHES",
    "commands": "robostack.cli.command:COMMANDS",
}
"""Kind -> "module:attribute" of its registry, imported only when listed. Launch files and dynamics are no modules."""

NEXT: Mapping[str, str] = {
    "robots": "robostack virtual {name}",
    "tasks": "robostack train {name}",
    "learners": "robostack train --help",
    "devices": "robostack virtual {name}",
    "launches": "robostack launch {name}",
    "dynamics": "robostack list engines",
    "engines": "robostack evaluate POLICY --engine {name}",
    "distributions": "robostack train TASK --learner sac --distribution {name}",
    "cameras": "robostack launch ROBOT --virtual --cameras '{{front: {{kind: {name}}}}}'",
    "teleoperators": "robostack teleoperate ROBOT --virtual --teleop.type {name}",
    "benches": "robostack bench {name}",
    "commands": "robostack {name} --help",
}
"""Every kind -> the command to go on with."""


@dataclass(frozen=True)
class ListOptions:
    """List what can be named in other commands."""

    kind: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="KIND")]
    """What to list: robots, tasks, learners, ...; a wrong word names them all."""
    json: bool = False
    """Print one JSON object, name -> summary, instead of the table."""


def summaries(kind: str) -> dict[str, str]:
    """Name -> summary of everything of `kind`.

    Raises:
        UnknownNameError: there is no such kind; lists the kinds.
    """
    if kind not in NEXT:
        raise UnknownNameError("kind", kind, NEXT)
    if kind == "launches":  # files, not modules: they are found by path
        from robostack.launching.finder import launch_files, load_launch

        return {name: load_launch(name).summary for name in sorted(launch_files())}
    if kind == "dynamics":  # rows of a table
        from sim.engine_dynamics import variables

        return {each.pattern: _variable(each) for each in variables()}
    registry: Any = load_object(KINDS[kind])
    return {name: registry.summary(name) for name in registry.names()}


def _variable(each: Variable) -> str:
    without = f", not in {', '.join(each.lacks)}" if each.lacks else ""
    return f"{each.summary} [{each.unit}]{without}"


def main(arguments: list[str]) -> int:
    """Run the verb."""
    options = parse_options(ListOptions, "list", arguments)
    found = summaries(options.kind)
    if options.json:
        print_json_line(found)
        return 0
    print_table((options.kind, "summary"), [(name, summary.rstrip(".")) for name, summary in found.items()])
    if found:
        print_next(NEXT[options.kind].format(name=next(iter(found))))
    return 0


COMMAND = Command(summary="List what can be named in other commands", main=main)
