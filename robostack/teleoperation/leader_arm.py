"""A leader arm of bus servos, moved by hand; see `hardware.servo_bus.leader`."""

from __future__ import annotations

from hardware.teleoperator import TeleoperatorEntry

TELEOPERATOR = TeleoperatorEntry(
    device="hardware.servo_bus.leader:LeaderArm",
    config="hardware.servo_bus.leader:LeaderArmConfig",
    summary="leader arm of bus servos: the robot's joints follow its joints, once both agree",
)
