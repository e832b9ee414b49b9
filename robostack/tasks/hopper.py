"""Gymnasium's Hopper-v5: hop forwards and do not fall; four masses, three dampings and the foot's friction unknown."""

from __future__ import annotations

from robostack.tasks.gymnasium_body import BodyRules, GymnasiumBody, around_nominal
from sim.bodies.gymnasium_assets import gymnasium_model
from sim.bodies.planar import HOPPER

RULES = BodyRules(
    model="hopper",
    timestep_s=0.002,
    frame_skip=4,
    hidden_positions=1,
    control_cost=1e-3,
    reset_noise=5e-3,
    success_return=1600.0,
    velocity_clip=10.0,
    healthy_reward=1.0,
    height_m=(0.7, float("inf")),
    angle_rad=(-0.2, 0.2),
    state_max=100.0,
)
PARAMETERS = (
    *(f"link:{name}/mass" for name in ("torso", "thigh", "leg", "foot")),
    *(f"joint:{name}/damping" for name in ("thigh_joint", "leg_joint", "foot_joint")),
    "contact:foot_geom/friction",
)


class HopperTask(GymnasiumBody):
    """The hopper; every parameter within 95 % of its nominal value, DORAEMON's range on Gymnasium's own model."""

    def __init__(self) -> None:
        dynamics = around_nominal(HOPPER, gymnasium_model(RULES.model), PARAMETERS, 0.95)
        super().__init__("hopper", HOPPER, RULES, dynamics)


TASK = HopperTask
