"""The cart-pole as a robot: a driven cart on a rail and a free pole on it."""

from __future__ import annotations

from pathlib import Path

from sim.bodies.planar import planar_body

MODEL = Path(__file__).with_name("cartpole.xml")
FORCE_N = 10.0

CARTPOLE = planar_body(
    "cartpole",
    (("hinge", False, 0.0),),
    (("slider", -1e3, 1e3, FORCE_N),),
    50.0,
    "A. G. Barto, R. S. Sutton, C. W. Anderson, IEEE Transactions on Systems, Man, and Cybernetics 13(5), 1983",
)
"""The cart-pole; the control input of its model is a fraction of 10 N. Angle 0 is upright [rad]."""
