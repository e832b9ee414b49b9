"""The mechanics behind the controller: MuJoCo at the controller's rate, with dynamics that clients are not told."""

from __future__ import annotations

from collections import deque

import mujoco
import numpy as np

from hardware.arrays import FloatArray
from hardware.ur5e import MODEL, UR5E
from sim.devices.ur5e.config import CYCLE_S, ArmDynamics

_NOISE_BLOCK = 512
TORQUE_PER_AMPERE = np.array([11.0, 11.0, 11.0, 8.5, 8.5, 8.5])
"""Joint torque per motor current [Nm/A]; of the order measured on UR arms, the maker publishes none."""


class Arm:
    """One arm and its joint servos.

    The servo of joint i is the model's own position actuator, fed with the target and its velocity:
    torque = kp (q* - q) + kv (qd* - qd), kp and kv from the specification times the hidden factors.

    Args:
        dynamics: how it differs from the shipped model.
        position: joint positions at the start, (6,) [rad].
        seed: seed of the measurement noise.
    """

    def __init__(self, dynamics: ArmDynamics, position: FloatArray, seed: int) -> None:
        self.model = _model(dynamics)
        self.data = mujoco.MjData(self.model)
        names = UR5E.joint_names
        self._qpos = np.array([self.model.joint(name).qposadr[0] for name in names])
        self._qvel = np.array([self.model.joint(name).dofadr[0] for name in names])
        self._ctrl = np.array([self.model.actuator(name).id for name in names])
        self._tool = self.model.site(UR5E.tool_frame).id
        self._lead_s = UR5E.damping / (UR5E.stiffness * dynamics.stiffness_factor)
        self._rng = np.random.default_rng(seed)
        self._noise_std = np.repeat((dynamics.position_noise_rad, dynamics.velocity_noise_rad_s), len(names))
        self.encoder_error = np.zeros(len(names))
        """What the encoders read too much, (6,) [rad]."""
        self._noise_row = _NOISE_BLOCK
        self._noise = np.zeros((_NOISE_BLOCK, 2 * len(names)))
        delay_cycles = round(dynamics.command_delay_s / CYCLE_S)
        self._in_flight: deque[FloatArray] = deque([position.copy()] * delay_cycles)
        self.data.qpos[self._qpos] = position
        self.data.ctrl[self._ctrl] = position
        mujoco.mj_step1(self.model, self.data)
        # The controller's own kinematics, which know nothing of the hidden dynamics.
        self._known = mujoco.MjModel.from_xml_path(str(MODEL))
        self._kinematics = mujoco.MjData(self._known)
        self._velocity_6d = np.zeros(6)
        self._quaternion, self._rotation = np.zeros(4), np.zeros(3)
        self.torque = np.zeros(len(names))
        self._measure()

    def step(self, target: FloatArray, target_velocity: FloatArray) -> None:
        """One controller cycle with released brakes, towards `target`, (6,) [rad], moving at `target_velocity`."""
        self._in_flight.append(target + self._lead_s * target_velocity)
        self.data.ctrl[self._ctrl] = self._in_flight.popleft()
        mujoco.mj_step2(self.model, self.data)
        self.torque = self.data.actuator_force[self._ctrl].copy()
        mujoco.mj_step1(self.model, self.data)
        self._measure()

    def brake(self) -> None:
        """One controller cycle with engaged brakes: nothing moves."""
        position = self.data.qpos[self._qpos].copy()
        self._in_flight = deque([position] * len(self._in_flight))
        self.data.ctrl[self._ctrl] = position
        self.data.qvel[:] = 0.0
        self.torque = np.zeros(len(position))
        mujoco.mj_step1(self.model, self.data)
        self._measure()

    @property
    def true_position(self) -> FloatArray:
        """Joint positions without noise, (6,) [rad]."""
        return self.data.qpos[self._qpos].copy()

    @property
    def true_velocity(self) -> FloatArray:
        """Joint velocities without noise, (6,) [rad/s]."""
        return self.data.qvel[self._qvel].copy()

    @property
    def current(self) -> FloatArray:
        """Motor currents, (6,) [A]."""
        return self.torque / TORQUE_PER_AMPERE

    def tool_pose(self, position: FloatArray) -> list[float]:
        """Forward kinematics: pose of the flange in the controller's base frame.

        Args:
            position: joint positions, (6,) [rad].

        Returns:
            x, y, z [m] and the rotation vector [rad].
        """
        data = self._kinematics
        data.qpos[self._qpos] = position
        mujoco.mj_kinematics(self._known, data)
        mujoco.mju_mat2Quat(self._quaternion, data.site_xmat[self._tool])
        mujoco.mju_quat2Vel(self._rotation, self._quaternion, 1.0)
        return [*data.site_xpos[self._tool].tolist(), *self._rotation.tolist()]

    def tool_velocity(self, position: FloatArray, velocity: FloatArray) -> list[float]:
        """Velocity of the flange in the controller's base frame: linear [m/s], angular [rad/s].

        Args:
            position: joint positions, (6,) [rad].
            velocity: joint velocities, (6,) [rad/s].
        """
        data = self._kinematics
        data.qpos[self._qpos], data.qvel[self._qvel] = position, velocity
        mujoco.mj_kinematics(self._known, data)
        mujoco.mj_comPos(self._known, data)
        mujoco.mj_comVel(self._known, data)
        mujoco.mj_objectVelocity(self._known, data, mujoco.mjtObj.mjOBJ_SITE, self._tool, self._velocity_6d, 0)
        return [*self._velocity_6d[3:].tolist(), *self._velocity_6d[:3].tolist()]

    def _measure(self) -> None:
        """Read the encoders: `position` [rad] and `velocity` [rad/s], both (6,), with noise."""
        if self._noise_row == _NOISE_BLOCK:
            self._noise = self._rng.standard_normal(self._noise.shape) * self._noise_std
            self._noise_row = 0
        noise = self._noise[self._noise_row]
        self._noise_row += 1
        self.position = self.data.qpos[self._qpos] + noise[:6] + self.encoder_error
        self.velocity = self.data.qvel[self._qvel] + noise[6:]


def _model(dynamics: ArmDynamics) -> mujoco.MjModel:
    """The shipped model with the hidden changes. Gravity stays compensated for the nominal links only."""
    spec = mujoco.MjSpec.from_file(str(MODEL))
    if dynamics.payload_kg > 0.0:
        flange = spec.site(UR5E.tool_frame)
        load = flange.parent.add_body(name="hidden_payload", pos=flange.pos)
        load.mass, load.explicitinertial = dynamics.payload_kg, True
        load.inertia = [dynamics.payload_kg * 0.03**2] * 3
    model = spec.compile()
    model.opt.timestep = CYCLE_S
    links = model.body_gravcomp > 0.0
    model.body_mass[links] *= dynamics.mass_factor
    model.body_inertia[links] *= dynamics.mass_factor
    model.body_gravcomp[links] /= dynamics.mass_factor
    for joint, stiffness, damping in zip(UR5E.joints, UR5E.stiffness, UR5E.damping, strict=True):
        dof = model.joint(joint.name).dofadr[0]
        model.dof_damping[dof] *= dynamics.damping_factor
        model.dof_frictionloss[dof] *= dynamics.friction_factor
        actuator = model.actuator(joint.name).id
        kp = stiffness * dynamics.stiffness_factor
        model.actuator_gainprm[actuator, 0] = kp
        model.actuator_biasprm[actuator, 1:3] = -kp, -damping
        model.actuator_ctrllimited[actuator] = 0
    mujoco.mj_setConst(model, mujoco.MjData(model))
    return model
