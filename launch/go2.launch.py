"""A Go2, physical or virtual, under its driver node.

`ros2 launch robostack go2.launch.py virtual:=true` where ROS's tools are installed, `robostack launch go2 --virtual`
everywhere. The robot does not stand up by itself; see docs/robots/go2.md.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from robostack.launching.robot_launch import robot_launch
from robostack.launching.ros_launch import to_launch_description

DESCRIPTION = robot_launch("go2", parameter_file=Path(__file__).with_name("go2.params.yaml"), address="interface")
"""The one description behind `ros2 launch` and `robostack launch`."""


def generate_launch_description() -> Any:
    """What `ros2 launch` calls."""
    return to_launch_description(DESCRIPTION)
