"""Franka Emika Panda with its hand: seven-joint arm; simulation only."""

from __future__ import annotations

from pathlib import Path

from hardware.panda.config import SIMULATION_ONLY
from hardware.panda.spec import PANDA
from hardware.robot import RobotEntry

FOLDER = Path(__file__).parent / "model"
"""Folder of the models."""
MODEL = FOLDER / "panda.xml"
"""The arm with its hand alone, for embedding."""

ROBOT = RobotEntry(
    spec=PANDA,
    model=MODEL,
    driver="hardware.panda.config:PandaRobot",
    config="hardware.panda.config:PandaConfig",
    summary="Franka Emika Panda with its hand, 7 joints and a gripper, 1 kHz; simulation only",
    simulation_only=SIMULATION_ONLY,
)

__all__ = ["FOLDER", "MODEL", "PANDA", "ROBOT"]
