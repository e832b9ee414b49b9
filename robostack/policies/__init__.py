"""Policies as they run on the robot: numpy or ONNX Runtime, no deep-learning framework."""

from robostack.policies.policy import Policy

__all__ = ["Policy"]
