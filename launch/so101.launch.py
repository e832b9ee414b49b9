"""An SO-101, physical or virtual, under its driver node.

`ros2 launch robostack so101.launch.py port:=/dev/ttyACM0` where ROS's tools are installed,
`robostack launch so101 --virtual` everywhere.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from robostack.launching.description import Argument
from robostack.launching.robot_launch import robot_launch
from robostack.launching.ros_launch import to_launch_description

DESCRIPTION = robot_launch(
    "so101",
    task="",
    parameter_file=Path(__file__).with_name("so101.params.yaml"),
    address="port",
    device_options=(
        Argument("scene", "empty", "what stands before the virtual arm; pick-cube: a cube", ("empty", "pick-cube")),
    ),
)
"""The one description behind `ros2 launch` and `robostack launch`."""


def generate_launch_description() -> Any:
    """What `ros2 launch` calls."""
    return to_launch_description(DESCRIPTION)
