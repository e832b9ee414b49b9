"""A robot that is only numbers, on a virtual clock, for the tests of this room."""

from __future__ import annotations

import math

import numpy as np
from example_arm import ARM_JOINTS

from hardware.errors import DeviceNotConnectedError
from hardware.records import JointCommand, RobotMode, RobotState
from hardware.spec import JointSpec, RobotSpec

RANGES = ((-3.0, 3.0), (-2.5, 2.5), (-0.2, 0.2), (-3.0, 3.0), (-2.0, 2.0), (-3.0, 3.0))
SPEC = RobotSpec(
    name="arm",
    joints=tuple(
        JointSpec(name, low, high, 2.0, 8.0, 200.0, 50.0, stiffness=100.0, damping=20.0)
        for name, (low, high) in zip(ARM_JOINTS, RANGES, strict=True)
    ),
    control_rate_hz=500.0,
    command_modes=("position",),
    base_frame="base",
    tool_frame="tool",
)
REST = np.array([0.0, 0.4, 0.0, 0.1, 0.3, 0.0])
PERIOD = 1.0 / SPEC.control_rate_hz


def state_at(position, time_s=0.0, velocity=None, mode=RobotMode.RUNNING):
    position = np.asarray(position, dtype=float)
    return RobotState(time_s, position, np.zeros_like(position) if velocity is None else velocity, mode=mode)


class FakeRobot:
    """Follows positions with a lag of 10 ms; records what it was told. Faults are set from outside."""

    def __init__(self, clock, position=REST):
        self.clock, self.spec = clock, SPEC
        self.position, self.velocity = np.array(position, dtype=float), np.zeros(len(position))
        self.mode, self.detail = RobotMode.RUNNING, ""
        self.lost = self.blocked = False
        self.state_delay_s = 0.0
        self.commands, self.stops = [], 0
        self.last_round_trip_s = None

    def connect(self):
        self.lost = False

    def read(self):
        if self.lost:
            raise DeviceNotConnectedError("arm", "127.0.0.1:1", "the cable")
        if self.commands and self.mode is RobotMode.RUNNING and not self.blocked:
            moved = (self.commands[-1].position - self.position) * (1.0 - math.exp(-PERIOD / 0.01))
            self.position, self.velocity = self.position + moved, moved / PERIOD
        now = self.clock.now() - self.state_delay_s
        return RobotState(now, self.position, self.velocity, mode=self.mode, detail=self.detail)

    def send(self, command: JointCommand):
        if self.lost:
            raise DeviceNotConnectedError("arm", "127.0.0.1:1", "the cable")
        self.commands.append(command)
        self.last_round_trip_s = 0.004 + 1e-6 * len(self.commands)

    def stop(self):
        self.stops += 1

    def disconnect(self):
        self.lost = True
