"""What a policy, an operator or a planner asks of the tracking controller."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from hardware.arrays import Array

ReferenceMode = Literal["position", "velocity", "effort"]


@dataclass(frozen=True, slots=True)
class JointReference:
    """One set-point for all joints, in the order of `RobotSpec.joint_names`. Leading batch dimensions allowed.

    Mode "velocity": move at `value` [rad/s] until told otherwise or stale. Mode "position": be at `value` [rad] after
    `horizon_s`, with `velocity` there. Mode "effort": apply `value` [Nm], not interpolated.
    """

    mode: ReferenceMode
    """What `value` is."""
    value: Array
    """(..., num_joints), unit by mode."""
    horizon_s: float
    """Time until the next reference is expected [s]: the period of the policy."""
    velocity: Array | None = None
    """Mode "position": velocity on arrival, (..., num_joints) [rad/s]; None: come to rest."""
    created_s: float = 0.0
    """Monotonic time of creation [s]; its age decides whether the reference is stale."""


@dataclass(frozen=True, slots=True)
class ToolReference:
    """A set-point for the tool, in the base frame. Turned into a JointReference by differential inverse kinematics."""

    linear_velocity: Array
    """(..., 3) [m/s]."""
    angular_velocity: Array
    """(..., 3) [rad/s]."""
    horizon_s: float
    """Time until the next reference is expected [s]."""
    created_s: float = 0.0
    """Monotonic time of creation [s]."""


@dataclass(frozen=True, slots=True)
class BaseReference:
    """A velocity for a mobile base, in its own frame."""

    linear_velocity: float
    """Speed forwards [m/s]; negative: backwards."""
    yaw_rate: float
    """[rad/s], positive: to the left. A car needs speed for it: the curvature is the yaw rate over the speed."""
    horizon_s: float
    """Time until the next reference is expected [s]."""
    created_s: float = 0.0
    """Monotonic time of creation [s]; its age decides whether the reference is stale."""
