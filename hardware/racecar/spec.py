"""What the car is: the F1TENTH platform, with the gentle limits of a first motion."""

from __future__ import annotations

from hardware.spec import BaseSpec, RobotSpec

WHEELBASE = 0.3302
"""Distance of the axles [m]."""
STEERING_MAX = 0.26
"""The servo's lower side ends at 0.264 rad (0.85 on its scale, 0.53 is straight); both sides get the same."""

RACECAR = RobotSpec(
    name="racecar",
    joints=(),
    control_rate_hz=50.0,
    command_modes=("velocity",),
    base_frame="base_link",
    # One answer may get lost without a trace (see `value_requests`).
    state_age_max_s=0.2,
    base=BaseSpec(
        kind="car",
        # The platform does 20 m/s and 9.5 m/s^2. A room does not: from 2 m/s this stops within 0.7 m.
        forward_max=2.0,
        backward_max=1.0,
        # In the sharpest curve (1.24 m radius): v tan(steering) / wheelbase = 1.61 rad/s at 2 m/s.
        yaw_rate_max=1.7,
        acceleration_max=2.0,
        deceleration_max=3.0,
        # The steering servo turns 3.2 rad/s at most; at 2 m/s that is 3.2 * 2 / 0.33 = 19 rad/s^2. Half of it is used.
        yaw_acceleration_max=10.0,
        wheelbase=WHEELBASE,
        steering_max=STEERING_MAX,
    ),
    sources=(
        "F1TENTH build: f1tenth_system, vesc.yaml: 4614 electrical rpm per m/s, servo -1.2135 per rad, straight at "
        "0.5304, range 0.15 to 0.85",
        "F1TENTH gym, default parameters: axles 0.15875 and 0.17145 m from the centre of mass, 3.74 kg, "
        "steering speed up to 3.2 rad/s, acceleration up to 9.51 m/s^2",
    ),
)
"""The car. Its frame lies on the floor in the middle of the rear axle."""
