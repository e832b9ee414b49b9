"""Swing a hanging pole up and balance it, with unknown gravity and unknown length of the pole."""

from __future__ import annotations

import math

import numpy as np

from hardware.arrays import Array, namespace
from hardware.records import RobotState
from robostack.tasks.cartpole import RAIL_M, CartPole
from robostack.tasks.task import Episode, Outcome, Start

UP_RAD = 0.3
"""The pole counts as up within this angle [rad]."""
SUCCESS_S = 2.0
"""Time for which it must have been up at the end [s]."""
CENTER_WEIGHT = 0.1
"""Weight of the squared distance from the middle of the rail [1/m^2]."""


class CartPoleSwingup(CartPole):
    """Reward: 0 to 10 with the height of the pole's tip, less a little for distance from the middle of the rail.

    DORAEMON's success is a return of 4,200 in rewards that its paper does not state; here it is a pole that is up in
    the last two seconds of the episode. Leaving the rail ends the episode.
    """

    def __init__(self) -> None:
        super().__init__()
        self.name = "cartpole-swingup"

    def start(self, rng: np.random.Generator, count: int) -> Start:
        """Hanging, nearly at rest."""
        begun = super().start(rng, count)
        return Start(begun.joint_position + np.array([math.pi, 0.0]), begun.joint_velocity)

    def judge(self, action: Array, state: RobotState, episode: Episode) -> tuple[Outcome, Episode]:
        """Height of the tip; success while the pole has been up for two seconds."""
        xp = namespace(action)
        angle, cart = state.joint_position[..., 0], state.joint_position[..., 1]
        height = xp.cos(angle)
        up = height > math.cos(UP_RAD)
        held = xp.where(up, episode["held_steps"] + 1.0, xp.zeros_like(angle))
        reward = 5.0 * (1.0 + height) - CENTER_WEIGHT * cart * cart
        success = held * self.control_period_s >= SUCCESS_S - 1e-9
        outcome = Outcome(reward=reward, success=success, terminated=xp.abs(cart) > RAIL_M)
        return outcome, {"held_steps": held}


TASK = CartPoleSwingup
