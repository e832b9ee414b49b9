"""Gymnasium's planar running bodies as tasks, number for number; what tells them from each other is data.

Success, for work with unknown dynamics, is DORAEMON's (Tiboni et al., ICLR 2024): the rewards of the first 500 steps of
an episode reach a threshold. Gymnasium's episodes have 1,000 steps; with `episode_s` halved, none is spent on the rest.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import mujoco
import numpy as np

from controllers.reference import JointReference
from hardware.arrays import Array, namespace
from hardware.records import RobotState
from hardware.spec import RobotSpec
from robostack.tasks.task import Episode, Outcome, Start, Task, Term
from sim.bodies.gymnasium_assets import gymnasium_model
from sim.dynamics import DynamicsParameter
from sim.dynamics_table import find_target, targets

EPISODE_STEPS = 1000
SUCCESS_STEPS = 500
"""Steps whose rewards count for success."""


@dataclass(frozen=True)
class BodyRules:
    """What a body observes, earns and survives: constants of its environment in gymnasium.envs.mujoco."""

    model: str
    """Name of its MJCF file."""
    timestep_s: float
    """Physics step of the model [s]."""
    frame_skip: int
    """Physics steps per action."""
    hidden_positions: int
    """First positions that are not observed: those along the ground."""
    control_cost: float
    """Weight of the squared actions."""
    reset_noise: float
    """Half width of the uniform noise on start positions; of velocities too, or their standard deviation."""
    success_return: float
    """Sum of the rewards of the first 500 steps that counts as success."""
    normal_velocities: bool = False
    """Whether start velocities are normal instead of uniform."""
    velocity_clip: float = math.inf
    """Largest velocity observed."""
    healthy_reward: float = 0.0
    """Reward per step of a healthy body; 0 for one that cannot fall."""
    height_m: tuple[float, float] = (-math.inf, math.inf)
    """Healthy heights of the trunk [m], both ends excluded."""
    angle_rad: tuple[float, float] = (-math.inf, math.inf)
    """Healthy angles of the trunk [rad], both ends excluded."""
    state_max: float = math.inf
    """Every position from the third on, and every velocity, of a healthy body is smaller than this."""

    @property
    def can_fall(self) -> bool:
        """Whether an unhealthy body ends the episode."""
        return self.healthy_reward > 0.0


class GymnasiumBody(Task):
    """A task whose action is torques as fractions of what the model's gears make of them.

    Args:
        name: of the task.
        spec: of the body; its first joints are passive.
        rules: its constants.
        dynamics: what can be randomised.
    """

    def __init__(self, name: str, spec: RobotSpec, rules: BodyRules, dynamics: tuple[DynamicsParameter, ...]) -> None:
        self.name, self.spec, self.rules, self.dynamics = name, spec, rules, dynamics
        self.model = gymnasium_model(rules.model)
        self.control_period_s, self.timestep_s = rules.timestep_s * rules.frame_skip, rules.timestep_s
        self.episode_s = EPISODE_STEPS * self.control_period_s
        self.ends_on_success = False
        names, hidden, clip = spec.joint_names, rules.hidden_positions, rules.velocity_clip
        linear = tuple(joint.name for joint in spec.joints if joint.kind == "prismatic")
        heights, angles = linear[hidden:], names[max(hidden, len(linear)) :]
        terms = [Term("height", heights, "m", "world", -math.inf, math.inf)] if heights else []
        terms.append(Term("angle", angles, "rad", "", -math.inf, math.inf))
        terms.append(Term("linear_velocity", linear, "m/s", "world", -clip, clip))
        terms.append(Term("angular_velocity", names[len(linear) :], "rad/s", "", -clip, clip))
        self.observation = tuple(terms)
        driven = tuple(joint.name for joint in spec.joints if joint.effort_max > 0.0)
        # The gears differ between joints, so that an action has no one unit: it is a share of each joint's torque.
        self.action = (Term("torque", driven, "1", "", -1.0, 1.0),)

    def start(self, rng: np.random.Generator, count: int) -> Start:
        """The default pose with small noise on positions and velocities."""
        shape, noise = (count, len(self.spec.joints)), self.rules.reset_noise
        position = self.spec.default_position + rng.uniform(-noise, noise, shape)
        if self.rules.normal_velocities:
            return Start(position, noise * rng.standard_normal(shape))
        return Start(position, rng.uniform(-noise, noise, shape))

    def begin(self, rng: np.random.Generator, state: RobotState) -> Episode:
        """Remember where the body is."""
        position = state.joint_position[..., 0]
        zero = namespace(position).zeros_like(position)
        return {"x": position, "earned": zero, "steps": zero}

    def observe(self, state: RobotState, episode: Episode) -> Array:
        """Positions but the hidden ones, then clipped velocities."""
        xp, velocity = namespace(state.joint_position), state.joint_velocity
        if math.isfinite(self.rules.velocity_clip):
            velocity = xp.clip(velocity, -self.rules.velocity_clip, self.rules.velocity_clip)
        return xp.concat([state.joint_position[..., self.rules.hidden_positions :], velocity], axis=-1)

    def reference(self, action: Array, state: RobotState, episode: Episode) -> JointReference:
        """The inputs of the model's motors, which have their gears built in; the passive joints get 0."""
        xp = namespace(action)
        shape = (*action.shape[:-1], len(self.spec.joints) - action.shape[-1])
        passive = xp.zeros(shape, dtype=action.dtype)
        return JointReference("effort", xp.concat([passive, action], axis=-1), self.control_period_s)

    def judge(self, action: Array, state: RobotState, episode: Episode) -> tuple[Outcome, Episode]:
        """Speed, plus a reward while healthy, minus the control cost; an unhealthy body that can fall has ended."""
        xp, rules = namespace(action), self.rules
        position = state.joint_position
        speed = (position[..., 0] - episode["x"]) / self.control_period_s
        # The order of operations is Gymnasium's, so that rewards are equal to the last bit.
        cost = rules.control_cost * xp.sum(action * action, axis=-1)
        if rules.can_fall:
            healthy = self._healthy(state)
            reward = xp.where(healthy, speed + rules.healthy_reward, speed) - cost
        else:
            reward = speed - cost
            healthy = xp.ones_like(reward, dtype=xp.bool)
        counted = episode["steps"] < SUCCESS_STEPS
        earned = episode["earned"] + xp.where(counted, reward, xp.zeros_like(reward))
        outcome = Outcome(reward=reward, success=earned >= rules.success_return, terminated=~healthy)
        return outcome, {"x": position[..., 0], "earned": earned, "steps": episode["steps"] + 1.0}

    def _healthy(self, state: RobotState) -> Array:
        """Whether the trunk is upright and high enough, (...,)."""
        xp, rules, position = namespace(state.joint_position), self.rules, state.joint_position
        rest = xp.concat([position[..., 2:], state.joint_velocity], axis=-1)
        healthy = xp.all(xp.abs(rest) < rules.state_max, axis=-1)
        for value, (low, high) in ((position[..., 1], rules.height_m), (position[..., 2], rules.angle_rad)):
            healthy = healthy & (value > low) & (value < high)
        return healthy


def around_nominal(spec: RobotSpec, model: Path, names: Sequence[str], share: float) -> tuple[DynamicsParameter, ...]:
    """Parameters of a model with bounds nominal * (1 -+ share).

    Args:
        spec: the robot.
        model: its MJCF file.
        names: of the parameters.
        share: half width of the range as a share of the nominal value.

    Raises:
        UnknownNameError: the model has no such parameter.
    """
    known = targets(spec, mujoco.MjModel.from_xml_path(str(model)))
    found = []
    for name in names:
        target = find_target(known, name)
        nominal = target.nominal
        low, high = nominal * (1.0 - share), nominal * (1.0 + share)
        found.append(DynamicsParameter(name, target.row.unit, nominal, low, high))
    return tuple(found)
