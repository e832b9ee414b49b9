"""The protocol of physics engines: many simulations of one robot, stepped together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

from hardware.arrays import Array
from hardware.records import RobotState
from hardware.spec import RobotSpec


class Engine(Protocol):
    """`count` simulations of one model; joint arrays are in the order of `spec.joint_names`, not of the model.

    `ids` selects simulations, (k,) integers; None means all.
    """

    spec: RobotSpec
    """The robot simulated."""
    count: int
    """Number of simulations."""
    timestep_s: float
    """Physics step [s]."""

    def reset(self, joint_position: Array, joint_velocity: Array, ids: Array | None = None) -> None:
        """Put simulations at rest of all transients at the given state; delay histories are filled with it.

        Args:
            joint_position: (k, num_joints) [rad].
            joint_velocity: (k, num_joints) [rad/s].
            ids: the simulations.
        """
        ...

    def set_dynamics(self, values: Mapping[str, Array], ids: Array | None = None) -> None:
        """Set dynamics parameters by name, each (k,), before a reset.

        Raises:
            UnknownNameError: the engine or the model has no such parameter.
            LimitViolationError: a value is not physical.
        """
        ...

    def step(self, control: Array) -> None:
        """Advance every simulation by `control.shape[1]` physics steps.

        Args:
            control: actuator inputs, (count, steps, num_joints), one per physics step; unit by the model's actuators.

        Raises:
            SimulationError: the engine reports an error.
        """
        ...

    def state(self) -> RobotState:
        """The current state of all simulations, arrays (count, ...); time is each simulation's own [s]."""
        ...


@runtime_checkable
class MovesBodies(Protocol):
    """An engine in which objects can be put somewhere, and the target of the tool moved during a step."""

    def place(self, poses: Mapping[str, Array], ids: Array | None = None) -> None:
        """Put objects at poses in the base frame, at rest; after a reset.

        Args:
            poses: name of the body -> (k, 7): position [m], quaternion w x y z.
            ids: the simulations.

        Raises:
            UnknownNameError: the model has no such object.
        """
        ...

    def step(self, control: Array, bodies: Mapping[str, Array] | None = None) -> None:
        """As `Engine.step`, and move mocap bodies along poses (count, steps, 7) in the base frame, one per step."""
        ...
