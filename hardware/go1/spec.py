"""What a Go1 is: published limits and gains, and which motor moves which joint."""

from __future__ import annotations

from dataclasses import replace

from hardware.spec import JointSpec, RobotSpec

LEGS = ("FR", "FL", "RR", "RL")
"""Front right, front left, rear right, rear left: the order of the motors."""
MOTOR_INDEX = {
    f"{leg}_{joint}_joint": 3 * index + offset
    for index, leg in enumerate(LEGS)
    for offset, joint in enumerate(("hip", "thigh", "calf"))
}
"""Joint name -> place of its motor among the twenty of a packet."""


MECHANICAL_RANGE = {"hip": (-0.863, 0.863), "thigh": (-0.686, 4.501), "calf": (-2.818, -0.888)}
"""Where the joints' stops are, by kind of joint [rad]: Unitree's ROS description. A robot that lies on the ground rests
on the stops of its calves, outside the range that may be commanded."""
FOLDED_POSE = {"hip": 0.0, "thigh": 1.3, "calf": -2.7}
"""The pose with the legs folded under the trunk, by kind of joint [rad]: trunk about 9 cm above the ground."""

# Commanded ranges are where both of Unitree's sources agree: go1_const.h of the SDK (hip +-1.047, thigh -0.663..2.966,
# calf -2.721..-0.837) and the ROS description (MECHANICAL_RANGE).
#
# Gains and default pose belong together: the fixed stand of Unitree's unitree_guide on the physical robot.
#
# The maker publishes no acceleration limits. With the trunk held, full torque accelerates a joint of the default pose
# by effort_max / M_ii = 790, 860 and 2250 rad/s^2 (hip, thigh, calf; a test compares them with the model's mass
# matrix). Half of that leaves the other half for carrying the trunk; at the calf a bit less, for the impact of the
# foot. The motors' current loops reach full torque within a few milliseconds; full acceleration is given 10 ms.
_KINDS = {
    "hip": JointSpec(
        name="hip",
        position_min=-0.863,
        position_max=0.863,
        velocity_max=30.1,
        acceleration_max=400.0,
        jerk_max=4e4,
        effort_max=23.7,
        default_position=0.0,
        stiffness=60.0,
        damping=5.0,
    ),
    "thigh": JointSpec(
        name="thigh",
        position_min=-0.663,
        position_max=2.966,
        velocity_max=30.1,
        acceleration_max=400.0,
        jerk_max=4e4,
        effort_max=23.7,
        default_position=0.67,
        stiffness=40.0,
        damping=4.0,
    ),
    "calf": JointSpec(
        name="calf",
        position_min=-2.721,
        position_max=-0.888,
        velocity_max=20.06,
        acceleration_max=800.0,
        jerk_max=8e4,
        effort_max=35.55,
        default_position=-1.3,
        stiffness=80.0,
        damping=7.0,
    ),
}


def kind_of(joint_name: str) -> str:
    """The kind of a joint: "hip", "thigh" or "calf"."""
    return joint_name.split("_")[1]


GO1 = RobotSpec(
    name="go1",
    joints=tuple(replace(_KINDS[kind_of(name)], name=name) for name in MOTOR_INDEX),
    control_rate_hz=500.0,
    command_modes=("position", "effort"),
    base_frame="trunk",
    # The joints' servos run on the motors and need no state; a policy at 50 Hz that misses five of them is blind.
    state_age_max_s=0.1,
    sources=(
        "unitreerobotics/unitree_legged_sdk 3.8.6, include/unitree_legged_sdk/go1_const.h: joint ranges",
        "unitreerobotics/unitree_ros, robots/go1_description/xacro/const.xacro: stops, efforts, speeds, masses",
        "unitreerobotics/unitree_guide, LowlevelCmd.h (setRealStanceGain) and State_FixedStand: gains, pose",
        "unitreerobotics/unitree_legged_sdk, example: 500 Hz",
    ),
)
"""The Go1; its base frame is the trunk, which floats."""
