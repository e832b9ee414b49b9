"""The mechanics of the virtual Create 2: base, room and what its switches feel."""

from __future__ import annotations

import math
from collections import deque
from typing import Literal

import mujoco
import numpy as np

from hardware.create2 import SCENE
from sim.devices.create2.config import BaseDynamics

TICK_S = 0.005
"""Time that one call of `World.step` stands for [s]."""
_WHEEL_RADIUS = 0.036
_CLIFF_M = 0.04
"""A cliff sensor reports when the floor below it is farther away than this; the real ones react at 3 to 5 cm."""
_DROP_M = 0.05
_FRONT_RAD = math.radians(10.0)
"""A touch this close to the middle presses both halves of the bumper."""
_SIDE_RAD = math.radians(100.0)
WHEELS = ("left_wheel", "right_wheel")
_LIGHT_BUMPS_RAD = tuple(math.radians(degrees) for degrees in (65.0, 38.0, 13.0, -13.0, -38.0, -65.0))
"""Directions in which the light bumpers look, from left to right; not published, read off pictures."""
_SHELL_RADIUS, _LIGHT_HEIGHT = 0.17, 0.05
_LIGHT_FADES_M = 0.05
"""Distance from the shell at which a quarter of the light comes back; chosen: the real one depends on the surface."""
LIGHT_FULL = 4095
CLIFFS = ("cliff_left", "cliff_front_left", "cliff_front_right", "cliff_right")


class World:
    """A base in its room.

    Args:
        dynamics: how the base differs from the shipped model.
        x: start position [m].
        y: start position [m].
        heading: start heading [rad].
        room: what is at x = 1.5 m, an edge or a wall.
    """

    def __init__(
        self, dynamics: BaseDynamics, x: float, y: float, heading: float, room: Literal["edge", "walled"] = "edge"
    ) -> None:
        self.model = _model(dynamics, room)
        self.data = mujoco.MjData(self.model)
        self.data.qpos[:7] = (x, y, 0.0, math.cos(heading / 2), 0.0, 0.0, math.sin(heading / 2))
        self._substeps = round(TICK_S / self.model.opt.timestep)
        self._body = self.model.body("base_footprint").id
        self._shell = self.model.geom("shell").id
        self._floor = {self.model.geom(name).id for name in ("floor", "ground")}
        self._sites = [self.model.site(name).id for name in CLIFFS]
        self._joints = [self.model.joint(name).qposadr[0] for name in WHEELS]
        self._actuators = [self.model.actuator(name).id for name in WHEELS]
        self._in_flight = deque([(0.0, 0.0)] * round(dynamics.command_delay_s / TICK_S))
        mujoco.mj_forward(self.model, self.data)

    def step(self, left: float, right: float) -> None:
        """One tick with the wheels told to run at `left` and `right` [m/s]."""
        self._in_flight.append((left, right))
        for actuator, speed in zip(self._actuators, self._in_flight.popleft(), strict=True):
            self.data.ctrl[actuator] = speed / _WHEEL_RADIUS
        mujoco.mj_step(self.model, self.data, self._substeps)

    @property
    def wheel_angles(self) -> tuple[float, float]:
        """Left and right [rad]."""
        return float(self.data.qpos[self._joints[0]]), float(self.data.qpos[self._joints[1]])

    @property
    def pose(self) -> tuple[float, float, float]:
        """x, y [m] and heading [rad] in the room."""
        rotation = self.data.xmat[self._body].reshape(3, 3)
        x, y, _ = self.data.xpos[self._body]
        return float(x), float(y), math.atan2(rotation[1, 0], rotation[0, 0])

    @property
    def speed(self) -> float:
        """Speed over the floor [m/s]."""
        return float(np.hypot(self.data.qvel[0], self.data.qvel[1]))

    def cliffs(self) -> tuple[bool, ...]:
        """Left, front left, front right, right: whether there is no floor."""
        return tuple(self._depth(self.data.site_xpos[site]) > _CLIFF_M for site in self._sites)

    def wheel_drops(self) -> tuple[bool, bool]:
        """Left and right: whether the wheel hangs."""
        left, right = (self._depth(self.data.xpos[self.model.body(name).id]) > _DROP_M for name in WHEELS)
        return left, right

    def bumps(self) -> tuple[bool, bool]:
        """Left and right half of the bumper: whether something presses on it."""
        left = right = False
        rotation = self.data.xmat[self._body].reshape(3, 3)
        for contact in self.data.contact[: self.data.ncon]:
            pair = {int(contact.geom[0]), int(contact.geom[1])}
            if self._shell in pair and not pair & self._floor:
                x, y, _ = rotation.T @ (contact.pos - self.data.xpos[self._body])
                angle = math.atan2(y, x)
                left |= -_FRONT_RAD < angle < _SIDE_RAD
                right |= -_SIDE_RAD < angle < _FRONT_RAD
        return left, right

    def light_bumps(self) -> tuple[int, ...]:
        """Light that comes back to each light bumper from what stands in its way, 0 to 4095, from left to right."""
        rotation, place = self.data.xmat[self._body].reshape(3, 3), self.data.xpos[self._body]
        signals = []
        for angle in _LIGHT_BUMPS_RAD:
            direction = rotation @ np.array([math.cos(angle), math.sin(angle), 0.0])
            sensor = place + _SHELL_RADIUS * direction + np.array([0.0, 0.0, _LIGHT_HEIGHT])
            distance = self._distance(sensor, direction)
            signals.append(int(LIGHT_FULL * (_LIGHT_FADES_M / (_LIGHT_FADES_M + distance)) ** 2))
        return tuple(signals)

    def _depth(self, place: np.ndarray) -> float:
        """Distance from `place`, (3,) [m], down to the floor [m]."""
        return self._distance(place, np.array([0.0, 0.0, -1.0]))

    def _distance(self, place: np.ndarray, direction: np.ndarray) -> float:
        """Distance from `place`, (3,) [m], to what is in `direction`, (3,) of length 1 [m]; inf for nothing."""
        geom = np.zeros(1, dtype=np.int32)
        distance = mujoco.mj_ray(self.model, self.data, place, direction, None, 1, self._body, geom)
        return math.inf if distance < 0.0 else float(distance)


def _model(dynamics: BaseDynamics, room: Literal["edge", "walled"]) -> mujoco.MjModel:
    """The shipped scene with the hidden changes."""
    scene = mujoco.MjSpec.from_file(str(SCENE))
    if room == "walled":
        size, place = (0.02, 1.5, 0.1), (1.5, 0.0, 0.1)
        scene.worldbody.add_geom(name="wall_front", type=mujoco.mjtGeom.mjGEOM_BOX, size=size, pos=place)
    model = scene.compile()
    model.body_mass[:] *= dynamics.mass_factor
    model.body_inertia[:] *= dynamics.mass_factor
    for name, factor in zip(WHEELS, (dynamics.left_wheel_factor, dynamics.right_wheel_factor), strict=True):
        model.geom(name).size[0] *= factor
    mujoco.mj_setConst(model, mujoco.MjData(model))
    return model
