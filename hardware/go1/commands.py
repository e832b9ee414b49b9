"""What a command for the Go1 may be."""

from __future__ import annotations

from hardware.go1.spec import GO1
from hardware.motor_commands import MotorCommands

STIFFNESS_MAX, DAMPING_MAX = 2047.0, 4095.0
"""What the packet can carry [Nm/rad], [Nm s/rad]."""
COMMANDS = MotorCommands(GO1, "Go1", STIFFNESS_MAX, DAMPING_MAX)
"""Checks and completes commands before they are packed."""
