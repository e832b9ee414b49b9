"""What a UR5e is: published limits, and the servo gains of its model with their derivation."""

from __future__ import annotations

import math

from hardware.spec import JointSpec, RobotSpec

SERVO_FREQUENCY_HZ = 10.0
"""Natural frequency of the joint servos of the model [Hz]."""
SERVO_DAMPING_RATIO = 1.0
"""Damping ratio of the joint servos of the model."""

# The controller's `servoj` follows a moving target some tens of milliseconds late (its `lookahead_time` is 30 ms by
# default, settable from 30 to 200 ms). A servo kp (target - q) - kv qd that drives an inertia I has
#     kp = I w^2,   kv = 2 z I w,   and follows a ramp late by kv / kp = 2 z / w,
# with w = 2 pi 10 Hz and z = 1 that is 31.8 ms. I is each joint's inertia in the default pose with everything that
# hangs on it, rotor included: the diagonal of the model's mass matrix, rounded (a test compares them).


def _joint(
    name: str,
    default_position: float,
    inertia: float,
    *,
    effort_max: float,
    acceleration_max: float,
    position_max: float = 2.0 * math.pi,
) -> JointSpec:
    """One joint; `inertia` [kg m^2] is what its servo drives in the default pose."""
    omega = 2.0 * math.pi * SERVO_FREQUENCY_HZ
    return JointSpec(
        name=name,
        position_min=-position_max,
        position_max=position_max,
        velocity_max=math.pi,
        acceleration_max=acceleration_max,
        # Full acceleration is reached in 40 ms, a little more than the servo's lag: a faster change would be
        # filtered away by the servo anyway.
        jerk_max=acceleration_max / 0.04,
        effort_max=effort_max,
        default_position=default_position,
        stiffness=round(inertia * omega**2, 1),
        damping=round(2.0 * SERVO_DAMPING_RATIO * inertia * omega, 2),
    )


# The maker publishes no acceleration limits. With the arm stretched out, gravity takes about half of the 150 Nm of the
# large joints and 75 Nm accelerate the 4.9 kg m^2 that then hang on them by 15 rad/s^2; 10 rad/s^2 leaves a third in
# reserve. The wrists could do far more (28 Nm on 0.12 kg m^2); twice the arm's figure keeps the tool quiet.
_ARM = {"effort_max": 150.0, "acceleration_max": 10.0}
_WRIST = {"effort_max": 28.0, "acceleration_max": 20.0}

UR5E = RobotSpec(
    name="ur5e",
    joints=(
        # Default pose: tool straight down, 0.49 m in front of the base (its x axis), 0.13 m to the left, 0.49 m up;
        # elbow and wrist_2 a quarter turn away from their singular positions. In the controller's base frame the arm
        # points along -x at shoulder_pan 0, hence the half turn.
        _joint("shoulder_pan_joint", math.pi, 1.4, **_ARM),
        _joint("shoulder_lift_joint", -math.pi / 2, 2.9, **_ARM),
        # The controller allows a full turn to either side, but the links meet at about half a turn.
        _joint("elbow_joint", math.pi / 2, 1.2, position_max=math.pi, **_ARM),
        _joint("wrist_1_joint", -math.pi / 2, 0.12, **_WRIST),
        _joint("wrist_2_joint", -math.pi / 2, 0.11, **_WRIST),
        _joint("wrist_3_joint", 0.0, 0.10, **_WRIST),
    ),
    control_rate_hz=500.0,
    command_modes=("position",),
    base_frame="base",
    tool_frame="tool0",
    # In front of the base, above the table, and everywhere within reach with the tool pointing down (a test solves the
    # inverse kinematics at the corners).
    workspace_min=(0.25, -0.35, 0.02),
    workspace_max=(0.65, 0.35, 0.55),
    state_age_max_s=0.05,
    sources=(
        "Universal Robots e-Series User Manual UR5e, version 5.8: joint ranges, speeds, mass",
        "Universal Robots support article 'Max. joint torques': 150 Nm (base, shoulder, elbow), 28 Nm (wrists)",
        "Universal Robots, ROS description, config/ur5e/joint_limits.yaml: elbow range of half a turn",
        "Universal Robots support article 'DH Parameters for calculations of kinematics and dynamics'",
    ),
)
"""The UR5e, in the controller's base frame."""
