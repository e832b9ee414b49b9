"""Gymnasium's Walker2d-v5: walk and do not fall; seven masses, four lengths and both feet's friction unknown."""

from __future__ import annotations

from robostack.tasks.gymnasium_body import BodyRules, GymnasiumBody, around_nominal
from sim.bodies.gymnasium_assets import gymnasium_model
from sim.bodies.planar import WALKER2D

RULES = BodyRules(
    model="walker2d_v5",
    timestep_s=0.002,
    frame_skip=4,
    hidden_positions=1,
    control_cost=1e-3,
    reset_noise=5e-3,
    success_return=1600.0,
    velocity_clip=10.0,
    healthy_reward=1.0,
    height_m=(0.8, 2.0),
    angle_rad=(-1.0, 1.0),
)
LINKS = ("torso", "thigh", "leg", "foot", "thigh_left", "leg_left", "foot_left")
PARAMETERS = (
    *(f"link:{name}/mass" for name in LINKS),
    "link:torso/length",
    *(f"link:{name}+{name}_left/length" for name in ("thigh", "leg", "foot")),
    "contact:foot_geom/friction",
    "contact:foot_left_geom/friction",
)


class Walker2dTask(GymnasiumBody):
    """The walker; every parameter within 75 % of its nominal value, DORAEMON's range.

    Both legs share their lengths. With other lengths the trunk stands higher or lower; heights are observed, and judged
    healthy, relative to where it stands upright.
    """

    def __init__(self) -> None:
        dynamics = around_nominal(WALKER2D, gymnasium_model(RULES.model), PARAMETERS, 0.75)
        super().__init__("walker2d", WALKER2D, RULES, dynamics)


TASK = Walker2dTask
