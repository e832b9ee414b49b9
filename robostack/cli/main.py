"""The entry point `robostack`: finds the verb, runs it, and turns errors into one clear line and an exit status."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence

from hardware.errors import RobostackError, UnknownNameError
from robostack import __version__
from robostack.cli.command import COMMANDS
from robostack.cli.output import print_error
from robostack.machine import library_loads

ORDER = (
    "info",
    "list",
    "demo",
    "train",
    "imitate",
    "learn",
    "act",
    "reward",
    "evaluate",
    "transfer",
    "export",
    "launch",
    "stop",
    "reset",
    "virtual",
    "teleoperate",
    "record",
    "replay",
    "calibrate",
    "data",
    "viz",
    "bench",
)
"""Order of the overview: as one uses them. Verbs not named here follow by name."""

INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells have it: 128 + SIGINT."""


def main() -> None:
    """Run the command line and exit: 0 only on success, 1 on an error of the stack, 2 on wrong usage, 130 on Ctrl-C."""
    try:
        status = run(sys.argv[1:])
        sys.stdout.flush()
    except KeyboardInterrupt:
        status = INTERRUPTED
    except BrokenPipeError:  # the reader of a pipe (`| head`) went away; keep the interpreter from complaining again
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 1
    sys.exit(status)


def run(arguments: Sequence[str]) -> int:
    """Run one command line, without the program's name; returns the exit status.

    `ROBOSTACK_DEBUG=1` in the environment lets errors of the stack through with their traceback.
    """
    try:
        return _dispatch(*arguments) if arguments else _dispatch("--help")
    except RobostackError as error:
        if os.environ.get("ROBOSTACK_DEBUG") == "1":
            raise
        print_error(str(error))
        return 1


def _dispatch(verb: str, *rest: str) -> int:
    if verb in ("-h", "--help", "help"):
        print_overview()
        return 0
    if verb in ("-V", "--version"):
        print(f"robostack {__version__}")
        return 0
    if verb not in COMMANDS.names():
        print_error(f"{UnknownNameError('command', verb, COMMANDS.names())}\nSee: robostack --help")
        return 2
    _render_without_display()
    return COMMANDS.load(verb).main(list(rest))


def _render_without_display() -> None:
    """Let MuJoCo draw over SSH: it picks its way of rendering when it is imported, and by default wants a display."""
    has_display = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if "MUJOCO_GL" not in os.environ and not has_display and library_loads("libEGL.so.1"):
        os.environ["MUJOCO_GL"] = "egl"


def print_overview() -> None:
    """Write the verbs with their summaries to standard output; imports none of them."""
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 2))
    table.add_column(style="bold cyan", no_wrap=True)
    table.add_column()
    for verb in ordered(COMMANDS.names()):
        table.add_row(verb, COMMANDS.summary(verb).rstrip("."))
    console = Console(highlight=False)
    console.print(f"[bold]robostack[/bold] {__version__}: train in simulation, run on the robot, keep learning there.")
    console.print("\nusage: robostack VERB ...\n", markup=False)
    console.print(table)
    console.print("\nrobostack VERB --help shows what a verb takes; robostack list KIND what can be named.")
    console.print("ROBOSTACK_DEBUG=1 shows where an error came from.")


def ordered(verbs: Iterable[str]) -> list[str]:
    """`verbs` in the order of the overview."""
    return sorted(verbs, key=lambda verb: (ORDER.index(verb) if verb in ORDER else len(ORDER), verb))
