"""Universal Robots UR5e: six-joint arm, commanded over RTDE."""

from __future__ import annotations

from pathlib import Path

from hardware.robot import RobotEntry
from hardware.ur5e.spec import UR5E

MODEL = Path(__file__).parent / "ur5e.xml"
"""The arm alone, for embedding."""
SCENE = Path(__file__).parent / "scene.xml"
"""The arm with floor, light, the camera "overview" and the mocap body "target"."""

ROBOT = RobotEntry(
    spec=UR5E,
    model=MODEL,
    driver="hardware.ur5e.driver:UR5eRobot",
    config="hardware.ur5e.driver:UR5eConfig",
    summary="Universal Robots UR5e, 6 joints, position commands at 500 Hz over RTDE",
)

__all__ = ["MODEL", "ROBOT", "SCENE", "UR5E"]
