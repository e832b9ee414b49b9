"""Unitree Go1: twelve-joint quadruped, joint PD on its motors, low level over UDP."""

from __future__ import annotations

from pathlib import Path

from hardware.go1.spec import GO1
from hardware.robot import RobotEntry

MODEL = Path(__file__).parent / "go1.xml"
"""The quadruped alone, on a free joint, for embedding."""
SCENE = Path(__file__).parent / "scene.xml"
"""The quadruped on a floor, with light, the camera "overview" and the keyframe "stand"."""

ROBOT = RobotEntry(
    spec=GO1,
    model=MODEL,
    driver="hardware.go1.driver:Go1Robot",
    config="hardware.go1.config:Go1Config",
    summary="Unitree Go1, 12 joints, joint PD at 500 Hz over UDP (low level)",
)

__all__ = ["GO1", "MODEL", "ROBOT", "SCENE"]
