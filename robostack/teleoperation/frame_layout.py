"""Which columns a demonstration has, and how states and commands of a robot become their values."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from hardware.arrays import FloatArray
from hardware.errors import ConfigError, ProtocolError
from hardware.records import RobotState
from hardware.spec import RobotSpec
from robostack.contract import Contract
from robostack.data.features import (
    ACTION,
    CAPTURE_TIME,
    DONE,
    IMAGES,
    INFO,
    IS_INTERVENTION,
    JOINT_SUFFIXES,
    LATENESS,
    REQUESTED_ACTION,
    STATE,
    SUCCESS,
    Feature,
    image_feature,
    vector_feature,
)
from robostack.tasks.task import Term

JOINT_VELOCITY = INFO + "joint_velocity"
"""Measured joint velocities [rad/s]; not part of the state, which has positions as users of the format know it."""
_ANY = (-math.inf, math.inf)


class FrameLayout:
    """The columns for one robot and its cameras.

    Arms and legs: the state is the joint positions, the action what the device was told, by the robot's first command
    mode. Robots on wheels: the state is pose and velocity, the action the velocity.

    Args:
        spec: the robot.
        cameras: name -> (height, width) of its images [px].
        video: whether images are stored as video, otherwise as PNG.

    Raises:
        ConfigError: the robot has neither joints nor a base.
    """

    def __init__(self, spec: RobotSpec, cameras: Mapping[str, tuple[int, int]], video: bool = True) -> None:
        self.spec, self.cameras, self.video = spec, dict(cameras), video
        if spec.joints:
            self.mode: str = spec.command_modes[0]
            self.state_names = tuple(name + JOINT_SUFFIXES["position"] for name in spec.joint_names)
            self.action_names = tuple(f"{name}{JOINT_SUFFIXES[self.mode]}" for name in spec.joint_names)
        elif spec.base is not None:
            self.mode = "base"
            self.state_names = ("x.pos", "y.pos", "theta.pos", "x.vel", "theta.vel")
            self.action_names = ("x.vel", "theta.vel")
        else:
            raise ConfigError(f"{spec.name} has nothing that could be recorded")

    def features(self) -> dict[str, Feature]:
        """Column -> what it is."""
        number = Feature("float64", (1,), None)
        features = {
            STATE: vector_feature(*self.state_names),
            ACTION: vector_feature(*self.action_names),
            REQUESTED_ACTION: vector_feature(*self.action_names),
            CAPTURE_TIME: number,
            LATENESS: Feature("float32", (1,), None),
            IS_INTERVENTION: Feature("bool", (1,), None),
            DONE: Feature("bool", (1,), None),
            SUCCESS: Feature("bool", (1,), None),
        }
        if self.spec.joints:
            features[JOINT_VELOCITY] = vector_feature(*(f"{name}.vel" for name in self.spec.joint_names))
        for name, (height, width) in self.cameras.items():
            features[IMAGES + name] = image_feature(height, width, self.video)
            features[f"{CAPTURE_TIME}.{name}"] = number
        return features

    def contract(self, fps: float) -> Contract:
        """What the numbers mean. `low` and `high` hold for all joints of the robot together.

        Args:
            fps: time steps per second.
        """
        spec = self.spec
        low, high = (float(np.min(spec.position_min)), float(np.max(spec.position_max))) if spec.joints else _ANY
        units = {"position": "rad", "velocity": "rad/s", "effort": "Nm", "base": "m/s, rad/s"}
        action_low, action_high = (low, high) if self.mode == "position" else _ANY
        frame = "" if spec.joints else spec.base_frame
        state_unit = "rad" if spec.joints else "m, rad, m/s, rad/s"
        return Contract(
            task="demonstration",
            robot=spec.name,
            joint_names=spec.joint_names,
            default_position=tuple(spec.default_position.tolist()),
            stiffness=tuple(spec.stiffness.tolist()),
            damping=tuple(spec.damping.tolist()),
            base_frame=spec.base_frame,
            tool_frame=spec.tool_frame,
            control_period_s=1.0 / fps,
            control_rate_hz=spec.control_rate_hz,
            observation=(Term(STATE, self.state_names, state_unit, frame, low, high),),
            action=(Term(ACTION, self.action_names, units[self.mode], frame, action_low, action_high),),
            history=1,
        )

    def state(self, state: RobotState) -> dict[str, FloatArray]:
        """Columns that one measurement fills."""
        if self.spec.joints:
            return {
                STATE: np.asarray(state.joint_position, dtype=np.float32),
                JOINT_VELOCITY: np.asarray(state.joint_velocity, dtype=np.float32),
            }
        position, turn = np.asarray(state.base_position), np.asarray(state.base_quaternion)
        linear, angular = np.asarray(state.base_linear_velocity), np.asarray(state.base_angular_velocity)
        theta = 2.0 * math.atan2(float(turn[3]), float(turn[0]))
        values = [position[0], position[1], math.remainder(theta, 2.0 * math.pi), linear[0], angular[2]]
        return {STATE: np.array(values, dtype=np.float32)}

    def action(self, command: Mapping[str, FloatArray]) -> FloatArray:
        """The action of one command.

        Args:
            command: "position", "velocity" and "effort" of the joints as far as given, or "base" (speed, yaw rate).

        Raises:
            ProtocolError: it does not carry what this robot is commanded with.
        """
        values = command.get(self.mode)
        if values is None or len(values) != len(self.action_names):
            raise ProtocolError(
                f"a command of {self.spec.name} carries no {self.mode} for {len(self.action_names)} axes"
            )
        return np.asarray(values, dtype=np.float32)
