"""What a task is: one definition for simulation, for the physical robot and for the policy node.

Every function of a task works on batched arrays, `(..., n)`, through the array API namespace of its arguments, so that
the same code runs for one robot, for many simulated ones, and on a GPU engine.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from controllers.impedance import ImpedanceConfig
from controllers.reference import BaseReference, JointReference
from hardware.arrays import Array
from hardware.records import RobotState
from hardware.registry import Registry
from hardware.spec import RobotSpec
from sim.dynamics import DynamicsParameter

if TYPE_CHECKING:
    from robostack.policies.policy import Policy

Episode = dict[str, Array]
"""What a task remembers within an episode (goal, previous action, time held): name -> array (..., k) or (...,)."""


@dataclass(frozen=True, slots=True)
class Term:
    """One named block of an observation or action vector."""

    name: str
    """Name of the block ("tool_to_target")."""
    elements: tuple[str, ...]
    """Name of each element, in order ("x", "y", "z")."""
    unit: str
    """SI unit of the elements, after `scale`; "1" for a plain number."""
    frame: str
    """Frame the elements are given in; "" where none applies."""
    low: float
    """Smallest value an element can take."""
    high: float
    """Largest value an element can take."""
    scale: float = 1.0
    """Number the physical quantity was divided by to give the element; an action is multiplied by it."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one control step led to."""

    reward: Array
    """(...,)."""
    success: Array
    """Whether the task is accomplished, (...,) bool. Success ends the episode where `Task.ends_on_success`."""
    terminated: Array
    """Whether the episode ended in a state from which no return follows, (...,) bool. Time limits are not counted."""


@dataclass(frozen=True, slots=True)
class Start:
    """Where the robot is at the start of an episode."""

    joint_position: Array
    """(..., num_joints) [rad]."""
    joint_velocity: Array
    """(..., num_joints) [rad/s]."""
    objects: Mapping[str, Array] | None = None
    """Poses of objects in the base frame by the name of their body, (..., 7): position [m], quaternion w x y z. They
    are at rest. In simulation they are put there; at a physical robot a person or another policy does it."""


class Task(ABC):
    """One task on one robot. Sub-classes set the fields in their constructor and must not keep per-episode state."""

    name: str
    """Registry name ("ur5e-reach")."""
    spec: RobotSpec
    """The robot."""
    model: Path
    """MJCF of the robot in its scene."""
    control_period_s: float
    """Period of the policy [s]."""
    timestep_s: float
    """Physics step in simulation [s]; divides the period."""
    episode_s: float
    """Time limit of an episode [s]."""
    ends_on_success: bool
    """Whether success ends the episode."""
    observation: tuple[Term, ...]
    """Blocks of the observation vector, in order."""
    action: tuple[Term, ...]
    """Blocks of the action vector, in order; policies act within [low, high] of each."""
    dynamics: tuple[DynamicsParameter, ...] = ()
    """What is randomised in training, with bounds."""
    history: int = 1
    """Number of past observations that a policy gets."""
    impedance: ImpedanceConfig | None = None
    """Gains of Cartesian impedance control, for a task whose references are tool poses; `spec` has its joint gains."""

    cameras: tuple[str, ...] = ()
    """Cameras of the model that a policy may look through, in order; images are observed only where asked for."""

    @abstractmethod
    def start(self, rng: np.random.Generator, count: int) -> Start:
        """Draw `count` states that episodes start from; arrays (count, num_joints)."""

    @abstractmethod
    def begin(self, rng: np.random.Generator, state: RobotState) -> Episode:
        """Draw a goal and clear the memory, for every robot in `state` (batch shape kept)."""

    @abstractmethod
    def observe(self, state: RobotState, episode: Episode) -> Array:
        """The observation, (..., num_observations)."""

    @abstractmethod
    def reference(self, action: Array, state: RobotState, episode: Episode) -> JointReference | BaseReference:
        """What `action` (..., num_actions), within its bounds, asks of the tracking controller.

        A robot on wheels gets a BaseReference; such a task runs on one robot, not in a batch.
        """

    @abstractmethod
    def judge(self, action: Array, state: RobotState, episode: Episode) -> tuple[Outcome, Episode]:
        """Outcome of `action`, given the state it led to; and the memory after the step."""

    def scripted(self) -> Policy | None:
        """A hand-written policy to compare learned ones with; None where there is none."""
        return None


TASKS: Registry[type[Task]] = Registry("task", "robostack.tasks", "TASK")
"""Every task: modules of this package, and entry points of the group `robostack.tasks`. A member is the Task class."""
