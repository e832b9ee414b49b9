"""People moving robots: devices, what couples them to a robot, sessions and recording; nothing here knows ROS."""
