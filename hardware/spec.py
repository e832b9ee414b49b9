"""What a robot is, before it is connected: its joints by name, their limits, its frames and its rates."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from hardware.arrays import FloatArray, frozen
from hardware.errors import ConfigError, LimitViolationError, UnknownNameError

CommandMode = Literal["position", "velocity", "effort"]


@dataclass(frozen=True)
class JointSpec:
    """One joint. For a prismatic joint read m for rad and N for Nm."""

    name: str
    """Name, equal in MJCF, URDF, ROS messages and datasets."""
    position_min: float
    """Lowest position [rad]."""
    position_max: float
    """Highest position [rad]."""
    velocity_max: float
    """Largest speed [rad/s]."""
    acceleration_max: float
    """Largest acceleration that references may ask for [rad/s^2]."""
    jerk_max: float
    """Largest jerk that references may ask for [rad/s^3]."""
    effort_max: float
    """Largest torque [Nm]."""
    default_position: float = 0.0
    """Position in the default pose [rad]."""
    stiffness: float = 0.0
    """Proportional gain of the position servo [Nm/rad]; 0 where the robot has none."""
    damping: float = 0.0
    """Derivative gain of the position servo [Nm s/rad]."""
    kind: Literal["revolute", "prismatic"] = "revolute"
    """Kind of joint; fixes the units."""

    def __post_init__(self) -> None:
        """Check the range.

        Raises:
            ConfigError: position_min is not below position_max.
            LimitViolationError: the default position is outside the range.
        """
        if not self.position_min < self.position_max:
            raise ConfigError(
                f"joint '{self.name}': position_min {self.position_min} must be below {self.position_max}"
            )
        if not self.position_min <= self.default_position <= self.position_max:
            what = f"joint '{self.name}' default position"
            raise LimitViolationError(what, self.default_position, self.position_min, self.position_max)


@dataclass(frozen=True)
class BaseSpec:
    """A base that drives on wheels. Its own frame: x forward, y left, z up, on the floor between the driven wheels."""

    kind: Literal["differential", "car"]
    """"differential" turns on the spot; "car" steers, so that its yaw rate is speed times curvature."""
    forward_max: float
    """Largest speed forwards [m/s]."""
    backward_max: float
    """Largest speed backwards, positive [m/s]."""
    yaw_rate_max: float
    """Largest yaw rate to either side [rad/s]."""
    acceleration_max: float
    """Largest acceleration away from rest [m/s^2]."""
    deceleration_max: float
    """Largest acceleration towards rest [m/s^2]."""
    yaw_acceleration_max: float
    """Largest angular acceleration [rad/s^2]."""
    wheelbase: float = 0.0
    """Distance of the axles of a car [m]."""
    steering_max: float = 0.0
    """Largest steering angle of a car, of a wheel in its middle, to either side [rad]."""
    front_contacts: tuple[str, ...] = ()
    """Contacts (`RobotState.contacts`) that, while on, forbid to drive forwards."""

    @property
    def curvature_max(self) -> float:
        """Largest curvature of the path [1/m]: tan(steering_max) / wheelbase for a car, else unlimited."""
        return math.tan(self.steering_max) / self.wheelbase if self.kind == "car" else math.inf


@dataclass(frozen=True)
class RobotSpec:
    """A robot: readable before connecting, and the same for the simulated and the physical one."""

    name: str
    """Registry name ("ur5e")."""
    joints: tuple[JointSpec, ...]
    """Actuated joints; this order is the order of every joint array of the robot."""
    control_rate_hz: float
    """Rate of the loop that commands the device [Hz]."""
    command_modes: tuple[CommandMode, ...]
    """What a command to the device may carry, preferred first."""
    base_frame: str
    """Frame that tool poses are given in."""
    tool_frame: str | None = None
    """Site of the model that is the tool; None for a robot without one."""
    workspace_min: tuple[float, float, float] | None = None
    """Lower corner of the box the tool must stay in, in the base frame [m]; None: not limited."""
    workspace_max: tuple[float, float, float] | None = None
    """Upper corner of the box the tool must stay in, in the base frame [m]."""
    state_age_max_s: float = 0.05
    """A measurement older than this stops the robot [s]."""
    base: BaseSpec | None = None
    """What drives, for a robot that takes `BaseCommand`; its `joints` may be empty."""
    sources: tuple[str, ...] = ()
    """Where the numbers come from."""

    @cached_property
    def joint_names(self) -> tuple[str, ...]:
        """Names of the joints, in order."""
        return tuple(joint.name for joint in self.joints)

    @cached_property
    def position_min(self) -> FloatArray:
        """Lower position limits, (num_joints,) [rad], read-only."""
        return frozen([joint.position_min for joint in self.joints])

    @cached_property
    def position_max(self) -> FloatArray:
        """Upper position limits, (num_joints,) [rad], read-only."""
        return frozen([joint.position_max for joint in self.joints])

    @cached_property
    def velocity_max(self) -> FloatArray:
        """Speed limits, (num_joints,) [rad/s], read-only."""
        return frozen([joint.velocity_max for joint in self.joints])

    @cached_property
    def acceleration_max(self) -> FloatArray:
        """Acceleration limits, (num_joints,) [rad/s^2], read-only."""
        return frozen([joint.acceleration_max for joint in self.joints])

    @cached_property
    def jerk_max(self) -> FloatArray:
        """Jerk limits, (num_joints,) [rad/s^3], read-only."""
        return frozen([joint.jerk_max for joint in self.joints])

    @cached_property
    def effort_max(self) -> FloatArray:
        """Torque limits, (num_joints,) [Nm], read-only."""
        return frozen([joint.effort_max for joint in self.joints])

    @cached_property
    def default_position(self) -> FloatArray:
        """Default pose, (num_joints,) [rad], read-only."""
        return frozen([joint.default_position for joint in self.joints])

    @cached_property
    def stiffness(self) -> FloatArray:
        """Servo stiffness, (num_joints,) [Nm/rad], read-only."""
        return frozen([joint.stiffness for joint in self.joints])

    @cached_property
    def damping(self) -> FloatArray:
        """Servo damping, (num_joints,) [Nm s/rad], read-only."""
        return frozen([joint.damping for joint in self.joints])

    def indices(self, names: Iterable[str]) -> NDArray[np.intp]:
        """Positions of the joints called `names` in this robot's order, (k,).

        Raises:
            UnknownNameError: a name is not a joint of this robot.
        """
        order = {name: index for index, name in enumerate(self.joint_names)}
        found = []
        for name in names:
            if name not in order:
                raise UnknownNameError(f"joint of '{self.name}'", name, order)
            found.append(order[name])
        return np.array(found, dtype=np.intp)

    def ordered(self, names: Sequence[str], values: Sequence[float], fill: float = float("nan")) -> FloatArray:
        """Values given per joint name, put into this robot's order, (num_joints,); joints not named get `fill`.

        Raises:
            UnknownNameError: a name is not a joint of this robot.
            ValueError: the lengths differ.
        """
        if len(names) != len(values):
            raise ValueError(f"{len(names)} joint names but {len(values)} values")
        array = np.full(len(self.joints), fill, dtype=np.float64)
        array[self.indices(names)] = values
        return array
