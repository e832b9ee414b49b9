"""Launch descriptions: one source for `ros2 launch` and for `robostack launch`, which needs no ROS tools."""

from robostack.launching.description import Argument, LaunchDescription, NodeSpec, ProcessSpec

__all__ = ["Argument", "LaunchDescription", "NodeSpec", "ProcessSpec"]
