"""`robostack virtual ROBOT`: run a virtual device that speaks the protocol of the real one."""

from __future__ import annotations

from robostack.cli.command import Command
from sim.devices.run import main as run_device


def main(arguments: list[str]) -> int:
    """Run the verb; 0 when the device was ended by a signal or by `quit`."""
    return run_device(arguments, _hint)


def _hint(name: str, address: str, value: str) -> str:
    """The command that drives the device, said once it listens."""
    return f"next, in another terminal: robostack launch {name} --{address} {value}"


COMMAND = Command(summary="Run a virtual robot that speaks the real one's protocol.", main=main)
