"""Tasks, policies, learning, data, the ROS 2 nodes and the command line."""

__version__ = "0.1.0"
