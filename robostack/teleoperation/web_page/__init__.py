"""A web page as a teleoperation device: a small server in a thread of its own, and the page it serves."""
