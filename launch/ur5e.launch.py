"""A UR5e, physical or virtual, under its driver node, with a policy on top if one is named.

`ros2 launch robostack ur5e.launch.py virtual:=true policy:=scripted` where ROS's tools are installed,
`robostack launch ur5e --virtual --policy scripted` everywhere.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from robostack.launching.robot_launch import robot_launch
from robostack.launching.ros_launch import to_launch_description

DESCRIPTION = robot_launch("ur5e", task="ur5e-reach", parameter_file=Path(__file__).with_name("ur5e.params.yaml"))
"""The one description behind `ros2 launch` and `robostack launch`."""


def generate_launch_description() -> Any:
    """What `ros2 launch` calls."""
    return to_launch_description(DESCRIPTION)
