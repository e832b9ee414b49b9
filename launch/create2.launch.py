"""A Create 2, physical or virtual, under its driver node, with a policy on top if one is named.

`ros2 launch robostack create2.launch.py virtual:=true` where ROS's tools are installed,
`robostack launch create2 --virtual` everywhere.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from robostack.launching.description import Argument
from robostack.launching.robot_launch import robot_launch
from robostack.launching.ros_launch import to_launch_description

DESCRIPTION = robot_launch(
    "create2",
    task="create2-mover",
    parameter_file=Path(__file__).with_name("create2.params.yaml"),
    address="port",
    device_options=(
        Argument("room", "edge", "what is ahead of the virtual robot; walled: nowhere to fall", ("edge", "walled")),
    ),
)
"""The one description behind `ros2 launch` and `robostack launch`."""


def generate_launch_description() -> Any:
    """What `ros2 launch` calls."""
    return to_launch_description(DESCRIPTION)
