"""Isaac Gym on an NVIDIA GPU: many simulations of the same models, under the same names of dynamics.

The model goes there as a URDF (`sim.urdf`) with the properties of its joints and bodies. A joint's servo becomes the
implicit drive of PhysX, whose damping and effort limit also hold the joint's own damping and dry friction; contacts are
PhysX's. Two joints that MuJoCo ties together (the fingers of a hand) get half of the actuator each.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import cast

import mujoco
import numpy as np
from mujoco.batch import Batch
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from hardware.arrays import Array, FloatArray
from hardware.errors import ConfigError, SimulationError, UnknownNameError
from hardware.records import RobotState
from hardware.spec import RobotSpec
from sim.delay_history import with_latency
from sim.dynamics_table import DynamicsTable
from sim.engines.isaacgym import ENGINE as ENTRY
from sim.expanded_fields import ExpandedFields
from sim.foreign_model import compose_poses, poses_from_frame, poses_in_frame, require_expressible
from sim.isaacgym_joints import JointLaws
from sim.isaacgym_process import IsaacGymProcess
from sim.isaacgym_scene import ENGINE, scene_of, shape_friction
from sim.model_binding import bind_model


class IsaacGymEngine:
    """`count` simulations of one model in Isaac Gym; see `sim.engine.Engine` and `sim.isaacgym_worker`.

    Args:
        spec: the robot; its joints, tool and base frame are found in the model by name.
        model: MJCF file, specification or compiled model.
        count: number of simulations.
        threads: of no effect; here so that all engines are made alike.
        timestep_s: physics step [s]; None keeps the model's.
        latency_max_s: largest delay of the actuators that `set_dynamics` may ask for [s].
        substeps: steps that PhysX divides a physics step into.
        device: number of the GPU.

    Raises:
        ConfigError: Isaac Gym is not there, or the model has what it cannot do.
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
        substeps: int = 1,
        device: int = 0,
    ) -> None:
        if count < 1 or substeps < 1:
            raise ConfigError(f"count and substeps of an engine must be at least 1, not {count} and {substeps}")
        self.spec, self.count = spec, count
        self.model = with_latency(model, timestep_s, latency_max_s)
        self.timestep_s = float(self.model.opt.timestep)
        require_expressible(self.model, ENGINE)
        self._binding = binding = bind_model(spec, self.model)
        self._fields = ExpandedFields(self.model, count)
        # The table needs of a batch only what `ExpandedFields` has.
        self._dynamics = DynamicsTable(spec, self.model, cast(Batch, self._fields), latency_max_s, ENTRY.lacks)
        self._watched = self._bodies_of_state()
        self._scene = scene_of(self.model, count, self._watched, substeps, device)
        self._laws = JointLaws(self.model, binding, self._scene.joints, count)
        self._delay_max = round(latency_max_s / self.timestep_s)
        self._sent = np.zeros((count, self._delay_max, len(binding.actuators)))
        self._delay = np.zeros(count, dtype=np.intp)
        self._process = IsaacGymProcess()
        try:
            self._process.call("build", {}, scene=self._scene.values)
            self._configure(np.arange(count))
            self.reset(np.tile(spec.default_position, (count, 1)), np.zeros((count, len(spec.joints))))
        except BaseException:
            self._process.close()
            raise

    def close(self) -> None:
        """End Isaac Gym's process. Idempotent."""
        self._process.close()

    def reset(self, joint_position: Array, joint_velocity: Array, ids: Array | None = None) -> None:
        """Put simulations at a state; see `sim.engine.Engine`. Everything free goes to where the model has it."""
        rows, binding = self._rows(ids), self._binding
        position, velocity = np.asarray(joint_position), np.asarray(joint_velocity)
        qpos, qvel = np.tile(self.model.qpos0, (len(rows), 1)), np.zeros((len(rows), self.model.nv))
        qpos[:, binding.qpos], qvel[:, binding.qvel] = position, velocity
        for joint in binding.coupled:
            polynomial = np.polynomial.Polynomial(joint.coefficients)
            shift = position[:, joint.joint] - joint.reference[1]
            qpos[:, joint.qpos] = joint.reference[0] + polynomial(shift)
            qvel[:, joint.qvel] = polynomial.deriv()(shift) * velocity[:, joint.joint]
        joints = self._scene.joints
        self._sent[rows] = np.where(binding.servo, position[:, binding.actuated], 0.0)[:, None]
        self._answer = self._process.call(
            "reset",
            {
                "ids": rows,
                "position": qpos[:, self.model.jnt_qposadr[joints]],
                "velocity": qvel[:, self.model.jnt_dofadr[joints]],
            },
        )

    def place(self, poses: Mapping[str, Array], ids: Array | None = None) -> None:
        """Put objects at poses in the base frame, (k, 7), at rest, after a reset.

        Raises:
            UnknownNameError: the model has no such object.
        """
        known = {found.name for found in self._binding.objects}
        for name, pose in poses.items():
            if name not in known:
                raise UnknownNameError("object of the model", name, known)
            world = poses_from_frame(np.asarray(pose), self._binding.base_position, self._binding.base_quaternion)
            arrays = {"ids": self._rows(ids), "pose": world}
            self._answer = self._process.call("place", arrays, actor=self._scene.actors[name])

    def set_dynamics(self, values: Mapping[str, Array], ids: Array | None = None) -> None:
        """Set dynamics parameters by name, each (k,), before a reset; names as with MuJoCo.

        Raises:
            UnknownNameError: the model has no such parameter, or Isaac Gym cannot vary it.
            LimitViolationError: a value is not physical.
            ConfigError: less friction than the ground allows.
        """
        rows = self._rows(ids)
        order, shape = np.argsort(rows), (len(rows),)
        self._dynamics.write(
            {name: np.broadcast_to(value, shape)[order] for name, value in values.items()}, rows[order]
        )
        self._configure(rows[order])

    def step(self, control: Array, bodies: Mapping[str, Array] | None = None) -> None:
        """Advance every simulation; see `sim.engine.Engine`.

        Raises:
            ConfigError: `bodies` are to be moved, which this engine cannot.
            SimulationError: a state is no longer finite, or Isaac Gym is gone.
        """
        if bodies:
            raise ConfigError(f"the engine '{ENGINE}' has no mocap bodies; Cartesian impedance control needs mujoco")
        steps = control.shape[1]
        inputs = np.concatenate([self._sent, np.asarray(control)[..., self._binding.actuated]], axis=1)
        self._sent = inputs[:, inputs.shape[1] - self._delay_max :].copy()
        late = self._delay_max - self._delay[:, None] + np.arange(steps)
        delayed = np.take_along_axis(inputs, late[..., None], axis=1)
        self._answer = self._process.call("step", {"feed": self._laws.feed(delayed)})
        bad = np.flatnonzero(~np.isfinite(self._answer["velocity"]).all(axis=1))
        if len(bad):
            raise SimulationError(
                f"simulation {bad[0]} of {self.count} in Isaac Gym diverged at {self._answer['time'][bad[0]]:.3f} s"
            )

    def state(self) -> RobotState:
        """The current state of all simulations, arrays (count, ...)."""
        binding, answer = self._binding, self._answer
        own = self._laws.own
        objects = {found.name: self._in_base(self._pose(self.model.body(found.name).id)) for found in binding.objects}
        effort = np.zeros((self.count, len(own)))
        effort[:, binding.actuated] = self._laws.actuator_effort(answer["effort"])
        state = RobotState(
            answer["time"], answer["position"][:, own], answer["velocity"][:, own], effort, objects=objects or None
        )
        if binding.free_qpos is not None:
            return self._with_base(state)
        if binding.tool is None:
            return state
        owner = int(self.model.site_bodyid[binding.tool])
        inner = np.concatenate([self.model.site_pos[binding.tool], self.model.site_quat[binding.tool]])
        tool = self._in_base(compose_poses(self._pose(owner), inner))
        return replace(state, tool_position=tool[:, :3], tool_quaternion=tool[:, 3:])

    def _configure(self, rows: NDArray[np.intp]) -> None:
        """Send the properties of the joints and bodies of simulations, (k,)."""
        model, fields = self.model, self._fields
        arrays = {"ids": rows, **self._laws.configure(fields, rows)}
        rotations = np.zeros((model.nbody, 9))
        for body in range(model.nbody):
            mujoco.mju_quat2Mat(rotations[body], model.body_iquat[body])
        axes = rotations.reshape(-1, 3, 3)
        principal = fields.rows("body_inertia", rows)[..., None]
        inertia = axes @ (principal * np.swapaxes(axes, 1, 2))
        centre = fields.rows("body_ipos", rows) - self._scene.anchors
        friction = shape_friction(self._scene, model, fields.rows("geom_friction", rows))
        mass = fields.rows("body_mass", rows)
        for number, bodies in enumerate(self._scene.bodies):
            found = {"mass": mass, "com": centre, "inertia": inertia, "friction": friction}
            arrays |= {f"{name}.{number}": values[:, bodies] for name, values in found.items()}
        self._process.call("configure", arrays)
        if self._binding.actuators.size:
            delays = fields.rows("actuator_delay", rows)[:, self._binding.actuators].max(axis=1)
            self._delay[rows] = np.rint(delays / self.timestep_s).astype(np.intp)

    def _bodies_of_state(self) -> list[int]:
        """Bodies that `state` needs: of the tool, of a floating base, of the objects."""
        model, binding, bodies = self.model, self._binding, []
        if binding.tool is not None:
            bodies.append(int(model.site_bodyid[binding.tool]))
        if binding.free_qpos is not None:
            bodies.append(int(model.jnt_bodyid[np.flatnonzero(model.jnt_qposadr == binding.free_qpos)[0]]))
        return bodies + [int(model.body(found.name).id) for found in binding.objects]

    def _pose(self, body: int) -> FloatArray:
        """Pose of a body in the world, (count, 7); its link is at its last joint."""
        link = self._answer["poses"][:, self._watched.index(body)]
        return compose_poses(link, np.concatenate([-self._scene.anchors[body], [1.0, 0.0, 0.0, 0.0]]))

    def _in_base(self, poses: FloatArray) -> FloatArray:
        return poses_in_frame(poses, self._binding.base_position, self._binding.base_quaternion)

    def _with_base(self, state: RobotState) -> RobotState:
        """The state with a floating base. PhysX gives the velocity of the centre of mass, in the world frame."""
        body = self._watched[0]
        pose, speed = self._pose(body), self._answer["speeds"][:, 0]
        rotation = Rotation.from_quat(pose[:, 3:], scalar_first=True)
        centre = rotation.apply(self._fields.rows("body_ipos", np.arange(self.count))[:, body])
        linear = speed[:, :3] - np.cross(speed[:, 3:], centre)
        return replace(
            state,
            base_position=pose[:, :3],
            base_quaternion=pose[:, 3:],
            base_linear_velocity=rotation.inv().apply(linear),
            base_angular_velocity=rotation.inv().apply(speed[:, 3:]),
        )

    def _rows(self, ids: Array | None) -> NDArray[np.intp]:
        if ids is None:
            return np.arange(self.count)
        rows = np.asarray(ids)
        return np.flatnonzero(rows) if rows.dtype == np.bool_ else rows.astype(np.intp)
