"""SO-101: a printed six-joint arm of bus servos, Feetech STS3215 or Dynamixel XM430."""

from __future__ import annotations

from pathlib import Path

from hardware.robot import RobotEntry
from hardware.so101.spec import SO101

MODEL = Path(__file__).parent / "so101.xml"
"""The arm alone, for embedding."""
SCENE = Path(__file__).parent / "scene.xml"
"""The arm with table, light, the camera "overview" and the mocap body "target"."""

ROBOT = RobotEntry(
    spec=SO101,
    model=MODEL,
    driver="hardware.so101.driver:SO101Robot",
    config="hardware.so101.driver:SO101Config",
    summary="SO-101 arm, 6 joints, position servos at 100 Hz on a Feetech or Dynamixel bus",
)

__all__ = ["MODEL", "ROBOT", "SCENE", "SO101"]
