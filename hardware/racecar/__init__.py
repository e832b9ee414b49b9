"""A 1:10 car with a VESC motor controller and a steering servo, on a serial line."""

from __future__ import annotations

from pathlib import Path

from hardware.racecar.spec import RACECAR
from hardware.robot import RobotEntry

MODEL = Path(__file__).parent / "racecar.xml"
"""The car alone, for embedding."""
SCENE = Path(__file__).parent / "scene.xml"
"""The car on a floor, with the camera "overview"."""

ROBOT = RobotEntry(
    spec=RACECAR,
    model=MODEL,
    driver="hardware.racecar.driver:RacecarRobot",
    config="hardware.racecar.config:RacecarConfig",
    summary="1:10 car with Ackermann steering, VESC motor controller over its serial protocol",
)

__all__ = ["MODEL", "RACECAR", "ROBOT", "SCENE"]
