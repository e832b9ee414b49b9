"""A car with a VESC, physical or virtual, under its driver node.

`ros2 launch robostack racecar.launch.py virtual:=true` where ROS's tools are installed,
`robostack launch racecar --virtual` everywhere.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from robostack.launching.robot_launch import robot_launch
from robostack.launching.ros_launch import to_launch_description

DESCRIPTION = robot_launch("racecar", parameter_file=Path(__file__).with_name("racecar.params.yaml"), address="port")
"""The one description behind `ros2 launch` and `robostack launch`."""


def generate_launch_description() -> Any:
    """What `ros2 launch` calls."""
    return to_launch_description(DESCRIPTION)
