"""Gymnasium's planar bodies as robots: passive joints that hold them in their plane, then driven ones."""

from __future__ import annotations

import math

from hardware.spec import JointSpec, RobotSpec


def planar_body(
    name: str,
    passive: tuple[tuple[str, bool, float], ...],
    driven: tuple[tuple[str, float, float, float], ...],
    rate_hz: float,
    source: str,
) -> RobotSpec:
    """A body that is driven by torques only; Gymnasium limits neither speed nor acceleration.

    Args:
        name: of the robot.
        passive: name, whether it slides, and default position [m] or [rad] of each passive joint.
        driven: name, range [rad] and largest torque [Nm] of each driven joint.
        rate_hz: control rate [Hz].
        source: where the numbers are from.
    """
    joints = [
        _joint(joint, -math.inf, math.inf, 0.0, slides=slides, default=default) for joint, slides, default in passive
    ]
    joints += [_joint(joint, low, high, effort) for joint, low, high, effort in driven]
    return RobotSpec(
        name=name,
        joints=tuple(joints),
        control_rate_hz=rate_hz,
        command_modes=("effort",),
        base_frame="world",
        sources=(source,),
    )


def _joint(name: str, low: float, high: float, effort: float, slides: bool = False, default: float = 0.0) -> JointSpec:
    return JointSpec(
        name=name,
        position_min=low,
        position_max=high,
        velocity_max=math.inf,
        acceleration_max=math.inf,
        jerk_max=math.inf,
        effort_max=effort,
        default_position=default,
        kind="prismatic" if slides else "revolute",
    )


_UPRIGHT = (("rootx", True, 0.0), ("rootz", True, 1.25), ("rooty", False, 0.0))
_LEG, _FOOT = math.radians(150.0), math.radians(45.0)

HOPPER = planar_body(
    "hopper",
    _UPRIGHT,
    (
        ("thigh_joint", -_LEG, 0.0, 200.0),
        ("leg_joint", -_LEG, 0.0, 200.0),
        ("foot_joint", -_FOOT, _FOOT, 200.0),
    ),
    125.0,
    "Gymnasium, envs/mujoco/assets/hopper.xml and hopper_v5.py",
)
"""The hopper; the control inputs of its model are fractions of the torques."""

WALKER2D = planar_body(
    "walker2d",
    _UPRIGHT,
    (
        ("thigh_joint", -_LEG, 0.0, 100.0),
        ("leg_joint", -_LEG, 0.0, 100.0),
        ("foot_joint", -_FOOT, _FOOT, 100.0),
        ("thigh_left_joint", -_LEG, 0.0, 100.0),
        ("leg_left_joint", -_LEG, 0.0, 100.0),
        ("foot_left_joint", -_FOOT, _FOOT, 100.0),
    ),
    125.0,
    "Gymnasium, envs/mujoco/assets/walker2d_v5.xml and walker2d_v5.py",
)
"""The walker."""

HALFCHEETAH = planar_body(
    "halfcheetah",
    (("rootx", True, 0.0), ("rootz", True, 0.0), ("rooty", False, 0.0)),
    (
        ("bthigh", -0.52, 1.05, 120.0),
        ("bshin", -0.785, 0.785, 90.0),
        ("bfoot", -0.4, 0.785, 60.0),
        ("fthigh", -1.0, 0.7, 120.0),
        ("fshin", -1.2, 0.87, 60.0),
        ("ffoot", -0.5, 0.5, 30.0),
    ),
    20.0,
    "Gymnasium, envs/mujoco/assets/half_cheetah.xml and half_cheetah_v5.py",
)
"""The half cheetah."""

SWIMMER = planar_body(
    "swimmer",
    (("slider1", True, 0.0), ("slider2", True, 0.0), ("free_body_rot", False, 0.0)),
    (
        ("motor1_rot", -math.radians(100.0), math.radians(100.0), 150.0),
        ("motor2_rot", -math.radians(100.0), math.radians(100.0), 150.0),
    ),
    25.0,
    "Gymnasium, envs/mujoco/assets/swimmer.xml and swimmer_v5.py",
)
"""The swimmer, in a viscous medium."""
