"""What a Go2 is: published limits and gains, and which motor moves which joint."""

from __future__ import annotations

from hardware.spec import JointSpec, RobotSpec

LEGS = ("FR", "FL", "RR", "RL")
"""Front right, front left, rear right, rear left: the order of the motors."""
MOTOR_INDEX = {
    f"{leg}_{joint}_joint": 3 * index + offset
    for index, leg in enumerate(LEGS)
    for offset, joint in enumerate(("hip", "thigh", "calf"))
}
"""Joint name -> place of its motor among the twenty of a message."""
FOLDED_POSE = {"hip": 0.0, "thigh": 1.36, "calf": -2.65}
"""Legs folded under the trunk, by kind of joint [rad]: the first pose of Unitree's stand example."""
STIFFNESS, DAMPING = 60.0, 5.0
"""Gains of every joint in Unitree's stand example [Nm/rad], [Nm s/rad]."""


def kind_of(joint_name: str) -> str:
    """The kind of a joint: "hip", "thigh" or "calf"."""
    return joint_name.split("_")[1]


def _joint(name: str) -> JointSpec:
    """Range, effort and speed of the description; the rear thighs' range differs from the front ones'.

    The maker publishes no acceleration limits. They are a bit less than half of what full torque gives in the default
    pose with the trunk held (effort_max / M_ii; a test compares them with the model), the other half being left for
    carrying the trunk. Full acceleration is given 10 ms.
    """
    kind = kind_of(name)
    thigh = (-0.5236, 4.5379) if name.startswith("R") else (-1.5708, 3.4907)
    low, high = {"hip": (-1.0472, 1.0472), "thigh": thigh, "calf": (-2.7227, -0.83776)}[kind]
    calf = kind == "calf"
    acceleration = {"hip": 350.0, "thigh": 350.0, "calf": 800.0}[kind]
    return JointSpec(
        name=name,
        position_min=low,
        position_max=high,
        velocity_max=20.06 if calf else 30.1,
        acceleration_max=acceleration,
        jerk_max=100.0 * acceleration,
        effort_max=35.55 if calf else 23.7,
        default_position={"hip": 0.0, "thigh": 0.67, "calf": -1.3}[kind],
        stiffness=STIFFNESS,
        damping=DAMPING,
    )


GO2 = RobotSpec(
    name="go2",
    joints=tuple(_joint(name) for name in MOTOR_INDEX),
    control_rate_hz=500.0,
    command_modes=("position", "effort"),
    base_frame="trunk",
    state_age_max_s=0.05,
    sources=(
        "unitreerobotics/unitree_ros, robots/go2_description/urdf: ranges, efforts, speeds, masses",
        "unitreerobotics/unitree_sdk2_python, example/go2/low_level/go2_stand_example.py: gains, poses, 500 Hz",
    ),
)
"""The Go2; its base frame is the trunk, which floats."""
