"""Holding a key closes the jaw of the virtual SO-101 around a cube and does not overload the servo."""

from __future__ import annotations

import numpy as np
import pytest

from controllers.reference import JointReference
from controllers.tracking import JointTrackingController
from hardware.records import RobotState
from hardware.so101 import PICK_CUBE, SO101
from robostack.tasks.so101_pick_cube import So101PickCube
from robostack.teleoperation.coupling import CouplingConfig
from robostack.teleoperation.gripper import OperatorGripper
from sim.devices.so101.arm import Arm, Drive
from sim.devices.so101.config import random_dynamics

JAW = SO101.joint_names.index("gripper")
OVERLOAD = 0.8 * SO101.effort_max[JAW]
"""Where the servo's protection begins to count [Nm]; after two seconds of it the jaw goes limp."""


def held(seed: int, seconds: float, config: CouplingConfig) -> tuple[Arm, float]:
    """The arm after a key was held, and the longest time for which the jaw was overloaded [s]."""
    start = So101PickCube().joints_at(np.array([[0.21, 0.0, 0.014]]))[0]
    start[JAW] = 0.6
    arm = Arm(random_dynamics(seed), start, seed, True, PICK_CUBE)
    arm.data.joint("cube").qpos[:] = [0.21, 0.0, 0.012, 1.0, 0.0, 0.0, 0.0]
    controller, gripper, now_s = JointTrackingController(SO101), OperatorGripper(SO101, config), 0.0
    controller.reset(RobotState(now_s, arm.position, arm.velocity))
    overloaded = longest = 0.0
    for _ in range(round(seconds / 0.02)):
        state = RobotState(now_s, arm.measured_position(), arm.velocity)
        velocity = np.zeros(6)
        velocity[JAW] = gripper.velocity(0.0, state, 1.0)
        controller.set_reference(JointReference("velocity", velocity, 0.02, created_s=now_s))
        for _ in range(2):
            position = controller.update(RobotState(now_s, arm.measured_position(), arm.velocity), now_s).position
            for _ in range(5):
                arm.step(Drive(position, np.full(6, 1e3), np.ones(6)))
                overloaded = overloaded + 0.002 if abs(arm.torque[JAW]) > OVERLOAD else 0.0
                longest = max(longest, overloaded)
            now_s += 0.01
    return arm, longest


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_jaw_holds_the_cube_and_the_servo_is_not_overloaded(seed):
    arm, longest = held(seed, 4.0, CouplingConfig())
    assert -OVERLOAD < arm.torque[JAW] < -0.3, "it squeezes"
    assert arm.position[JAW] > -0.1, "the cube is between the jaws"
    assert longest < 1.5


def test_asked_to_be_far_ahead_it_is_overloaded():
    _, longest = held(0, 4.0, CouplingConfig(gripper_squeeze=0.05))
    assert longest > 2.0
