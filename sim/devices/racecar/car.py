"""The mechanics of the virtual car."""

from __future__ import annotations

import math

import mujoco
import numpy as np

from hardware.racecar import SCENE
from sim.devices.racecar.config import CarDynamics

TICK_S = 0.005
"""Time that one call of `Car.step` stands for [s]."""
_WHEELBASE, _TRACK = 0.3302, 0.2
_WHEELS = ("rear_left_wheel", "rear_right_wheel", "front_left_wheel", "front_right_wheel")


class Car:
    """A car on a floor, driven by the torque at its drive shaft and a steering angle.

    Args:
        dynamics: how it differs from the shipped model.
    """

    def __init__(self, dynamics: CarDynamics) -> None:
        self.model = _model(dynamics)
        self.data = mujoco.MjData(self.model)
        self._offset_rad = dynamics.steering_offset_rad
        self._substeps = round(TICK_S / self.model.opt.timestep)
        self._body = self.model.body("base_link").id
        self._drive = self.model.actuator("drive_shaft").id
        self._steer = [self.model.actuator(f"front_{side}_steer").id for side in ("left", "right")]
        mujoco.mj_forward(self.model, self.data)

    def step(self, torque: float, steering: float) -> None:
        """One tick with `torque` [Nm] at the shaft and the servo at `steering` [rad], of a wheel in the middle."""
        self.data.ctrl[self._drive] = torque
        tangent = math.tan(steering + self._offset_rad)
        for actuator, side in zip(self._steer, (-1.0, 1.0), strict=True):
            # Ackermann: all wheels turn about one point on the rear axle, at wheelbase / tan(steering).
            self.data.ctrl[actuator] = math.atan2(_WHEELBASE * tangent, _WHEELBASE + side * 0.5 * _TRACK * tangent)
        mujoco.mj_step(self.model, self.data, self._substeps)

    @property
    def shaft_angle(self) -> float:
        """Mean angle of the rear wheels [rad]."""
        return float(self.data.tendon("drive_shaft").length[0])

    @property
    def shaft_speed(self) -> float:
        """[rad/s]."""
        return float(self.data.tendon("drive_shaft").velocity[0])

    @property
    def pose(self) -> tuple[float, float, float]:
        """x, y [m] and heading [rad]."""
        rotation = self.data.xmat[self._body].reshape(3, 3)
        x, y, _ = self.data.xpos[self._body]
        return float(x), float(y), math.atan2(rotation[1, 0], rotation[0, 0])

    @property
    def speed(self) -> float:
        """Speed over the floor [m/s]."""
        return float(np.hypot(self.data.qvel[0], self.data.qvel[1]))


def _model(dynamics: CarDynamics) -> mujoco.MjModel:
    """The shipped scene with the hidden changes."""
    model = mujoco.MjModel.from_xml_path(str(SCENE))
    model.body_mass[:] *= dynamics.mass_factor
    model.body_inertia[:] *= dynamics.mass_factor
    for name in _WHEELS:
        model.geom(name).size[0] *= dynamics.wheel_factor
        model.geom(name).friction[0] *= dynamics.friction_factor
        model.geom(name).priority[0] = 1
    mujoco.mj_setConst(model, mujoco.MjData(model))
    return model
