"""Simulated robots under their tracking controller: what an environment steps in place of a physical robot."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from controllers.feed_forward import TrajectoryReference
from controllers.impedance import ToolPoseReference, between_poses
from controllers.interpolation import JerkLimitedInterpolator
from controllers.reference import JointReference
from controllers.tracking import interpolator_of
from hardware.arrays import Array, FloatArray
from hardware.errors import ConfigError
from hardware.records import RobotState
from hardware.spec import RobotSpec
from sim.engine import Engine, MovesBodies
from sim.impedance_actuators import TOOL_TARGET


class SimulatedPlant:
    """Simulations of one robot that follow references; see `controllers.plant.Plant`.

    Position and velocity references pass through the same jerk-limited interpolator as on the physical robot, at its
    control rate, into the position servos of the model. Its whole output for one horizon is computed at once. Effort
    references go to the actuators as they are. Tool poses move the target of Cartesian impedance control, which is part
    of the model then (`sim.impedance_actuators`); what does not follow the tool, a gripper, moves at its full speed.
    Trajectories with feed-forward go to the servos as `_follow_trajectory` says.

    Args:
        engine: the physics.
        impedance: whether the model has the actuators of Cartesian impedance control.

    Raises:
        ConfigError: the engine cannot move the target of impedance control.
    """

    def __init__(self, engine: Engine, impedance: bool = False) -> None:
        self.engine = engine
        self.spec: RobotSpec = engine.spec
        self.batch_shape: tuple[int, ...] = (engine.count,)
        self._interpolator = _interpolator(self.spec)
        # Physics steps for which one command is held: the tracking controller runs at the robot's own rate.
        self._hold = max(1, round(1.0 / (self.spec.control_rate_hz * engine.timestep_s)))
        self._horizon_s, self._steps, self._times = 0.0, 0, np.zeros(0)
        self._impedance = impedance
        if impedance and not isinstance(engine, MovesBodies):
            raise ConfigError(f"this engine has no Cartesian impedance control for '{self.spec.name}'; use MuJoCo")
        # What impedance control was asked for last: the posture and the gripper, and the tool's pose.
        self._set_point = np.broadcast_to(self.spec.default_position, (engine.count, len(self.spec.joints))).copy()
        self._tool_target = np.zeros((engine.count, 7))

    def reset(
        self,
        joint_position: Array,
        joint_velocity: Array,
        ids: Array | None = None,
        objects: Mapping[str, Array] | None = None,
    ) -> RobotState:
        """Put simulations at a state.

        Args:
            joint_position: (k, num_joints) [rad].
            joint_velocity: (k, num_joints) [rad/s].
            ids: simulations, (k,) ascending; None for all.
            objects: poses of objects in the base frame by name, (k, 7); the others are where the model has them.

        Raises:
            ConfigError: the engine has no objects.
            UnknownNameError: the model has no such object.
        """
        self.engine.reset(joint_position, joint_velocity, ids)
        if self._interpolator is not None:
            self._interpolator.reset(joint_position, joint_velocity, ids)
        if objects or self._impedance:
            self._place(joint_position, ids, objects or {})
        return self.engine.state()

    def _place(self, joint_position: Array, ids: Array | None, objects: Mapping[str, Array]) -> None:
        """Put objects, and the target of the tool to where the tool is."""
        if not isinstance(self.engine, MovesBodies):
            raise ConfigError(f"this engine cannot place objects ({', '.join(objects)}); use MuJoCo")
        poses = dict(objects)
        if self._impedance:
            rows = slice(None) if ids is None else ids
            state = self.engine.state()
            if state.tool_position is None or state.tool_quaternion is None:
                raise ConfigError(f"'{self.spec.name}' has no tool; impedance control needs one")
            tool = np.concatenate([state.tool_position, state.tool_quaternion], axis=-1)[rows]
            self._set_point[rows], self._tool_target[rows] = joint_position, tool
            poses[TOOL_TARGET] = tool
        self.engine.place(poses, ids)

    def set_dynamics(self, values: Mapping[str, Array], ids: Array | None = None) -> None:
        """Set dynamics parameters by name, each (k,), before a reset; errors as `sim.engine.Engine.set_dynamics`."""
        self.engine.set_dynamics(values, ids)

    def state(self) -> RobotState:
        """The state of all simulations."""
        return self.engine.state()

    def follow(self, reference: JointReference) -> RobotState:
        """Follow `reference`, arrays (count, num_joints), for its horizon; the state at the end of it.

        Raises:
            ConfigError: the horizon is not a whole number of physics steps, or the robot takes only efforts.
            SimulationError: the engine failed.
        """
        if isinstance(reference, ToolPoseReference):
            return self._follow_tool(reference)
        if isinstance(reference, TrajectoryReference):
            return self._follow_trajectory(reference)
        if reference.horizon_s != self._horizon_s:
            self._plan(reference.horizon_s)
        value = reference.value
        if reference.mode == "effort":
            shape = (self.engine.count, self._steps, value.shape[-1])
            self.engine.step(np.broadcast_to(value[:, None, :], shape))
            return self.engine.state()
        interpolator = self._interpolator
        if interpolator is None:
            raise ConfigError(f"'{self.spec.name}' has no finite speed limits and takes references of mode effort only")
        interpolator.retarget(reference)
        control: FloatArray = np.moveaxis(interpolator.sample(self._times)[0], 0, 1)
        if self._hold > 1:
            control = np.repeat(control, self._hold, axis=1)[:, : self._steps]
        interpolator.advance(reference.horizon_s)
        self.engine.step(control)
        return self.engine.state()

    def _follow_tool(self, reference: ToolPoseReference) -> RobotState:
        """Move the tool's target straight to the pose within the horizon, and the other joints at their full speed."""
        if not self._impedance or not isinstance(self.engine, MovesBodies):
            raise ConfigError(f"'{self.spec.name}' is not under impedance control here; it takes joint references only")
        steps = self._whole_steps(reference.horizon_s)
        numbers = np.arange(1, steps + 1)
        target = np.concatenate([reference.position, reference.quaternion], axis=-1)
        path = between_poses(self._tool_target, target, numbers / steps)
        self._tool_target = path[:, -1].copy()
        moved = np.isfinite(reference.value)
        aim = np.where(moved, reference.value, self._set_point)
        reach = self.spec.velocity_max * self.engine.timestep_s * numbers[:, None]
        control = self._set_point[:, None] + np.clip((aim - self._set_point)[:, None], -reach, reach)
        self._set_point = control[:, -1].copy()
        self.engine.step(control, {TOOL_TARGET: path})
        return self.engine.state()

    def _follow_trajectory(self, reference: TrajectoryReference) -> RobotState:
        """Servos with feed-forward: what they are to add goes into the position they are given.

        MuJoCo's servo gives stiffness (input - q) - damping qd; with
            input = q_d + (damping qd_d + feed-forward) / stiffness
        that is the whole law. Joints without a servo take the feed-forward alone.
        """
        steps = self._whole_steps(reference.horizon_s)
        position, velocity = reference.sample(self.engine.timestep_s * np.arange(steps - 1, -1, -1))
        extra = self.spec.damping * velocity + reference.effort[..., None, :]
        servo = self.spec.stiffness > 0.0
        self.engine.step(np.where(servo, position + extra / np.where(servo, self.spec.stiffness, 1.0), extra))
        return self.engine.state()

    def _plan(self, horizon_s: float) -> None:
        """Times within a horizon at which the tracking controller samples its reference."""
        steps = self._whole_steps(horizon_s)
        commands = -(-steps // self._hold)
        period_s = self._hold * self.engine.timestep_s
        self._horizon_s, self._steps = horizon_s, steps
        # As controllers.tracking does: a command is where the robot should be when the next one comes.
        self._times = np.minimum(period_s * np.arange(1, commands + 1), horizon_s)

    def _whole_steps(self, horizon_s: float) -> int:
        """Physics steps in a horizon.

        Raises:
            ConfigError: it is not a whole number of them.
        """
        steps = round(horizon_s / self.engine.timestep_s)
        if steps < 1 or abs(steps * self.engine.timestep_s - horizon_s) > 1e-9:
            raise ConfigError(
                f"a horizon of {horizon_s} s is not a whole number of physics steps of {self.engine.timestep_s} s"
            )
        return steps


def _interpolator(spec: RobotSpec) -> JerkLimitedInterpolator | None:
    """The interpolator of a robot; None for one that is driven by effort only and has no limits to keep."""
    if not np.isfinite([spec.velocity_max, spec.acceleration_max, spec.jerk_max]).all():
        return None
    return interpolator_of(spec)
