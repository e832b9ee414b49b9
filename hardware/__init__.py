"""The vocabulary of robots, and per robot one folder: description, model and the driver that speaks to the device."""

from hardware.camera import Camera, CameraFrame, CameraIntrinsics
from hardware.clock import Clock, SystemClock, VirtualClock
from hardware.records import BaseCommand, JointCommand, RobotMode, RobotState
from hardware.registry import Registry
from hardware.robot import ROBOTS, Robot, RobotEntry
from hardware.spec import BaseSpec, JointSpec, RobotSpec
from hardware.teleoperator import OperatorCommand, OperatorEvent, Teleoperator

__all__ = [
    "ROBOTS",
    "BaseCommand",
    "BaseSpec",
    "Camera",
    "CameraFrame",
    "CameraIntrinsics",
    "Clock",
    "JointCommand",
    "JointSpec",
    "OperatorCommand",
    "OperatorEvent",
    "Registry",
    "Robot",
    "RobotEntry",
    "RobotMode",
    "RobotSpec",
    "RobotState",
    "SystemClock",
    "Teleoperator",
    "VirtualClock",
]
