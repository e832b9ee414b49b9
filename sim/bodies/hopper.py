"""Gymnasium's hopper as a robot: three passive joints that hold it in its plane, and three driven ones."""

from __future__ import annotations

import math

from hardware.spec import JointSpec, RobotSpec


def _joint(name: str, low: float, high: float, effort_max: float, kind: str = "revolute") -> JointSpec:
    """One joint. Gymnasium's hopper limits neither speed nor acceleration; references of mode effort need no limit."""
    return JointSpec(
        name=name,
        position_min=low,
        position_max=high,
        velocity_max=math.inf,
        acceleration_max=math.inf,
        jerk_max=math.inf,
        effort_max=effort_max,
        default_position=1.25 if name == "rootz" else 0.0,
        kind="prismatic" if kind == "prismatic" else "revolute",
    )


HOPPER = RobotSpec(
    name="hopper",
    joints=(
        _joint("rootx", -math.inf, math.inf, 0.0, "prismatic"),
        _joint("rootz", -math.inf, math.inf, 0.0, "prismatic"),
        _joint("rooty", -math.inf, math.inf, 0.0),
        _joint("thigh_joint", math.radians(-150.0), 0.0, 200.0),
        _joint("leg_joint", math.radians(-150.0), 0.0, 200.0),
        _joint("foot_joint", math.radians(-45.0), math.radians(45.0), 200.0),
    ),
    control_rate_hz=125.0,
    command_modes=("effort",),
    base_frame="world",
    sources=("Gymnasium, envs/mujoco/assets/hopper.xml and hopper_v5.py",),
)
"""The hopper; the control inputs of its model are fractions of 200 N m."""
