"""Gymnasium's Swimmer-v5: swim forwards; three masses, three lengths and the viscosity of the medium unknown."""

from __future__ import annotations

from robostack.tasks.gymnasium_body import BodyRules, GymnasiumBody, around_nominal
from sim.bodies.gymnasium_assets import gymnasium_model
from sim.bodies.planar import SWIMMER

RULES = BodyRules(
    model="swimmer",
    timestep_s=0.01,
    frame_skip=4,
    hidden_positions=2,
    control_cost=1e-4,
    reset_noise=0.1,
    success_return=112.0,
)
LINKS = ("torso", "mid", "back")
PARAMETERS = (*(f"link:{name}/mass" for name in LINKS), *(f"link:{name}/length" for name in LINKS), "medium/viscosity")


class SwimmerTask(GymnasiumBody):
    """The swimmer; every parameter within 25 % of its nominal value."""

    def __init__(self) -> None:
        dynamics = around_nominal(SWIMMER, gymnasium_model(RULES.model), PARAMETERS, 0.25)
        super().__init__("swimmer", SWIMMER, RULES, dynamics)


TASK = SwimmerTask
