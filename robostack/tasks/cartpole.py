"""Balance a pole on a cart, with unknown gravity and unknown length of the pole."""

from __future__ import annotations

import math

import numpy as np

from controllers.reference import JointReference
from hardware.arrays import Array, namespace
from hardware.records import RobotState
from robostack.tasks.task import Episode, Outcome, Start, Task, Term
from sim.bodies.cartpole import CARTPOLE, MODEL
from sim.dynamics import DynamicsParameter

RAIL_M = 2.4
"""Distance from the middle of the rail at which an episode ends [m]."""
FALLEN_RAD = math.radians(12.0)
"""Angle at which the pole counts as fallen [rad]."""
SUCCESS_STEPS = 400.0
"""Steps that the pole must stay up, of 500."""
NOISE = 0.05
"""Half width of the uniform noise on the start, in every number."""

DYNAMICS = (
    DynamicsParameter("world/gravity", "m/s^2", 9.81, 2.39, 17.21),
    DynamicsParameter("link:pole/half_length", "m", 0.5, 0.12, 0.88),
)
"""DORAEMON's bounds: gravity 9.8 +- 7.41, half length 0.5 +- 0.38."""


class CartPole(Task):
    """Reward 1 per step; ends when the pole falls or the cart leaves the rail. The action is a share of 10 N."""

    def __init__(self) -> None:
        self.name, self.spec, self.model = "cartpole", CARTPOLE, MODEL
        self.control_period_s, self.timestep_s, self.episode_s = 0.02, 0.005, 10.0
        self.ends_on_success = False
        self.dynamics = DYNAMICS
        self.cameras = ("side",)
        self.observation = (
            Term("cart", ("position", "velocity"), "1", "world", -math.inf, math.inf),
            Term("pole", ("cosine", "sine", "velocity"), "1", "", -math.inf, math.inf),
        )
        self.action = (Term("force", ("slider",), "1", "", -1.0, 1.0),)

    def start(self, rng: np.random.Generator, count: int) -> Start:
        """Upright, nearly."""
        position = rng.uniform(-NOISE, NOISE, (count, 2))
        return Start(position, rng.uniform(-NOISE, NOISE, (count, 2)))

    def begin(self, rng: np.random.Generator, state: RobotState) -> Episode:
        """Nothing is held yet."""
        angle = state.joint_position[..., 0]
        return {"held_steps": namespace(angle).zeros_like(angle)}

    def observe(self, state: RobotState, episode: Episode) -> Array:
        """Position and velocity of the cart, direction and angular velocity of the pole, (..., 5)."""
        xp = namespace(state.joint_position)
        angle, cart = state.joint_position[..., 0], state.joint_position[..., 1]
        turning, moving = state.joint_velocity[..., 0], state.joint_velocity[..., 1]
        return xp.stack([cart, moving, xp.cos(angle), xp.sin(angle), turning], axis=-1)

    def reference(self, action: Array, state: RobotState, episode: Episode) -> JointReference:
        """The force on the cart; the hinge is free."""
        xp = namespace(action)
        return JointReference("effort", xp.concat([xp.zeros_like(action), action], axis=-1), self.control_period_s)

    def judge(self, action: Array, state: RobotState, episode: Episode) -> tuple[Outcome, Episode]:
        """Reward 1; success once the pole has been up for 400 steps."""
        xp = namespace(action)
        angle, cart = state.joint_position[..., 0], state.joint_position[..., 1]
        ended = (xp.abs(angle) > FALLEN_RAD) | (xp.abs(cart) > RAIL_M)
        held = episode["held_steps"] + 1.0
        outcome = Outcome(reward=xp.ones_like(angle), success=held >= SUCCESS_STEPS, terminated=ended)
        return outcome, {"held_steps": held}


TASK = CartPole
