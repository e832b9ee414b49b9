"""iRobot Create 2: a round base with two driven wheels, bumpers and cliff sensors, on a serial line."""

from __future__ import annotations

from pathlib import Path

from hardware.create2.spec import CREATE2
from hardware.robot import RobotEntry

MODEL = Path(__file__).parent / "create2.xml"
"""The base alone, for embedding."""
SCENE = Path(__file__).parent / "scene.xml"
"""The base in a room with walls on three sides and an edge on the fourth, with the camera "overview"."""

ROBOT = RobotEntry(
    spec=CREATE2,
    model=MODEL,
    driver="hardware.create2.driver:Create2Robot",
    config="hardware.create2.config:Create2Config",
    summary="iRobot Create 2, differential drive, velocity commands over the serial Open Interface",
)

__all__ = ["CREATE2", "MODEL", "ROBOT", "SCENE"]
