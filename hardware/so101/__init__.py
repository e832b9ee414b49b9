"""SO-101: a printed six-joint arm of bus servos, Feetech STS3215 or Dynamixel XM430."""

from __future__ import annotations

from pathlib import Path

from hardware.robot import RobotEntry
from hardware.so101.spec import SO101

MODEL = Path(__file__).parent / "so101.xml"
"""The arm alone, for embedding."""
SCENE = Path(__file__).parent / "scene.xml"
"""The arm with table, light, the camera "overview" and the mocap body "target"."""

PICK_CUBE = Path(__file__).parent / "pick_cube.xml"
"""The arm at a table with a cube, and the cameras "overview", "front" and "side"."""

ROBOT = RobotEntry(
    spec=SO101,
    model=MODEL,
    driver="hardware.so101.driver:SO101Robot",
    config="hardware.so101.driver:SO101Config",
    summary="SO-101 arm, 6 joints, position servos at 100 Hz on a Feetech or Dynamixel bus",
)

__all__ = ["MODEL", "PICK_CUBE", "ROBOT", "SCENE", "SO101"]
