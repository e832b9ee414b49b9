"""What a Franka Emika Panda with its hand is: published limits, and the gains of its model with their derivation."""

from __future__ import annotations

import math

from hardware.spec import JointSpec, RobotSpec

SERVO_FREQUENCY_HZ = 10.0
"""Natural frequency of the joint servos of the model [Hz]."""
SERVO_DAMPING_RATIO = 1.0
"""Damping ratio of the joint servos of the model."""
TORQUE_RATE_MAX_NM_S = 1000.0
"""Largest rate of change of a commanded joint torque [Nm/s] (Franka Control Interface, "Robot and interface
specifications")."""
GRIPPER = "gripper"
"""The joint that is the opening between the fingers [m]."""
OPEN_WIDTH_M = 0.08
"""Opening of the hand [m]."""


def _joint(
    number: int,
    default_position: float,
    position: tuple[float, float],
    inertia: float,
    *,
    velocity_max: float,
    acceleration_max: float,
    jerk_max: float,
    effort_max: float,
) -> JointSpec:
    """One joint; `inertia` [kg m^2] is what its servo drives in the default pose, rounded (a test compares them)."""
    omega = 2.0 * math.pi * SERVO_FREQUENCY_HZ
    return JointSpec(
        name=f"panda_joint{number}",
        position_min=position[0],
        position_max=position[1],
        velocity_max=velocity_max,
        acceleration_max=acceleration_max,
        jerk_max=jerk_max,
        effort_max=effort_max,
        default_position=default_position,
        stiffness=round(inertia * omega**2, 1),
        damping=round(2.0 * SERVO_DAMPING_RATIO * inertia * omega, 2),
    )


_ARM = {"velocity_max": 2.175, "effort_max": 87.0}
_WRIST = {"velocity_max": 2.61, "effort_max": 12.0}

PANDA = RobotSpec(
    name="panda",
    joints=(
        # Default pose: Franka's "ready" pose, the tool straight down, 0.31 m in front of the base, 0.49 m up.
        _joint(1, 0.0, (-2.8973, 2.8973), 0.63, acceleration_max=15.0, jerk_max=7500.0, **_ARM),
        _joint(2, -math.pi / 4, (-1.7628, 1.7628), 1.65, acceleration_max=7.5, jerk_max=3750.0, **_ARM),
        _joint(3, 0.0, (-2.8973, 2.8973), 1.08, acceleration_max=10.0, jerk_max=5000.0, **_ARM),
        _joint(4, -0.75 * math.pi, (-3.0718, -0.0698), 1.06, acceleration_max=12.5, jerk_max=6250.0, **_ARM),
        _joint(5, 0.0, (-2.8973, 2.8973), 0.144, acceleration_max=15.0, jerk_max=7500.0, **_WRIST),
        _joint(6, math.pi / 2, (-0.0175, 3.7525), 0.154, acceleration_max=20.0, jerk_max=10000.0, **_WRIST),
        _joint(7, math.pi / 4, (-2.8973, 2.8973), 0.107, acceleration_max=20.0, jerk_max=10000.0, **_WRIST),
        # Speed: 50 mm/s per finger; force: 70 N continuous. Acceleration and jerk are not published: assumed, full
        # speed within 0.1 s. Gains: 40 N on an object of 40 mm when commanded shut; critically damped or more.
        JointSpec(
            name=GRIPPER,
            position_min=0.0,
            position_max=OPEN_WIDTH_M,
            velocity_max=0.1,
            acceleration_max=1.0,
            jerk_max=20.0,
            effort_max=70.0,
            default_position=OPEN_WIDTH_M,
            stiffness=1000.0,
            damping=25.0,
            kind="prismatic",
        ),
    ),
    control_rate_hz=1000.0,
    command_modes=("effort", "position"),
    base_frame="panda_link0",
    tool_frame="panda_hand_tcp",
    # In front of the base, above the table, everywhere within reach with the tool pointing down (a test solves the
    # inverse kinematics at the corners).
    workspace_min=(0.3, -0.3, 0.005),
    workspace_max=(0.6, 0.3, 0.45),
    state_age_max_s=0.01,
    sources=(
        "Franka Emika, Franka Control Interface documentation, 'Robot and interface specifications': "
        "Denavit-Hartenberg parameters and limits of position, velocity, acceleration, jerk, torque, torque rate",
        "Franka Emika, 'Franka Hand' product manual: opening 80 mm, 50 mm/s per finger, 70 N continuous",
        "frankaemika/franka_description, robots/fer/inertial.yaml",
        "C. Gaz et al., 'Dynamic Identification of the Franka Emika Panda Robot With Retrieval of Feasible Parameters "
        "Using Penalty-Based Optimization', IEEE Robotics and Automation Letters 4(4), 2019",
    ),
)
"""The Panda with its hand, in Franka's base frame."""
