"""The mechanics behind the servos: MuJoCo, with dynamics that clients are not told."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from pathlib import Path

import mujoco
import numpy as np

from hardware.arrays import FloatArray
from hardware.so101 import MODEL, SO101
from sim.devices.so101.config import ArmDynamics

STEP_S = 0.002
"""Step of the physics [s]."""
AMBIENT_C = 25.0
_HEAT_C_PER_NM2 = 8.0
"""Rise of temperature in the steady state per squared torque [C/Nm^2]: about 70 C at stall, as servos do."""
CUBE_MIN, CUBE_MAX, CUBE_TURN_RAD = (0.18, -0.07, 0.012), (0.25, 0.07, 0.012), 0.35
"""Where `place_cube` puts the middle of the cube [m], and how far it turns it to either side [rad]."""
_HEAT_TIME_S = 120.0
"""Time constant of the servos' temperature [s]."""


@dataclass
class Drive:
    """What the electronics of all servos want; arrays (6,)."""

    goal: FloatArray
    """Joint positions [rad]."""
    speed: FloatArray
    """Largest speed of the servos' own set-points [rad/s]."""
    power: FloatArray
    """Largest share of the stall torque, 0 to 1; 0 is torque off."""


class Arm:
    """One arm and the motors of its servos.

    The servo of joint i is the model's position actuator: torque = kp (q* - q) - kv qd, bounded by its share of the
    stall torque, where q* moves to the goal no faster than the servo's speed limit.

    Args:
        dynamics: how it differs from the shipped model.
        position: joint positions at the start, (6,) [rad].
        seed: seed of the measurement noise.
        carried: whether someone carries the arm while all torques are off.
        scene: MJCF of the arm and what stands before it.
    """

    def __init__(
        self, dynamics: ArmDynamics, position: FloatArray, seed: int, carried: bool, scene: Path = MODEL
    ) -> None:
        self.model = _model(dynamics, scene)
        self.data = mujoco.MjData(self.model)
        names = SO101.joint_names
        self._qpos = np.array([self.model.joint(name).qposadr[0] for name in names])
        self._qvel = np.array([self.model.joint(name).dofadr[0] for name in names])
        self._ctrl = np.array([self.model.actuator(name).id for name in names])
        self._gain = self.model.actuator_gainprm[self._ctrl, 0].copy()
        self._bias = self.model.actuator_biasprm[self._ctrl, 1:3].copy()
        self._stall = SO101.effort_max
        self._noise = dynamics.position_noise_rad
        self._rng = np.random.default_rng(seed)
        self._carried = carried
        delay = round(dynamics.command_delay_s / STEP_S)
        idle = Drive(position.copy(), np.zeros(len(names)), np.zeros(len(names)))
        self._in_flight: deque[Drive] = deque([idle] * delay)
        self._set_point = position.copy()
        self.data.qpos[self._qpos] = position
        mujoco.mj_forward(self.model, self.data)
        self.torque = np.zeros(len(names))
        self.temperature = np.full(len(names), AMBIENT_C + 5.0)
        self.external = np.zeros(len(names))
        """Torque on each joint from outside, (6,) [Nm]."""
        self.hand = np.zeros(len(names))
        """Speed at which whoever carries the arm moves each joint, (6,) [rad/s]."""

    def step(self, drive: Drive) -> None:
        """One step of the physics."""
        self._in_flight.append(drive)
        drive = self._in_flight.popleft()
        on = drive.power > 0.0
        if self._carried and not on.any():
            moved = self.data.qpos[self._qpos] + self.hand * STEP_S
            self.data.qpos[self._qpos] = np.clip(moved, SO101.position_min, SO101.position_max)
            self.data.qvel[self._qvel] = self.hand
            self._set_point = self.position
            self.torque = np.zeros(len(on))
            self.data.time += STEP_S
            mujoco.mj_forward(self.model, self.data)
            return
        change = drive.speed * STEP_S
        moved = self._set_point + np.clip(drive.goal - self._set_point, -change, change)
        self._set_point = np.where(on, moved, self.position)
        self.data.ctrl[self._ctrl] = self._set_point
        self.model.actuator_gainprm[self._ctrl, 0] = np.where(on, self._gain, 0.0)
        self.model.actuator_biasprm[self._ctrl, 1:3] = np.where(on[:, None], self._bias, 0.0)
        bound = np.maximum(drive.power, 1e-6) * self._stall
        self.model.actuator_forcerange[self._ctrl] = np.stack([-bound, bound], axis=1)
        self.data.qfrc_applied[self._qvel] = self.external
        mujoco.mj_step(self.model, self.data)
        self.torque = self.data.actuator_force[self._ctrl].copy()
        rise = AMBIENT_C + _HEAT_C_PER_NM2 * self.torque**2 - self.temperature
        self.temperature = self.temperature + rise * STEP_S / _HEAT_TIME_S

    @property
    def objects(self) -> dict[str, FloatArray]:
        """Poses of what can be moved, by the name of its body: position [m] and quaternion w x y z, (7,)."""
        free = [joint for joint in range(self.model.njnt) if self.model.jnt_type[joint] == mujoco.mjtJoint.mjJNT_FREE]
        names = {self.model.body(self.model.jnt_bodyid[joint]).name: self.model.jnt_qposadr[joint] for joint in free}
        return {name: self.data.qpos[begin : begin + 7].copy() for name, begin in names.items()}

    def place_cube(self, rng: np.random.Generator) -> None:
        """Put the cube somewhere on the table, at rest; nothing without one."""
        if "cube" not in self.objects:
            return
        half = 0.5 * float(rng.uniform(-CUBE_TURN_RAD, CUBE_TURN_RAD))
        cube = self.data.joint("cube")
        cube.qpos[:] = [*rng.uniform(CUBE_MIN, CUBE_MAX), np.cos(half), 0.0, 0.0, np.sin(half)]
        cube.qvel[:] = 0.0
        mujoco.mj_forward(self.model, self.data)

    @property
    def position(self) -> FloatArray:
        """Joint positions without noise, (6,) [rad]."""
        return self.data.qpos[self._qpos].copy()

    @property
    def velocity(self) -> FloatArray:
        """Joint velocities, (6,) [rad/s]."""
        return self.data.qvel[self._qvel].copy()

    def measured_position(self) -> FloatArray:
        """Joint positions with noise, (6,) [rad]."""
        return self.position + self._rng.standard_normal(len(self._qpos)) * self._noise


def _model(dynamics: ArmDynamics, scene: Path) -> mujoco.MjModel:
    """The shipped model with the hidden changes."""
    spec = mujoco.MjSpec.from_file(str(scene))
    if dynamics.payload_kg > 0.0:
        tool = spec.site(SO101.tool_frame)
        load = tool.parent.add_body(name="hidden_payload", pos=tool.pos)
        load.mass, load.explicitinertial = dynamics.payload_kg, True
        load.inertia = [dynamics.payload_kg * 0.02**2] * 3
    model = spec.compile()
    model.opt.timestep = STEP_S
    arm = model.body_rootid == model.body(SO101.base_frame).id
    model.body_mass[arm] *= dynamics.mass_factor
    model.body_inertia[arm] *= dynamics.mass_factor
    for joint in SO101.joints:
        dof = model.joint(joint.name).dofadr[0]
        model.dof_damping[dof] *= dynamics.damping_factor
        model.dof_frictionloss[dof] *= dynamics.friction_factor
        actuator = model.actuator(joint.name).id
        model.actuator_gainprm[actuator, 0] *= dynamics.stiffness_factor
        model.actuator_biasprm[actuator, 1] *= dynamics.stiffness_factor
        model.actuator_ctrllimited[actuator] = 0
    mujoco.mj_setConst(model, mujoco.MjData(model))
    return model
