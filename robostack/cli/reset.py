"""`robostack reset`: make a stopped robot ready again, once a person has seen to the cause."""

from __future__ import annotations

from robostack.cli.command import Command
from robostack.cli.driver_call import call

COMMAND = Command(
    summary="Make a stopped robot ready again, once a person has seen to the cause",
    main=lambda arguments: call("reset", arguments),
)
