"""Unitree Go2: twelve-joint quadruped, joint PD on its motors, low level over DDS."""

from __future__ import annotations

from pathlib import Path

from hardware.go2.spec import GO2
from hardware.robot import RobotEntry

MODEL = Path(__file__).parent / "go2.xml"
"""The quadruped alone, on a free joint, for embedding."""
SCENE = Path(__file__).parent / "scene.xml"
"""The quadruped on a floor, with light, the camera "overview" and the keyframe "stand"."""

ROBOT = RobotEntry(
    spec=GO2,
    model=MODEL,
    driver="hardware.go2.driver:Go2Robot",
    config="hardware.go2.config:Go2Config",
    summary="Unitree Go2, 12 joints, joint PD at 500 Hz over DDS (low level)",
)

__all__ = ["GO2", "MODEL", "ROBOT", "SCENE"]
