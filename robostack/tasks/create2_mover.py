"""Create-Mover: an iRobot Create 2 drives forwards as far as it can without touching anything.

The task of Mahmood et al., "Benchmarking Reinforcement Learning Algorithms on Real-World Robots" (CoRL 2018, arXiv
1809.07731), which Vasan et al. (NeurIPS 2024, arXiv 2411.15370) learn on the robot: 150 ms cycle, episodes of up to
90 s, reward for the way forwards. An episode ends where the bumper, a cliff sensor or a wheel drop switch reacts.
Observed are the six infrared sensors around the bumper and the last action, as published, and the measured forward
speed and yaw rate: this stack ramps velocities, so that an action takes several cycles to be reached. Chosen here too:
actions are forward speed and yaw rate instead of two wheel speeds, within limits at which the robot stands in time; and
between episodes it backs up and turns away.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from controllers.reference import BaseReference
from hardware.arrays import Array
from hardware.create2 import CREATE2, SCENE
from hardware.create2.spec import CONTACTS, PROXIMITY
from hardware.errors import ConfigError, NonFiniteError, StaleDataError
from hardware.records import RobotState
from robostack.tasks.task import Episode, Outcome, Start, Task, Term

if TYPE_CHECKING:
    from robostack.policies.policy import Policy

REWARD_PER_M = 150.0
"""Reward per metre forwards: the published 0.15 per millimetre."""
MOTION = ("forward", "turn")
HORIZON_CYCLES = 1.5
"""Cycles for which a velocity is valid: the next one may be a little late."""


@dataclass(frozen=True)
class Create2MoverConfig:
    """Settings of the task."""

    forward_m_s: float = 0.25
    """Speed forwards at action 1 [m/s]; action -1 stands still."""
    yaw_rate_rad_s: float = 1.2
    """Yaw rate at action 1 [rad/s], to the left."""
    success_m: float = 10.0
    """Way forwards within an episode that counts as success [m]; neither reward nor end know it."""
    back_m: float = 0.15
    """Way back before each episode [m]; blind, so that it is short."""
    back_m_s: float = 0.1
    """Speed of it [m/s]."""
    turn_rad_s: float = 1.2
    """Yaw rate of the turn that follows, by a random angle from a quarter to a half turn [rad/s]."""

    def __post_init__(self) -> None:
        """Check ranges against the robot.

        Raises:
            ConfigError: a speed is none that the robot can have.
        """
        base = CREATE2.base
        if base is None:
            raise ConfigError("the description of the Create 2 lacks its base")
        for name, bound in (
            ("forward_m_s", base.forward_max),
            ("back_m_s", base.backward_max),
            ("yaw_rate_rad_s", base.yaw_rate_max),
            ("turn_rad_s", base.yaw_rate_max),
        ):
            if not 0.0 < getattr(self, name) <= bound:
                raise ConfigError(f"{name} = {getattr(self, name)} must lie in (0, {bound}]")


class Create2Mover(Task):
    """The task, of one robot.

    Args:
        config: settings.
    """

    def __init__(self, config: Create2MoverConfig | None = None) -> None:
        self.config = config = config if config is not None else Create2MoverConfig()
        self.name, self.spec, self.model = "create2-mover", CREATE2, SCENE
        self.control_period_s, self.timestep_s, self.episode_s = 0.15, 0.0025, 90.0
        self.ends_on_success = False
        self.action = (
            Term("forward", ("x",), "m/s", CREATE2.base_frame, -1.0, 1.0, config.forward_m_s / 2.0),
            Term("turn", ("z",), "rad/s", CREATE2.base_frame, -1.0, 1.0, config.yaw_rate_rad_s),
        )
        self.observation = (
            Term("light_bumps", PROXIMITY, "1", "", 0.0, 1.0),
            Term("forward_speed", ("x",), "1", CREATE2.base_frame, -2.0, 2.0, config.forward_m_s),
            Term("yaw_rate", ("z",), "1", CREATE2.base_frame, -2.0, 2.0, config.yaw_rate_rad_s),
            Term("previous_action", MOTION, "1", "", -1.0, 1.0),
        )

    def start(self, rng: np.random.Generator, count: int) -> Start:
        """The robot has no joints."""
        return Start(np.zeros((count, 0)), np.zeros((count, 0)))

    def begin(self, rng: np.random.Generator, state: RobotState) -> Episode:
        """Count the way from here."""
        x, y, heading = _pose(state)
        return {"pose": np.array([x, y, heading]), "previous": np.array([-1.0, 0.0]), "way_m": np.array(0.0)}

    def observe(self, state: RobotState, episode: Episode) -> Array:
        """The observation, (10,); of each light bumper the root of its signal, which falls with the inverse distance.

        Raises:
            StaleDataError: the state lacks light bumpers or velocities.
        """
        linear, angular = state.base_linear_velocity, state.base_angular_velocity
        if state.proximity is None or linear is None or angular is None:
            raise StaleDataError("Create 2 light bumpers and velocities", math.inf, CREATE2.state_age_max_s)
        signals = np.array([state.proximity[name] for name in PROXIMITY])
        motion = [linear[0] / self.config.forward_m_s, angular[2] / self.config.yaw_rate_rad_s]
        return np.concatenate([np.sqrt(np.clip(signals, 0.0, 1.0)), np.clip(motion, -2.0, 2.0), episode["previous"]])

    def reference(self, action: Array, state: RobotState, episode: Episode) -> BaseReference:
        """Speed from 0 to `forward_m_s`, and yaw rate."""
        forward, turn = (term.scale for term in self.action)
        horizon_s = HORIZON_CYCLES * self.control_period_s
        return BaseReference(forward * (float(action[0]) + 1.0), turn * float(action[1]), horizon_s)

    def judge(self, action: Array, state: RobotState, episode: Episode) -> tuple[Outcome, Episode]:
        """Reward = 0.15 per millimetre forwards; terminated where a switch reacts.

        The way is the displacement along the mean heading of the cycle; in the tightest curve that is 0.2 % short.
        """
        before, after = episode["pose"], np.array(_pose(state))
        turned = math.remainder(after[2] - before[2], 2.0 * math.pi)
        middle = before[2] + 0.5 * turned
        way_m = float((after[0] - before[0]) * math.cos(middle) + (after[1] - before[1]) * math.sin(middle))
        total_m = np.asarray(episode["way_m"] + way_m)
        outcome = Outcome(
            reward=np.asarray(REWARD_PER_M * way_m),
            success=np.asarray(total_m >= self.config.success_m),
            terminated=np.asarray(bool(touching(state))),
        )
        return outcome, {"pose": after, "previous": np.asarray(action, dtype=np.float64), "way_m": total_m}

    def recovery(self, rng: np.random.Generator) -> tuple[BaseReference, ...]:
        """What brings the robot away from what it touched: back, then a turn to either side.

        Each reference is to be followed for its horizon.
        """
        config = self.config
        angle = float(rng.uniform(0.25, 0.5)) * 2.0 * math.pi
        side = 1.0 if rng.random() < 0.5 else -1.0
        back = BaseReference(-config.back_m_s, 0.0, config.back_m / config.back_m_s)
        return back, BaseReference(0.0, side * config.turn_rad_s, angle / config.turn_rad_s)

    def scripted(self) -> Policy:
        """Straight on; away from what is near."""
        return _Avoid()


class _Avoid:
    """The scripted policy: slower and turning the more, the more light comes back from the front."""

    def reset(self) -> None:
        """There is no memory."""

    def act(self, observation: Array) -> Array:
        """The action for `observation` (10,).

        Raises:
            NonFiniteError: the observation is not finite.
        """
        if not np.all(np.isfinite(observation)):
            raise NonFiniteError("the observation is not finite")
        left, right = float(np.max(observation[:3])), float(np.max(observation[3:6]))
        near = max(left, right)
        turn = 0.0 if near < 0.15 else (-1.0 if left >= right else 1.0)
        return np.array([1.0 - 4.0 * max(0.0, near - 0.15), turn]).clip(-1.0, 1.0)


def touching(state: RobotState) -> tuple[str, ...]:
    """Names of the switches that are on."""
    contacts = state.contacts or {}
    return tuple(name for name in CONTACTS if contacts.get(name))


def _pose(state: RobotState) -> tuple[float, float, float]:
    """x, y [m] and heading [rad] of the odometry.

    Raises:
        StaleDataError: the state has no odometry.
    """
    if state.base_position is None or state.base_quaternion is None:
        raise StaleDataError("Create 2 odometry", math.inf, CREATE2.state_age_max_s)
    w, _, _, z = (float(value) for value in state.base_quaternion)
    return float(state.base_position[0]), float(state.base_position[1]), 2.0 * math.atan2(z, w)


TASK = Create2Mover

__all__ = ["TASK", "Create2Mover", "Create2MoverConfig", "touching"]
