"""See `hardware.teleoperation.spacemouse`."""

from __future__ import annotations

from hardware.teleoperator import TeleoperatorEntry

TELEOPERATOR = TeleoperatorEntry(
    device="hardware.teleoperation.spacemouse:SpaceMouse",
    config="hardware.teleoperation.spacemouse:SpaceMouseConfig",
    summary="SpaceMouse: the tool follows the puck",
)
