"""The ROS 2 nodes; the only place of the stack that imports rclpy. Importing this package itself does not."""
