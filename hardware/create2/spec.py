"""What a Create 2 is: its geometry, and the speeds that both wheels can give together."""

from __future__ import annotations

from hardware.spec import BaseSpec, RobotSpec

WHEEL_SPEED_MAX = 0.5
"""Largest speed of a wheel along the floor [m/s]; the Open Interface takes no more."""
WHEEL_DIAMETER = 0.072
"""[m]."""
AXLE_LENGTH = 0.235
"""Distance of the wheels [m]."""
COUNTS_PER_TURN = 508.8
"""Encoder counts per turn of a wheel."""
STREAM_PERIOD_S = 0.015
"""Time between two packets of the sensor stream [s]."""
CONTACTS = (
    "bumper_left",
    "bumper_right",
    "wheel_drop_left",
    "wheel_drop_right",
    "cliff_left",
    "cliff_front_left",
    "cliff_front_right",
    "cliff_right",
)
"""Names in `RobotState.contacts`."""
PROXIMITY = (
    "light_bump_left",
    "light_bump_front_left",
    "light_bump_centre_left",
    "light_bump_centre_right",
    "light_bump_front_right",
    "light_bump_right",
)
"""Names in `RobotState.proximity`, from left to right around the bumper."""

CREATE2 = RobotSpec(
    name="create2",
    joints=(),
    # Three commands per four measurements; the robot has no use for more.
    control_rate_hz=50.0,
    command_modes=("velocity",),
    base_frame="base_footprint",
    # Twelve packets of the stream may be lost: 6 cm at full speed.
    state_age_max_s=0.2,
    base=BaseSpec(
        kind="differential",
        # The outer wheel runs at v + w * axle / 2 = 0.3 + 1.7 * 0.1175 = 0.4998 m/s: every curve within these limits is
        # one that the wheels can drive. Backwards it is slower, because there is neither a bumper nor a cliff sensor.
        forward_max=0.3,
        backward_max=0.15,
        yaw_rate_max=1.7,
        # Chosen, not published. From 0.3 m/s the base comes to rest in 4.5 cm. In safe mode the robot also stops by
        # itself at an edge.
        acceleration_max=0.5,
        deceleration_max=1.0,
        yaw_acceleration_max=6.0,
        front_contacts=("bumper_left", "bumper_right"),
    ),
    sources=(
        "iRobot Create 2 Open Interface (OI) Specification based on the iRobot Roomba 600: packets, modes, units, "
        "wheels of 72 mm, 235 mm apart, 508.8 counts per turn, wheel speeds of up to 500 mm/s",
    ),
)
"""The Create 2. Its frame lies on the floor between the wheels."""
