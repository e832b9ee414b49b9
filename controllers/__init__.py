"""Low-level tracking control, kinematics and the safety filter. No ROS, no learning framework."""
