"""Franka Emika Panda with its hand: seven-joint arm; simulation only."""

from __future__ import annotations

from pathlib import Path

from hardware.panda.spec import PANDA
from hardware.robot import RobotEntry

FOLDER = Path(__file__).parent / "model"
"""Folder of the models."""
MODEL = FOLDER / "panda.xml"
"""The arm with its hand alone, for embedding."""

ROBOT = RobotEntry(
    spec=PANDA,
    model=MODEL,
    driver="",
    config="",
    summary="Franka Emika Panda with its hand, 7 joints and a gripper, 1 kHz; simulation only",
    simulation_only=(
        "'panda' exists in simulation only: this version has no driver for the Franka Control Interface and no virtual "
        "controller. Train and evaluate its tasks instead, for example: "
        "robostack evaluate scripted --task panda-pick-cube"
    ),
)

__all__ = ["FOLDER", "MODEL", "PANDA", "ROBOT"]
