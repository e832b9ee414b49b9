"""The protocol of physics engines, many simulations of one robot stepped together; and how one is registered."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, cast, runtime_checkable

from hardware.arrays import Array
from hardware.records import RobotState
from hardware.registry import Registry, load_object
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


@dataclass(frozen=True)
class EngineEntry:
    """How an engine registers: `ENGINE = EngineEntry(...)` at the top level of its module in `sim.engines`."""

    engine: str
    """"module:Class"; called as MujocoEngine is: spec, model, count, threads, timestep_s, latency_max_s."""
    summary: str
    """One line for `robostack list engines`."""
    lacks: Mapping[str, str] = field(default_factory=dict)
    """Kinds of dynamics parameters that it cannot vary: "kind/quantity" -> why. Asked for, they are unknown names."""

    def open(
        self, spec: RobotSpec, model: Any, count: int, threads: int, timestep_s: float, latency_max_s: float
    ) -> Engine:
        """`count` simulations of a robot.

        Args:
            spec: the robot.
            model: MJCF file, or specification.
            count: number of simulations.
            threads: threads that step them, where the engine has threads.
            timestep_s: physics step [s].
            latency_max_s: largest delay of the actuators that will be asked for [s].

        Raises:
            ConfigError: the model has what this engine cannot do.
            MissingExtraError: the engine is not installed.
        """
        create = cast(Callable[..., Engine], load_object(self.engine))
        return create(spec, model, count, threads, timestep_s, latency_max_s)


ENGINES: Registry[EngineEntry] = Registry("engine", "sim.engines", "ENGINE")
"""Every engine: modules of that package, and entry points of the group `robostack.engines`."""
