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
LEFT_PENALTY = 10.0
"""Cost of leaving the rail."""
SLOW_RAD_S = 5.0
"""Angular velocity at which a quarter of the reward for height is lost [rad/s]; half of it at most."""
CENTER_WEIGHT = 0.01
"""Weight of the squared distance from the middle of the rail [1/m^2]."""


class CartPoleSwingup(CartPole):
    """Reward: 0 to 1 with the height of the pole's tip; less where it turns fast, and far from the middle of the rail.

    What it loses for speed tells balancing from spinning, and what leaving the rail costs, which also ends the episode,
    keeps the cart on it while nothing else is learned yet. DORAEMON's success is a return of 4,200 in rewards that its
    paper does not state; here it is physical: at the end of the episode, 10 s, the pole has been up for two seconds.
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
        height, turning = xp.cos(angle), state.joint_velocity[..., 0] / SLOW_RAD_S
        up = height > math.cos(UP_RAD)
        held = xp.where(up, episode["held_steps"] + 1.0, xp.zeros_like(angle))
        still = 0.5 + 0.5 / (1.0 + turning * turning)
        reward = 0.5 * (1.0 + height) * still - CENTER_WEIGHT * cart * cart
        success = held * self.control_period_s >= SUCCESS_S - 1e-9
        left = xp.abs(cart) > RAIL_M
        outcome = Outcome(reward=xp.where(left, reward - LEFT_PENALTY, reward), success=success, terminated=left)
        return outcome, {"held_steps": held}


TASK = CartPoleSwingup
