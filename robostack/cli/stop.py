"""`robostack stop`: the robot's own stop, from any terminal; it stays stopped until `robostack reset`."""

from __future__ import annotations

from robostack.cli.command import Command
from robostack.cli.driver_call import call

COMMAND = Command(summary="Stop a launched robot by its own means", main=lambda arguments: call("stop", arguments))
