"""A Create 2 in its room without serial line, ROS or real time, under its tracking controller and safety filter."""

from __future__ import annotations

import math

import numpy as np

from controllers.base import BaseSafetyFilter, BaseTrackingController
from controllers.reference import BaseReference
from hardware.create2 import CREATE2
from hardware.create2.spec import AXLE_LENGTH, CONTACTS, PROXIMITY
from hardware.records import RobotMode, RobotState
from robostack.runner import EpisodeRunner, Phase
from sim.devices.create2.config import NOMINAL, BaseDynamics
from sim.devices.create2.world import LIGHT_FULL, TICK_S, World

TICKS = round(1.0 / (CREATE2.control_rate_hz * TICK_S))


class Room:
    """The base and the time; `follow` moves both on."""

    def __init__(self, x=0.0, y=0.0, heading=0.0, room="walled", dynamics: BaseDynamics = NOMINAL) -> None:
        self.world = World(dynamics, x, y, heading, room)
        self.controller, self.filter = BaseTrackingController(CREATE2), BaseSafetyFilter(CREATE2)
        self.now_s = 100.0
        self._speed = self._yaw_rate = 0.0
        self._cliff = False
        state = self.state()
        self.controller.reset(state)
        self.filter.reset(state)

    def state(self) -> RobotState:
        x, y, heading = self.world.pose
        switches = (*self.world.bumps(), *self.world.wheel_drops(), *self.world.cliffs())
        lights = self.world.light_bumps()
        self._cliff = self._cliff or any(switches[2:])
        return RobotState(
            capture_time_s=self.now_s,
            joint_position=np.zeros(0),
            joint_velocity=np.zeros(0),
            base_position=np.array([x, y, 0.0]),
            base_quaternion=np.array([math.cos(heading / 2), 0.0, 0.0, math.sin(heading / 2)]),
            base_linear_velocity=np.array([self._speed, 0.0, 0.0]),
            base_angular_velocity=np.array([0.0, 0.0, self._yaw_rate]),
            mode=RobotMode.PROTECTIVE_STOP if self._cliff else RobotMode.RUNNING,
            contacts=dict(zip(CONTACTS, switches, strict=True)),
            proximity={name: light / LIGHT_FULL for name, light in zip(PROXIMITY, lights, strict=True)},
        )

    def follow(self, reference: BaseReference, duration_s: float) -> None:
        self.controller.set_reference(reference)
        end_s = self.now_s + duration_s
        while self.now_s < end_s - 1e-9:
            state = self.state()
            stale_s = self.now_s - reference.created_s - reference.horizon_s
            command = self.filter.apply(self.controller.update(state, self.now_s), state, stale_s, self.now_s).command
            if command is None:
                self._speed = self._yaw_rate = 0.0
            else:
                self._speed, self._yaw_rate = float(command.linear_velocity[0]), float(command.yaw_rate)
            half = 0.5 * AXLE_LENGTH * self._yaw_rate
            for _ in range(TICKS):
                self.world.step(self._speed - half, self._speed + half)
            self.now_s += TICKS * TICK_S


def run_until(room: Room, runner: EpisodeRunner, phase: Phase, limit: int = 2000) -> None:
    """Run steps of the task until the runner is in `phase`."""
    for _ in range(limit):
        tick(room, runner)
        if runner.phase is phase:
            return
    raise AssertionError(f"still in {runner.phase} after {limit} steps")


def tick(room: Room, runner: EpisodeRunner) -> None:
    reference = runner.step(room.state(), room.now_s)
    if reference is not None:
        room.follow(reference, runner.task.control_period_s)
