"""A robot of numbers as a plant: resets, steps of one horizon, errors with the loop's reason."""

from __future__ import annotations

import numpy as np
import pytest
from fake_robot import PERIOD, REST, SPEC, FakeRobot

from controllers.live_plant import LivePlant, LivePlantConfig
from controllers.loop import ControlLoop, LoopConfig
from controllers.reference import JointReference
from controllers.safety import SafetyFilter
from controllers.tracking import JointTrackingController
from hardware.clock import VirtualClock
from hardware.errors import ConfigError, DeviceError, DeviceFaultError
from hardware.records import RobotMode

GOAL = np.array([0.5, -0.2, 0.1, -0.4, 0.6, 1.0])


def make():
    clock = VirtualClock(3.0)
    config = LoopConfig(recorded_samples=10000)
    loop = ControlLoop(FakeRobot(clock), JointTrackingController(SPEC), SafetyFilter(SPEC), clock, config)
    loop.begin()
    return LivePlant(loop), loop, loop.robot


def test_reset_moves_slowly_and_ends_at_rest():
    plant, loop, robot = make()
    state = plant.reset(GOAL, np.zeros(6))
    np.testing.assert_allclose(state.joint_position, GOAL, atol=1e-3)
    np.testing.assert_allclose(state.joint_velocity, 0.0, atol=0.02)
    speeds = np.abs([sample.state.joint_velocity for sample in loop.recorded()])
    assert 0.3 < speeds.max() <= 0.2 * 2.0 * 1.01
    loop.run_until(loop.clock.now() + 5.0)  # and may rest there
    assert loop.fault is None and plant.batch_shape == () and plant.spec is robot.spec


def test_follow_returns_at_the_end_of_each_horizon_and_keeps_the_phase():
    plant, loop, _ = make()
    begin, ends = loop.clock.now(), []
    for index in range(20):
        if index == 7:
            loop.clock.advance(0.011)  # a policy that took a while
        state = plant.follow(JointReference("velocity", np.full(6, 0.05), 0.04))
        ends.append(loop.clock.now() - begin)
    np.testing.assert_allclose(ends, 0.04 * np.arange(1, 21), atol=1.5 * PERIOD)
    np.testing.assert_allclose(state.joint_velocity, 0.05, atol=2e-3)


def test_errors_carry_the_reason():
    plant, _, robot = make()
    robot.mode, robot.detail = RobotMode.PROTECTIVE_STOP, "protective stop C153"
    with pytest.raises(DeviceFaultError, match="C153"):
        plant.follow(JointReference("velocity", np.zeros(6), 0.04))
    plant, _, robot = make()
    robot.lost = True
    with pytest.raises(DeviceError, match="cable"):
        plant.reset(GOAL, np.zeros(6))


def test_reset_gives_up_on_a_blocked_robot_and_names_the_joint():
    plant, _, robot = make()
    robot.blocked = True
    with pytest.raises(DeviceError, match="'twist' is 1.0000 rad away"):
        plant.reset(GOAL, np.zeros(6))


def test_refuses_what_a_physical_robot_cannot_do():
    plant, _, _ = make()
    with pytest.raises(ConfigError, match="zero velocities"):
        plant.reset(REST, np.full(6, 0.1))
    with pytest.raises(ConfigError, match="no ids"):
        plant.reset(REST, np.zeros(6), ids=np.array([0]))
    assert LivePlantConfig().reset_speed_share < 0.5
