"""What a command for the Go2 may be."""

from __future__ import annotations

from hardware.go2.spec import GO2
from hardware.motor_commands import MotorCommands

STIFFNESS_MAX, DAMPING_MAX = 1000.0, 100.0
"""Larger gains are refused as mistakes [Nm/rad], [Nm s/rad]; no joint here is stable with them at 500 Hz."""
COMMANDS = MotorCommands(GO2, "Go2", STIFFNESS_MAX, DAMPING_MAX)
"""Checks and completes commands before they are packed."""
