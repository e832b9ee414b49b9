"""Gymnasium's HalfCheetah-v5: run; seven masses and the friction of the ground unknown."""

from __future__ import annotations

from robostack.tasks.gymnasium_body import BodyRules, GymnasiumBody, around_nominal
from sim.bodies.gymnasium_assets import gymnasium_model
from sim.bodies.planar import HALFCHEETAH

RULES = BodyRules(
    model="half_cheetah",
    timestep_s=0.01,
    frame_skip=5,
    hidden_positions=1,
    control_cost=0.1,
    reset_noise=0.1,
    success_return=5000.0,
    normal_velocities=True,
)
PARAMETERS = (
    *(f"link:{name}/mass" for name in ("torso", "bthigh", "bshin", "bfoot", "fthigh", "fshin", "ffoot")),
    "contact/friction",
)


class HalfCheetahTask(GymnasiumBody):
    """The half cheetah; every parameter within 95 % of its nominal value, DORAEMON's range.

    All geoms have the friction of the ground, 0.4, in Gymnasium's model; the parameter is a factor on all of them.
    """

    def __init__(self) -> None:
        dynamics = around_nominal(HALFCHEETAH, gymnasium_model(RULES.model), PARAMETERS, 0.95)
        super().__init__("halfcheetah", HALFCHEETAH, RULES, dynamics)


TASK = HalfCheetahTask
