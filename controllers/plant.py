"""A robot under its tracking controller, as an environment or a policy sees it: simulated or physical."""

from __future__ import annotations

from typing import Protocol

from controllers.reference import JointReference
from hardware.arrays import Array
from hardware.records import RobotState
from hardware.spec import RobotSpec


class Plant(Protocol):
    """One robot or many, `batch_shape` () or (count,), following references."""

    @property
    def spec(self) -> RobotSpec:
        """The robot."""
        ...

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """() for one robot, (count,) for simulated ones stepped together."""
        ...

    def reset(self, joint_position: Array, joint_velocity: Array, ids: Array | None = None) -> RobotState:
        """Bring robots to a state: at once in simulation, by a slow supervised motion on a physical robot.

        Args:
            joint_position: (..., num_joints) [rad]; with `ids`, (k, num_joints).
            joint_velocity: the same shape [rad/s]; a physical robot accepts only zeros.
            ids: the robots of a batch to reset, (k,); None means all.

        Returns:
            The state of all robots.
        """
        ...

    def state(self) -> RobotState:
        """The newest state of all robots."""
        ...

    def follow(self, reference: JointReference) -> RobotState:
        """Follow `reference` for its horizon, then return the state at the end of it.

        Raises:
            DeviceError: a physical robot stopped; the message says why.
            SimulationError: the engine failed.
        """
        ...
