"""See `hardware.teleoperation.gamepad`."""

from __future__ import annotations

from hardware.teleoperator import TeleoperatorEntry

TELEOPERATOR = TeleoperatorEntry(
    device="hardware.teleoperation.gamepad:Gamepad",
    config="hardware.teleoperation.gamepad:GamepadConfig",
    summary="gamepad: the tool moves while the shoulder button is held",
)
