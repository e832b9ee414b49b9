"""Gymnasium's Hopper-v5, number for number, as a task: hop forwards and do not fall."""

from __future__ import annotations

import math

import numpy as np

from controllers.reference import JointReference
from hardware.arrays import Array, namespace
from hardware.records import RobotState
from robostack.tasks.task import Episode, Outcome, Start, Task, Term
from sim.bodies.gymnasium_assets import gymnasium_model
from sim.bodies.hopper import HOPPER

# Constants of gymnasium.envs.mujoco.hopper_v5.HopperEnv.
CONTROL_COST_WEIGHT = 1e-3
HEALTHY_REWARD = 1.0
HEALTHY_STATE = 100.0
HEALTHY_HEIGHT_M = 0.7
HEALTHY_ANGLE_RAD = 0.2
RESET_NOISE = 5e-3
VELOCITY_CLIP = 10.0
EFFORT_NM = 200.0
DRIVEN = 3


class HopperTask(Task):
    """Observation: height, angles and clipped velocities; action: torques as fractions of 200 N m.

    Rewards forward speed and staying upright, minus a small control cost; ends when the hopper falls.
    """

    def __init__(self) -> None:
        self.name = "hopper"
        self.spec = HOPPER
        self.model = gymnasium_model("hopper")
        self.control_period_s = 0.008
        self.timestep_s = 0.002
        self.episode_s = 8.0
        self.ends_on_success = False
        names = self.spec.joint_names
        self.observation = (
            Term("height", ("rootz",), "m", "world", -math.inf, math.inf),
            Term("angle", names[2:], "rad", "", -math.inf, math.inf),
            Term("linear_velocity", names[:2], "m/s", "world", -VELOCITY_CLIP, VELOCITY_CLIP),
            Term("angular_velocity", names[2:], "rad/s", "", -VELOCITY_CLIP, VELOCITY_CLIP),
        )
        self.action = (Term("torque", names[-DRIVEN:], "N m", "", -1.0, 1.0, scale=EFFORT_NM),)

    def start(self, rng: np.random.Generator, count: int) -> Start:
        """The default pose with small uniform noise on positions and velocities."""
        shape = (count, len(self.spec.joints))
        position = self.spec.default_position + rng.uniform(-RESET_NOISE, RESET_NOISE, shape)
        return Start(position, rng.uniform(-RESET_NOISE, RESET_NOISE, shape))

    def begin(self, rng: np.random.Generator, state: RobotState) -> Episode:
        """Remember where the hopper is."""
        return {"x": state.joint_position[..., 0]}

    def observe(self, state: RobotState, episode: Episode) -> Array:
        """Positions but the forward one, then clipped velocities, (..., 11)."""
        xp = namespace(state.joint_position)
        velocity = xp.clip(state.joint_velocity, -VELOCITY_CLIP, VELOCITY_CLIP)
        return xp.concat([state.joint_position[..., 1:], velocity], axis=-1)

    def reference(self, action: Array, state: RobotState, episode: Episode) -> JointReference:
        """The inputs of the model's motors, which have the gear 200 built in; the passive joints get 0."""
        xp = namespace(action)
        passive = xp.zeros_like(action)[..., : len(self.spec.joints) - DRIVEN]
        return JointReference("effort", xp.concat([passive, action], axis=-1), self.control_period_s)

    def judge(self, action: Array, state: RobotState, episode: Episode) -> tuple[Outcome, Episode]:
        """Speed plus 1 while healthy, minus the control cost; unhealthy ends the episode."""
        xp = namespace(action)
        position = state.joint_position
        speed = (position[..., 0] - episode["x"]) / self.control_period_s
        rest = xp.concat([position[..., 2:], state.joint_velocity], axis=-1)
        healthy = xp.all(xp.abs(rest) < HEALTHY_STATE, axis=-1)
        healthy &= (position[..., 1] > HEALTHY_HEIGHT_M) & (xp.abs(position[..., 2]) < HEALTHY_ANGLE_RAD)
        # The order of operations is Gymnasium's, so that rewards are equal to the last bit.
        cost = CONTROL_COST_WEIGHT * xp.sum(action * action, axis=-1)
        reward = xp.where(healthy, speed + HEALTHY_REWARD, speed) - cost
        outcome = Outcome(reward=reward, success=xp.zeros_like(healthy), terminated=~healthy)
        return outcome, {"x": position[..., 0]}


TASK = HopperTask
