"""MuJoCo on the CPU: many simulations of one robot on a thread pool, a thin layer over `mujoco.batch.Batch`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import mujoco
import numpy as np
from mujoco.batch import Batch
from mujoco.batch import SimulationError as BatchError
from numpy.typing import NDArray

from hardware.arrays import Array, FloatArray
from hardware.errors import ConfigError, SimulationError
from hardware.records import RobotState
from hardware.spec import RobotSpec
from sim.delay_history import DelayHistory, with_latency
from sim.dynamics_table import DynamicsTable
from sim.free_bodies import FreeBodies, left_product
from sim.model_binding import Index, bind_model

STAGE_NONE = int(mujoco.mjtStage.mjSTAGE_NONE)
STAGE_POSITION = int(mujoco.mjtStage.mjSTAGE_POS)
TARGETS = int(mujoco.mjtState.mjSTATE_CTRL | mujoco.mjtState.mjSTATE_MOCAP_POS | mujoco.mjtState.mjSTATE_MOCAP_QUAT)
"""What a rollout sets before each step where bodies are moved during it."""
STAGE_ALL = int(mujoco.mjtStage.mjSTAGE_ACC)


class MujocoEngine:
    """`count` simulations of one model; see `sim.engine.Engine`.

    A state carries joint positions and velocities of now, the actuator torques of the last physics step and, where the
    robot has a tool, its pose of now in the base frame (the sign of the quaternion is as MuJoCo gives it). A robot
    whose base frame is a body with a free joint also gets the fields of its base. Bodies that are neither of the robot
    nor fixed are objects; the state has their poses.

    Args:
        spec: the robot; its joints, tool and base frame are found in the model by name.
        model: MJCF file, specification or compiled model.
        count: number of simulations.
        threads: threads that step them; results do not depend on it.
        timestep_s: physics step [s]; None keeps the model's.
        latency_max_s: largest delay of the actuators that `set_dynamics` may ask for [s].

    Raises:
        UnknownNameError: the model lacks a joint or frame of the robot.
        ConfigError: the model cannot be used for this robot.
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
        if count < 1 or threads < 1:
            raise ConfigError(f"count and threads of an engine must be at least 1, not {count} and {threads}")
        self.spec, self.count, self.threads = spec, count, threads
        self.model = with_latency(model, timestep_s, latency_max_s)
        _skip_islands(self.model)
        self.timestep_s = float(self.model.opt.timestep)
        self._binding = binding = bind_model(spec, self.model)
        self.batch = self._make_batch()
        self._qpos, self._qvel, self._ctrl = (self.batch.bind(name) for name in ("qpos", "qvel", "ctrl"))
        self._time, self._warnings = self.batch.bind("time"), self.batch.warning[:, :, 1]
        self._effort = self.batch.bind("qfrc_actuator")
        self._activation = self._servo_activation()
        self._delays = DelayHistory(self.model, self.batch)
        self._dynamics = DynamicsTable(spec, self.model, self.batch, latency_max_s)
        self._stage = STAGE_NONE if binding.tool is None else STAGE_POSITION
        if binding.tool is not None:
            self._site_position = self.batch.bind("site_xpos")
            self._site_quaternion = self.batch.bind("site_xquat")
        world_from_base = np.zeros(9)
        mujoco.mju_quat2Mat(world_from_base, binding.base_quaternion)
        self._base_rotation = world_from_base.reshape(3, 3)
        self._base_left = left_product(binding.base_quaternion * np.array([1.0, -1.0, -1.0, -1.0])).T
        self._base_is_world = not binding.base_position.any() and bool(binding.base_quaternion[0] == 1.0)
        self._free_bodies = FreeBodies(self.batch, binding)
        self._dof_all = bool(isinstance(binding.actuated, slice) and len(binding.actuators) == len(spec.joints))
        self.batch.reset()

    @property
    def qpos(self) -> FloatArray:
        """Generalised positions of the whole model, a live view, (count, nq), [m] and [rad] by joint."""
        return self._qpos

    @property
    def qvel(self) -> FloatArray:
        """Generalised velocities of the whole model, a live view, (count, nv), [m/s] and [rad/s] by joint."""
        return self._qvel

    def reset(self, joint_position: Array, joint_velocity: Array, ids: Array | None = None) -> None:
        """Put simulations at a state, free of transients: time 0, servos at their target, delay histories filled.

        Everything else of the model (objects, a floating base) goes to where the model has it.

        Args:
            joint_position: (k, num_joints) [rad].
            joint_velocity: (k, num_joints) [rad/s].
            ids: simulations, (k,) in any order, or a mask (count,); None means all.
        """
        position, velocity = np.asarray(joint_position), np.asarray(joint_velocity)
        rows, order = _rows(ids)
        if order is not None:
            position, velocity = position[order], velocity[order]
        binding, selected = self._binding, None if isinstance(rows, slice) else rows
        self.batch.reset(selected, stage=STAGE_NONE)
        _put(self._qpos, rows, binding.qpos, position)
        _put(self._qvel, rows, binding.qvel, velocity)
        self._free_bodies.couple(rows, position, velocity)
        start = np.where(binding.servo, position[..., binding.actuated], 0.0)
        _put(self._ctrl, rows, binding.ctrl, start)
        if self._activation is not None:
            _put(self.batch.bind("act"), rows, self._activation[1], start[..., self._activation[0]])
        self._delays.fill_controls(rows, self._ctrl)
        self._call(self.batch.forward, selected, stage=STAGE_ALL)
        self._delays.fill_sensors(rows)

    def place(self, poses: Mapping[str, Array], ids: Array | None = None) -> None:
        """Put objects, or mocap bodies, at poses in the base frame, at rest; after a reset.

        Args:
            poses: name of the body -> (k, 7): position [m], quaternion w x y z.
            ids: simulations, as in `reset`.

        Raises:
            UnknownNameError: the model has no such body.
        """
        rows, order = _rows(ids)
        for name, pose in poses.items():
            self._free_bodies.put(name, rows, np.asarray(pose) if order is None else np.asarray(pose)[order])
        self._call(self.batch.forward, None if isinstance(rows, slice) else rows, stage=STAGE_ALL)

    def set_dynamics(self, values: Mapping[str, Array], ids: Array | None = None) -> None:
        """Set dynamics parameters by name, each (k,), before a reset; `sim.dynamics_table` lists the names.

        Raises:
            UnknownNameError: the model has no such parameter.
            LimitViolationError: a value is not physical.
        """
        rows, order = _rows(ids)
        if order is not None:
            values = {name: np.broadcast_to(value, order.shape)[order] for name, value in values.items()}
        self._dynamics.write(values, None if isinstance(rows, slice) else rows)

    def step(self, control: Array, bodies: Mapping[str, Array] | None = None) -> None:
        """Advance every simulation by `control.shape[1]` physics steps.

        Args:
            control: actuator inputs, (count, steps, num_joints); those of passive joints are ignored. An array that is
                broadcast along its steps (`np.broadcast_to`) is recognised and steps fastest.
            bodies: mocap bodies to move: name -> poses in the base frame, (count, steps, 7), one per physics step.

        Raises:
            SimulationError: the engine failed in a simulation, or its state is no longer finite.
        """
        steps = control.shape[1]
        binding = self._binding
        last = control[:, -1]
        if steps > 1 and (bodies or control.strides[1] != 0):
            # The last step is apart, so that one call also yields the derived fields of the state it leads to.
            inputs = self._ctrl.shape[1]
            before = np.empty((self.count, steps - 1, inputs + (self._free_bodies.width if bodies else 0)))
            before[..., :inputs] = self._ctrl[:, None]
            before[..., binding.ctrl] = control[:, :-1] if self._dof_all else control[:, :-1, binding.actuated]
            if bodies:
                self._free_bodies.write_path(before[..., inputs:], bodies)
                self._call(self.batch.rollout, steps - 1, before, TARGETS, record=())
            else:
                self._call(self.batch.rollout, steps - 1, before, record=())
            steps = 1
        for name, path in (bodies or {}).items():
            self._free_bodies.put(name, slice(None), path[:, -1])
        self._ctrl[:, binding.ctrl] = last if self._dof_all else last[:, binding.actuated]
        self._call(self.batch.step, nstep=steps, stage=self._stage)
        if self._warnings.any() or not math.isfinite(np.add.reduce(self._qvel, axis=None)):
            raise SimulationError(self._diagnosis())

    def state(self) -> RobotState:
        """The current state of all simulations, arrays (count, ...); time is each simulation's own [s]."""
        binding = self._binding
        tool_position = tool_quaternion = None
        if binding.tool is not None:
            tool_position = self._site_position[:, binding.tool]
            tool_quaternion = self._site_quaternion[:, binding.tool]
            if self._base_is_world:
                tool_position, tool_quaternion = tool_position.copy(), tool_quaternion.copy()
            else:
                tool_position = (tool_position - binding.base_position) @ self._base_rotation
                tool_quaternion = tool_quaternion @ self._base_left
        if binding.free_qpos is not None:
            return self._floating_state()
        return RobotState(
            self._time.copy(),
            self._qpos[:, binding.qpos].copy(),
            self._qvel[:, binding.qvel].copy(),
            self._effort[:, binding.qvel].copy(),
            tool_position,
            tool_quaternion,
            objects=self._free_bodies.poses(),
        )

    def snapshot(self, index: int) -> tuple[mujoco.MjModel, mujoco.MjData]:
        """Model and data of one simulation, current in every field, for rendering or any mj_ function."""
        model, data = self.batch.get_model(index), self.batch.get_data(index)
        mujoco.mj_forward(model, data)
        return model, data

    def _make_batch(self) -> Batch:
        """The simulations, on the threads of the CPU."""
        return Batch(self.model, self.count, self.threads)

    def _floating_state(self) -> RobotState:
        """The state of robots with a floating base; MuJoCo gives its linear velocity in the world frame."""
        binding = self._binding
        position, velocity = binding.free_qpos or 0, binding.free_qvel or 0
        quaternion = self._qpos[:, position + 3 : position + 7].copy()
        linear = self._qvel[:, velocity : velocity + 3]
        # v' = v + 2 u x (u x v + w v), with the conjugate of the quaternion (w, u): world to base.
        vector = -quaternion[:, 1:]
        inner = np.cross(vector, linear) + quaternion[:, :1] * linear
        return RobotState(
            capture_time_s=self._time.copy(),
            joint_position=self._qpos[:, binding.qpos].copy(),
            joint_velocity=self._qvel[:, binding.qvel].copy(),
            joint_effort=self._effort[:, binding.qvel].copy(),
            base_position=self._qpos[:, position : position + 3].copy(),
            base_quaternion=quaternion,
            base_linear_velocity=linear + 2.0 * np.cross(vector, inner),
            base_angular_velocity=self._qvel[:, velocity + 3 : velocity + 6].copy(),
            objects=self._free_bodies.poses(),
        )

    def _servo_activation(self) -> tuple[NDArray[np.bool_], NDArray[np.intp]] | None:
        """Servos that filter their input: which of the actuators, and their columns of `act`."""
        binding = self._binding
        filtered = binding.servo & (self.model.actuator_actnum[binding.actuators] == 1)
        if not filtered.any():
            return None
        return filtered, self.model.actuator_actadr[binding.actuators[filtered]].astype(np.intp)

    def _call(self, function: object, *arguments: object, **options: object) -> None:
        """Call into the batch; its error becomes ours."""
        try:
            function(*arguments, **options)  # type: ignore[operator]
        except BatchError as error:
            raise SimulationError(f"'{self.spec.name}': {error}. Reset these simulations.") from error

    def _diagnosis(self) -> str:
        """Which simulations failed, and how."""
        finite = np.isfinite(self._qvel).all(axis=1) & np.isfinite(self._qpos).all(axis=1)
        bad = np.flatnonzero(self._warnings.any(axis=1) | ~finite)
        first = int(bad[0])
        kinds = [mujoco.mjtWarning(int(kind)).name for kind in np.flatnonzero(self._warnings[first])]
        words = ", ".join(kind.removeprefix("mjWARN_") for kind in kinds) or "state is not finite"
        others = f" and {len(bad) - 1} more" if len(bad) > 1 else ""
        return (
            f"'{self.spec.name}': simulation {first}{others} of {self.count} failed at {self._time[first]:.4g} s "
            f"({words}). Reset it; if it recurs, check the commands, or use a smaller physics step."
        )


def _skip_islands(model: mujoco.MjModel) -> None:
    """Do not look for islands where there can only be one: results are the same, 6 % faster on the hopper.

    An island is a set of kinematic trees that constraints connect; sleeping needs them even for a single tree.
    """
    if model.ntree <= 1 and not model.opt.enableflags & int(mujoco.mjtEnableBit.mjENBL_SLEEP):
        model.opt.disableflags |= int(mujoco.mjtDisableBit.mjDSBL_ISLAND)


def _rows(ids: Array | None) -> tuple[slice | NDArray[np.intp], NDArray[np.intp] | None]:
    """Rows of the simulations, ascending as Batch wants them, and how to reorder their values (None: as they are)."""
    if ids is None:
        return slice(None), None
    rows = np.asarray(ids)
    if rows.dtype == np.bool_:
        return np.flatnonzero(rows), None
    if len(rows) > 1 and not (rows[1:] > rows[:-1]).all():
        order = np.argsort(rows)
        return rows[order], order
    return rows, None


def _put(array: FloatArray, rows: slice | NDArray[np.intp], columns: Index, values: Array) -> None:
    """array[rows, columns] = values, for rows and columns that may both be arrays."""
    if isinstance(rows, slice) or isinstance(columns, slice):
        array[rows, columns] = values
    else:
        array[rows[:, None], columns] = values
