"""PyBullet on the CPU: a second engine for the same models, tasks and dynamics names, to see what transfers."""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import mujoco
import numpy as np
from mujoco.batch import Batch
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from hardware.arrays import Array, FloatArray
from hardware.errors import ConfigError, SimulationError, UnknownNameError
from hardware.records import RobotState
from hardware.spec import RobotSpec
from sim.bullet_world import BulletWorld, dry_friction
from sim.delay_history import with_latency
from sim.dynamics_table import DynamicsTable, field_of
from sim.engines.pybullet import ENGINE
from sim.expanded_fields import ExpandedFields
from sim.foreign_model import uniform_gravcomp
from sim.model_binding import ModelBinding, bind_model
from sim.urdf import Placed, frame_of

_LIVE = (
    "dof_damping",
    "dof_armature",
    "dof_frictionloss",
    "actuator_gainprm",
    "actuator_biasprm",
    "actuator_delay",
)
"""Fields of the law of actuators and joints; PyBullet takes all others only when a body is made."""
_IMPLICIT = (int(mujoco.mjtIntegrator.mjINT_IMPLICIT), int(mujoco.mjtIntegrator.mjINT_IMPLICITFAST))


class PybulletEngine:
    """`count` simulations of one model in PyBullet; see `sim.engine.Engine` and `sim.bullet_world`.

    The model is MuJoCo's, compiled by MuJoCo; physics is PyBullet's. Each simulation is a client of its own, stepped
    one after the other.

    Args:
        spec: the robot; its joints, tool and base frame are found in the model by name.
        model: MJCF file, specification or compiled model.
        count: number of simulations.
        threads: of no effect, because PyBullet holds Python's lock; here so that all engines are made alike.
        timestep_s: physics step [s]; None keeps the model's.
        latency_max_s: largest delay of the actuators that `set_dynamics` may ask for [s].

    Raises:
        ConfigError: the model has what this engine cannot do.
        MissingExtraError: PyBullet is not installed.
        UnknownNameError: the model lacks a joint or frame of the robot.
    """

    def __init__(
        self,
        spec: RobotSpec,
        model: Path | mujoco.MjSpec | mujoco.MjModel,
        count: int,
        threads: int = 1,
        timestep_s: float | None = None,
        latency_max_s: float = 0.0,
    ) -> None:
        if count < 1:
            raise ConfigError(f"count of an engine must be at least 1, not {count}")
        self.spec, self.count = spec, count
        self.model = with_latency(model, timestep_s, latency_max_s)
        self.timestep_s = float(self.model.opt.timestep)
        self._binding = bind_model(spec, self.model)
        self._fields = ExpandedFields(self.model, count)
        # The table needs of a batch only what `ExpandedFields` has.
        self._dynamics = DynamicsTable(spec, self.model, cast(Batch, self._fields), latency_max_s, ENGINE.lacks)
        self._simulations = [_Simulation(spec, copy.copy(self.model), self._binding) for _ in range(count)]
        self._base = frame_of(self._binding.base_position, self._binding.base_quaternion)

    def close(self) -> None:
        """End all clients. Idempotent."""
        for simulation in self._simulations:
            simulation.world.close()

    def reset(self, joint_position: Array, joint_velocity: Array, ids: Array | None = None) -> None:
        """Put simulations at a state; see `sim.engine.Engine`. Objects go to where the model has them."""
        for row, index in enumerate(self._rows(ids)):
            self._simulations[index].reset(np.asarray(joint_position)[row], np.asarray(joint_velocity)[row])

    def place(self, poses: Mapping[str, Array], ids: Array | None = None) -> None:
        """Put objects at poses in the base frame, (k, 7), at rest, after a reset.

        Raises:
            UnknownNameError: the model has no such object.
        """
        for name, pose in poses.items():
            for row, index in enumerate(self._rows(ids)):
                known = self._simulations[index].world.objects()
                if name not in known:
                    raise UnknownNameError("object of the model", name, known)
                values = np.asarray(pose)[row]
                self._simulations[index].world.put(name, self._base @ frame_of(values[:3], values[3:]))

    def set_dynamics(self, values: Mapping[str, Array], ids: Array | None = None) -> None:
        """Set dynamics parameters by name, each (k,), before a reset; names as with MuJoCo.

        Raises:
            UnknownNameError: the model has no such parameter.
            LimitViolationError: a value is not physical.
        """
        rows = self._rows(ids)
        order = np.argsort(rows)
        shape = (len(rows),)
        self._dynamics.write(
            {name: np.broadcast_to(value, shape)[order] for name, value in values.items()}, rows[order]
        )
        for index in rows:
            self._simulations[index].take(self._fields.of(int(index)))

    def step(self, control: Array, bodies: Mapping[str, Array] | None = None) -> None:
        """Advance every simulation; see `sim.engine.Engine`.

        Raises:
            ConfigError: `bodies` are to be moved, which this engine cannot.
            SimulationError: a state is no longer finite.
        """
        if bodies:
            raise ConfigError("the engine 'pybullet' has no mocap bodies; Cartesian impedance control needs mujoco")
        for index, simulation in enumerate(self._simulations):
            for inputs in np.asarray(control[index]):
                simulation.step(inputs)
            if not np.isfinite(simulation.velocity).all():
                raise SimulationError(f"simulation {index} of PyBullet diverged at {simulation.world.time_s:.3f} s")

    def state(self) -> RobotState:
        """The current state of all simulations, arrays (count, ...)."""
        simulations = self._simulations
        tool_position = tool_quaternion = None
        if self._binding.tool is not None:
            tools = [self._in_base(simulation.world.site(self._binding.tool)) for simulation in simulations]
            tool_position, tool_quaternion = np.stack(tools)[:, :3], np.stack(tools)[:, 3:]
        objects: dict[str, FloatArray] | None = None
        if self._binding.objects:
            found = [simulation.world.objects() for simulation in simulations]
            objects = {name: np.stack([self._in_base(each[name]) for each in found]) for name in found[0]}
        state = RobotState(
            np.array([simulation.world.time_s for simulation in simulations]),
            np.stack([simulation.position for simulation in simulations]),
            np.stack([simulation.velocity for simulation in simulations]),
            np.stack([simulation.effort for simulation in simulations]),
            tool_position,
            tool_quaternion,
            objects=objects,
        )
        if self._binding.free_qpos is None:
            return state
        bases = [simulation.world.base.state() for simulation in simulations if simulation.world.base is not None]
        pose, speed = (np.stack(values) for values in zip(*bases, strict=True))
        to_base = Rotation.from_quat(pose[:, 3:], scalar_first=True).inv()
        return replace(
            state,
            base_position=pose[:, :3],
            base_quaternion=pose[:, 3:],
            base_linear_velocity=to_base.apply(speed[:, :3]),
            base_angular_velocity=speed[:, 3:],
        )

    def _in_base(self, place: Placed) -> FloatArray:
        """A place in the world as pose in the base frame, (7,)."""
        inverse = self._base.rotation.inv()
        position = inverse.apply(place.position - self._base.position)
        return np.concatenate([position, (inverse * place.rotation).as_quat(canonical=True, scalar_first=True)])

    def _rows(self, ids: Array | None) -> NDArray[np.intp]:
        if ids is None:
            return np.arange(self.count)
        rows = np.asarray(ids)
        return np.flatnonzero(rows) if rows.dtype == np.bool_ else rows.astype(np.intp)


class _Simulation:
    """One simulation: the law of actuators and joints around a `BulletWorld`."""

    def __init__(self, spec: RobotSpec, model: mujoco.MjModel, binding: ModelBinding) -> None:
        self._model, self._binding = model, binding
        self.world = BulletWorld(model)
        self._own = np.array([list(self.world.dofs).index(dof) for dof in binding.dofs], dtype=np.intp)
        """Where the robot's joints are among those of the world."""
        dof_of = {int(dof): place for place, dof in enumerate(self.world.dofs)}
        self._driven = self._own[binding.actuated]
        self._coupled = [(dof_of[joint.qvel], int(self._own[joint.joint]), joint) for joint in binding.coupled]
        self._gravcomp = uniform_gravcomp(model, [int(model.dof_bodyid[dof]) for dof in self.world.dofs], "pybullet")
        self.effort = np.zeros(len(spec.joints))
        self._sent: deque[FloatArray] = deque()
        self._load()
        self.reset(spec.default_position, np.zeros(len(spec.joints)))

    def take(self, fields: Mapping[str, NDArray[Any]]) -> None:
        """Take over fields of the model, before a reset."""
        again = False
        for name, value in fields.items():
            again |= name not in _LIVE and not np.array_equal(field_of(self._model, name), value)
            _write(self._model, name, value)
        if again:
            self.world.build()
        self._load()

    def reset(self, position: FloatArray, velocity: FloatArray) -> None:
        """Put the robot at a state, joints in the robot's order."""
        qpos, qvel = self._model.qpos0.copy(), np.zeros(self._model.nv)
        qpos[self._binding.qpos], qvel[self._binding.qvel] = position, velocity
        for joint in self._binding.coupled:
            polynomial = np.polynomial.Polynomial(joint.coefficients)
            shift = position[joint.joint] - joint.reference[1]
            qpos[joint.qpos] = joint.reference[0] + polynomial(shift)
            qvel[joint.qvel] = polynomial.deriv()(shift) * velocity[joint.joint]
        self.world.reset(qpos, qvel)
        self._q, self._v = self.world.joints()
        self._reaction = np.zeros(self.world.base_dofs + len(self._q))
        """What contacts did to the base and the joints in the last step, as generalised forces."""
        start = np.where(self._binding.servo, np.asarray(position)[self._binding.actuated], 0.0)
        self._sent = deque([start] * (self._delay_steps + 1), maxlen=self._delay_steps + 1)
        self.effort[:] = 0.0

    @property
    def position(self) -> FloatArray:
        """Joint positions in the robot's order, (num_joints,) [rad] or [m]."""
        return self._q[self._own]

    @property
    def velocity(self) -> FloatArray:
        """Joint velocities in the robot's order, (num_joints,) [rad/s] or [m/s]."""
        return self._v[self._own]

    def step(self, control: FloatArray) -> None:
        """One physics step with actuator inputs (num_joints,)."""
        self._sent.append(control[self._binding.actuated])
        step_s, world = float(self._model.opt.timestep), self.world
        torque, slope = self._actuators(self._sent[0])
        torque += -self._damping * self._v - self._stiffness * (self._q - self._spring)
        mass, bias, gravity = world.dynamics(self._q, self._v)
        base = world.base_dofs
        matrix = mass.copy()
        own = np.arange(base, len(mass))
        matrix[own, own] += self._armature + step_s * (self._damping + slope)
        force = self._gravcomp * gravity - bias + self._reaction
        force[base:] += torque
        before = world.velocity(self._v)
        acceleration = self._solve(matrix, force, before, step_s)
        sent = (mass @ acceleration + bias - self._reaction)[base:]
        world.step(sent)
        self._q, self._v = world.joints()
        self._reaction = np.zeros(len(mass))
        if world.touches():
            self._reaction = mass @ (world.velocity(self._v) - before) / step_s + bias
            self._reaction[base:] -= sent

    def _solve(self, matrix: FloatArray, force: FloatArray, velocity: FloatArray, step_s: float) -> FloatArray:
        """Acceleration of the base and of all joints, those that follow another one with it."""
        reduce, base = self._reduction, self.world.base_dofs
        matrix, force = np.asarray(reduce.T @ matrix @ reduce), np.asarray(reduce.T @ force)
        if self._loss.any():
            velocity = velocity[self._free]
            inverse: FloatArray = np.asarray(np.linalg.inv(matrix), dtype=np.float64)
            loss = np.concatenate([np.zeros(base), self._loss])[self._free]
            acceleration = dry_friction(velocity, inverse @ force, inverse, loss, step_s)
        else:
            acceleration = np.asarray(np.linalg.solve(matrix, force), dtype=np.float64)
        every = reduce @ acceleration
        for follower, leader, joint in self._coupled:
            wanted = joint.reference[0] + np.polynomial.Polynomial(joint.coefficients)(
                self._q[leader] + step_s * self._v[leader] - joint.reference[1]
            )
            speed = (wanted - self._q[follower]) / step_s  # reaches its place at the end of the step
            every[base + follower] += (speed - self._v[follower]) / step_s
        return every

    def _actuators(self, control: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Torque of the actuators on every joint, and what it loses per velocity, (n,)."""
        model, which, driven = self._model, self._binding.actuators, self._driven
        gear = model.actuator_gear[which, 0]
        limited = model.actuator_ctrllimited[which].astype(bool)
        low, high = model.actuator_ctrlrange[which].T
        control = np.where(limited, np.clip(control, low, high), control)
        bias = model.actuator_biasprm[which]
        length, speed = gear * self._q[driven], gear * self._v[driven]
        force = model.actuator_gainprm[which, 0] * control + bias[:, 0] + bias[:, 1] * length + bias[:, 2] * speed
        bounds = np.where(model.actuator_forcelimited[which, None], model.actuator_forcerange[which], [-np.inf, np.inf])
        clipped = np.clip(force, bounds[:, 0], bounds[:, 1])
        torque, slope = np.zeros(len(self._q)), np.zeros(len(self._q))
        torque[driven] = gear * clipped
        limits = self._torque_limits
        torque = np.clip(torque, limits[:, 0], limits[:, 1])
        if int(model.opt.integrator) in _IMPLICIT:
            slope[driven] = np.where(clipped == force, -bias[:, 2] * gear**2, 0.0)
        self.effort = torque[self._own].copy()
        return torque, slope

    def _load(self) -> None:
        """Read the fields of the model that the law uses, per joint of the world."""
        model, dofs = self._model, self.world.dofs
        joints = model.dof_jntid[dofs]
        self._damping, self._armature = model.dof_damping[dofs].reshape(-1), model.dof_armature[dofs]
        self._loss = model.dof_frictionloss[dofs]
        self._stiffness = model.jnt_stiffness[joints].reshape(len(joints), -1)[:, 0]
        self._spring = model.qpos_spring[self.world.columns]
        limited = model.jnt_actfrclimited[joints].astype(bool)
        self._torque_limits = np.where(limited[:, None], model.jnt_actfrcrange[joints], [-np.inf, np.inf])
        delays = model.actuator_delay[self._binding.actuators] if self._binding.actuators.size else np.zeros(1)
        self._delay_steps = round(float(delays.max(initial=0.0)) / float(model.opt.timestep))
        base = self.world.base_dofs
        followers = {base + follower for follower, _, _ in self._coupled}
        self._free = np.array([place for place in range(base + len(dofs)) if place not in followers], dtype=np.intp)
        self._reduction = np.eye(base + len(dofs))[:, self._free]
        for follower, leader, joint in self._coupled:
            self._reduction[base + follower, list(self._free).index(base + leader)] = joint.coefficients[1]


def _write(model: mujoco.MjModel, name: str, value: NDArray[Any]) -> None:
    """Set a field of a model, or one of its options."""
    owner, _, last = name.rpartition(".")
    target = getattr(model, owner) if owner else model
    if value.ndim == 0:
        setattr(target, last, float(value))
    else:
        getattr(target, last)[:] = value
