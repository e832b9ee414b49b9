"""`robostack info`: versions and abilities of this machine, for bug reports and for choosing what to install."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from robostack import machine
from robostack.cli.command import Command
from robostack.cli.options import parse_options
from robostack.cli.output import print_json_line, print_next, print_table


@dataclass(frozen=True)
class InfoOptions:
    """Show versions, extras, and what this machine can do."""

    json: bool = False
    """Print one JSON object instead of the table."""


def main(arguments: list[str]) -> int:
    """Run the verb."""
    options = parse_options(InfoOptions, "info", arguments)
    found: dict[str, Any] = {
        "versions": machine.versions(),
        "machine": machine.machine(),
        "extras": {extra: not lacking for extra, lacking in machine.extras().items()},
        "ros": machine.ros(),
        "real_time": machine.real_time_allowed(),
        "rendering": machine.rendering_libraries(),
    }
    if options.json:
        print_json_line(found)
        return 0
    rows: list[tuple[str, object]] = [*found["versions"].items(), *found["machine"].items()]
    for extra, lacking in machine.extras().items():
        rows.append((f"extra {extra}", "installed" if not lacking else f"lacks {', '.join(lacking)}"))
    rows.append(("ROS 2", found["ros"] or "none; pip install 'robostack-learning[ros]'"))
    rows.append(("SCHED_FIFO", "allowed" if found["real_time"] else "not allowed; loops run with normal priority"))
    rows += [(f"MUJOCO_GL={name}", "loads" if there else "missing") for name, there in found["rendering"].items()]
    print_table(("what", "value"), [(what, "none" if value is None else value) for what, value in rows])
    print_next("robostack list robots")
    return 0


COMMAND = Command(summary="Show versions, extras and abilities of this machine", main=main)
