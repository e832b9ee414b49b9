"""The demonstration: from nothing to a learned policy on a virtual arm, over its own protocol, through ROS 2."""
