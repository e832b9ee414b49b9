"""What an SO-101 is: ranges and servo gains published by its makers, and what follows from the servo's data sheet."""

from __future__ import annotations

from hardware.spec import JointSpec, RobotSpec

STALL_TORQUE_NM = 2.94
"""STS3215-C018 at 12 V: 30 kg cm [Nm]."""
NO_LOAD_SPEED_RAD_S = 4.71
"""The same: 45 rev/min [rad/s]."""

# With 0.6 Nm s/rad of damping (the motor's back electromotive force and the gear), 0.06 kg m^2 of rotor and arm, and
# 0.67 Nm of gravity at the stretched-out shoulder, 2.5 rad/s and 10 rad/s^2 need 1.5 + 0.6 + 0.67 = 2.8 Nm: about
# what the servo has. Full acceleration is reached in 50 ms, five cycles of the bus.
_VELOCITY_MAX = 2.5
_ACCELERATION_MAX = 10.0
_JERK_MAX = _ACCELERATION_MAX / 0.05


def _joint(name: str, position_min: float, position_max: float, default_position: float) -> JointSpec:
    """One joint; all have the same servo. Gains: the makers' joints_properties.xml."""
    return JointSpec(
        name=name,
        position_min=position_min,
        position_max=position_max,
        velocity_max=_VELOCITY_MAX,
        acceleration_max=_ACCELERATION_MAX,
        jerk_max=_JERK_MAX,
        effort_max=STALL_TORQUE_NM,
        default_position=default_position,
        stiffness=998.22,
        damping=2.731,
    )


SO101 = RobotSpec(
    name="so101",
    joints=(
        # Default pose: tool 0.21 m in front of the base and 0.08 m above the table, pointing down and forward; no joint
        # near its limit or stretched out.
        _joint("shoulder_pan", -1.91986, 1.91986, 0.0),
        _joint("shoulder_lift", -1.74533, 1.74533, -0.6),
        _joint("elbow_flex", -1.69, 1.69, 0.6),
        _joint("wrist_flex", -1.65806, 1.65806, 1.2),
        _joint("wrist_roll", -2.74385, 2.84121, 0.0),
        _joint("gripper", -0.174533, 1.74533, 0.4),
    ),
    control_rate_hz=100.0,
    command_modes=("position",),
    base_frame="base",
    tool_frame="gripperframe",
    # No box around the tool: folded up at rest the arm lies outside of every box that keeps it off the table.
    state_age_max_s=0.1,
    sources=(
        "TheRobotStudio/SO-ARM100, Simulation/SO101/so101_new_calib.xml: frames, ranges, masses, inertias",
        "TheRobotStudio/SO-ARM100, Simulation/SO101/joints_properties.xml: servo gains, damping, friction, armature",
        "Feetech STS3215-C018 data sheet: 30 kg cm at 12 V, 45 rev/min without load",
    ),
)
"""The SO-101; every joint is zero in the middle of its range."""
