"""See `hardware.teleoperation.keyboard`."""

from __future__ import annotations

from hardware.teleoperator import TeleoperatorEntry

TELEOPERATOR = TeleoperatorEntry(
    device="hardware.teleoperation.keyboard:Keyboard",
    config="hardware.teleoperation.keyboard:KeyboardConfig",
    summary="keys of a terminal, also over SSH: the tool moves while a key is held",
)
