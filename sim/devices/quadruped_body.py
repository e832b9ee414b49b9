"""The mechanics of a virtual quadruped: MuJoCo at the motors' rate, with dynamics that clients are not told."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import mujoco
import numpy as np
from numpy.typing import NDArray

from hardware.arrays import FloatArray
from sim.devices.quadruped_config import CYCLE_S, VirtualQuadrupedConfig

MOTORS = 12
DAMPING = 0x00
"""Mode of a motor that nobody commands, on every robot of the family."""
DAMPING_GAIN = 3.0
"""Damping of a motor in its damping mode [Nm s/rad]; of the order seen when such robots sink down, not published."""
_NO_POSITION, _NO_VELOCITY = 1e9, 15_000.0
_HUNG_HEIGHT_M, _LYING_HEIGHT_M = 0.6, 0.12
_SETTLE_S = 1.5
# Order of the motors on the wire, written out once more here, apart from the drivers'.
JOINTS = tuple(f"{leg}_{part}_joint" for leg in ("FR", "FL", "RR", "RL") for part in ("hip", "thigh", "calf"))
FEET = ("FR_foot", "FL_foot", "RR_foot", "RL_foot")


@dataclass(frozen=True, slots=True)
class MotorOrder:
    """What a client asks of the motors, every array (12,) by motor."""

    mode: NDArray[np.uint8]
    """The robot's code for servo, 0x00 for damping by itself."""
    q: FloatArray
    """[rad]."""
    dq: FloatArray
    """[rad/s]."""
    tau: FloatArray
    """[Nm]."""
    kp: FloatArray
    """[Nm/rad]."""
    kd: FloatArray
    """[Nm s/rad]."""


@dataclass(frozen=True)
class Breed:
    """What tells the robots of the family from each other."""

    scene: Path
    """MJCF of the robot on its floor."""
    trunk: str
    """Name of the trunk's body."""
    folded_pose: Mapping[str, float]
    """Joint -> position with the legs folded under the trunk [rad]."""
    servo: int
    """Mode of a motor that follows commands."""
    overheat: int = DAMPING
    """Mode that a motor reports which has switched itself off."""


class QuadrupedBody:
    """One quadruped on its floor and its twelve motors, each with the law tau + kp (q* - q) + kd (dq* - dq).

    Args:
        breed: which robot.
        config: dynamics, seed and posture at power-up.
    """

    def __init__(self, breed: Breed, config: VirtualQuadrupedConfig) -> None:
        self.breed = breed
        self.dynamics = dynamics = config.body_dynamics()
        self._rng = np.random.default_rng(config.seed)
        self.model = _model(breed, config)
        self.data = mujoco.MjData(self.model)
        self._qpos = np.array([self.model.joint(name).qposadr[0] for name in JOINTS])
        self._qvel = np.array([self.model.joint(name).dofadr[0] for name in JOINTS])
        self._act = np.array([self.model.actuator(name).id for name in JOINTS])
        self._trunk = self.model.body(breed.trunk).id
        self._feet = {int(self.model.geom(name).id): leg for leg, name in enumerate(FEET)}
        self._force = np.zeros(6)
        self._sensors = {
            name: slice(self.model.sensor(name).adr[0], self.model.sensor(name).adr[0] + self.model.sensor(name).dim[0])
            for name in ("imu_quaternion", "imu_gyro", "imu_accelerometer")
        }
        self.mode = np.zeros(MOTORS, dtype=np.uint8)
        self.overheated = np.zeros(MOTORS, dtype=bool)
        """Motors that have switched themselves off."""
        damping = self.damping_order()
        self._in_flight: deque[MotorOrder] = deque([damping] * round(dynamics.command_delay_s / CYCLE_S))
        self.data.qpos[self._qpos] = [breed.folded_pose[name] for name in JOINTS]
        if config.posture == "lying":
            self.data.qpos[self.model.joint("floating_base").qposadr[0] + 2] = _LYING_HEIGHT_M
        for _ in range(round(_SETTLE_S / CYCLE_S)):
            self.step(damping)

    @staticmethod
    def damping_order() -> MotorOrder:
        """What the motors do when nobody commands them."""
        zero = np.zeros(MOTORS)
        return MotorOrder(np.full(MOTORS, DAMPING, dtype=np.uint8), zero, zero, zero, zero, zero)

    def step(self, order: MotorOrder) -> None:
        """One cycle of the motors and of physics."""
        self._in_flight.append(order)
        order = self._in_flight.popleft()
        self.mode = np.where(self.overheated, self.breed.overheat, order.mode).astype(np.uint8)
        servo, off = self.mode == self.breed.servo, self.overheated
        kp = np.where(servo & (np.abs(order.q) < _NO_POSITION), order.kp, 0.0)
        kd = np.where(servo & (np.abs(order.dq) < _NO_VELOCITY), order.kd, np.where(servo | off, 0.0, DAMPING_GAIN))
        strength = self.dynamics.strength_factor
        dq = np.where(servo, order.dq, 0.0)
        tau = np.where(servo, order.tau, 0.0)
        self.data.ctrl[self._act] = strength * (tau + kp * np.where(kp > 0.0, order.q, 0.0) + kd * dq)
        self.model.actuator_biasprm[self._act, 1] = -strength * kp
        self.model.actuator_biasprm[self._act, 2] = -strength * kd
        mujoco.mj_step(self.model, self.data)

    def push(self, speed_m_s: float) -> None:
        """Give the trunk, where it is free, a sideways velocity [m/s] at once."""
        if self.model.nv > MOTORS:
            self.data.qvel[1] += speed_m_s

    @property
    def servoing(self) -> bool:
        """Whether any motor follows commands."""
        return bool((self.mode == self.breed.servo).any())

    def standing_order(self, position: FloatArray) -> MotorOrder:
        """What a program of the maker's, which holds `position` (12,) [rad], asks of the motors."""
        zero = np.zeros(MOTORS)
        return MotorOrder(np.full(MOTORS, self.breed.servo, np.uint8), position, zero, zero, zero + 20.0, zero + 2.0)

    @property
    def position(self) -> FloatArray:
        """Joint positions without noise, (12,) [rad]."""
        return self.data.qpos[self._qpos].copy()

    @property
    def velocity(self) -> FloatArray:
        """Joint velocities without noise, (12,) [rad/s]."""
        return self.data.qvel[self._qvel].copy()

    @property
    def torque(self) -> FloatArray:
        """Joint torques of the last cycle, (12,) [Nm]."""
        return self.data.actuator_force[self._act].copy()

    @property
    def height(self) -> float:
        """Height of the trunk's middle above the floor [m]."""
        return float(self.data.xpos[self._trunk, 2])

    def sensor(self, name: str) -> FloatArray:
        """One sensor of the model, without noise."""
        return self.data.sensordata[self._sensors[name]].copy()

    def noisy(self, values: FloatArray, deviation: float) -> FloatArray:
        """`values` with normal noise of standard deviation `deviation`."""
        return values + deviation * self._rng.standard_normal(values.shape) if deviation > 0.0 else values

    def foot_force(self) -> FloatArray:
        """Normal force on each foot, (4,) [N], in the order of the legs."""
        forces = np.zeros(len(self._feet))
        for index, (first, second) in enumerate(self.data.contact.geom.tolist()):
            leg = self._feet.get(second, self._feet.get(first))
            if leg is not None:
                mujoco.mj_contactForce(self.model, self.data, index, self._force)
                forces[leg] += self._force[0]
        return forces


def _model(breed: Breed, config: VirtualQuadrupedConfig) -> mujoco.MjModel:
    """The shipped scene with the hidden changes, its servos opened to torque, stiffness and damping."""
    dynamics = config.body_dynamics()
    spec = mujoco.MjSpec.from_file(str(breed.scene))
    if dynamics.payload_kg > 0.0:
        load = spec.body(breed.trunk).add_body(name="hidden_payload", pos=[0.0, 0.0, 0.08])
        load.mass, load.explicitinertial = dynamics.payload_kg, True
        load.inertia = [dynamics.payload_kg * 0.05**2] * 3
    if config.posture == "hung":
        for key in spec.keys:
            spec.delete(key)
        spec.delete(spec.joint("floating_base"))
        spec.body(breed.trunk).pos = [0.0, 0.0, _HUNG_HEIGHT_M]
    model = spec.compile()
    model.opt.timestep = CYCLE_S
    model.body_mass *= dynamics.mass_factor
    model.body_inertia *= dynamics.mass_factor
    model.dof_frictionloss *= dynamics.friction_factor
    for foot in FEET:
        model.geom(foot).friction[0] = dynamics.foot_friction
    model.actuator_gainprm[:, 0] = 1.0
    model.actuator_biasprm[:, :3] = 0.0
    model.actuator_ctrllimited[:] = 0
    mujoco.mj_setConst(model, mujoco.MjData(model))
    return model
