"""`robostack virtual ROBOT`: run a virtual device that speaks the protocol of the real one."""

from __future__ import annotations

from robostack.cli.command import Command
from robostack.cli.output import print_next
from sim.devices.run import main as run_device


def main(arguments: list[str]) -> int:
    """Run the verb; 0 when the device was ended by a signal or by `quit`."""
    if arguments and not arguments[0].startswith("-"):
        print_next(f"in another terminal: robostack launch {arguments[0]} --host 127.0.0.2 --policy scripted")
    return run_device(arguments)


COMMAND = Command(summary="Run a virtual robot that speaks the real one's protocol.", main=main)
