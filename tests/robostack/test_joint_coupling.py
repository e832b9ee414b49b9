"""A leader arm and a robot: aligned first, coupled by a ramp, smooth, bounded; on a virtual clock."""

from __future__ import annotations

import numpy as np
import pytest
from test_coupling import PERIOD_S, SO101, Follower

from robostack.teleoperation.coupling import CouplingConfig

SPEC = SO101.spec
START = np.array(SPEC.default_position)
AWAY = START + np.array([0.5, 0.0, -0.2, 0.0, 0.0, 0.0])


def test_a_robot_that_is_elsewhere_moves_slowly_until_both_agree():
    robot = Follower(SO101)
    said = []
    for _ in range(150):
        said.append(robot.step(joint_position=AWAY).message)
        if said[-1]:
            assert np.max(np.abs(robot.velocity)) <= 0.2 + 1e-9
    assert said[0] == "aligning: shoulder_pan is 0.50 rad away"
    # 0.4 rad at 0.2 rad/s are 2 s = 100 periods; then coupled.
    aligned = said.index("")
    assert 100 <= aligned <= 112
    np.testing.assert_allclose(robot.position, AWAY, atol=2e-3)


def test_waiting_instead_moves_nothing_until_the_leader_has_come():
    robot = Follower(SO101, config=CouplingConfig(align="wait"))
    for _ in range(5):
        coupled = robot.step(joint_position=AWAY)
        assert (coupled.reference, coupled.enabled) == (None, False)
    assert coupled.message == "bring the leader to the robot: shoulder_pan is 0.50 rad away"
    assert robot.step(joint_position=START + 0.05).enabled
    assert robot.step(joint_position=START + 0.3).enabled, "once aligned, it follows"


def test_the_motion_begins_at_the_measured_pose_without_a_jump():
    robot = Follower(SO101, start=START + 0.08)
    steps = []
    for _ in range(30):
        before = robot.position.copy()
        robot.step(joint_position=START)
        steps.append(np.max(np.abs(robot.position - before)))
    assert steps[0] < 2e-3
    accelerations = np.abs(np.diff(np.array(robot.positions), n=2, axis=0)) / PERIOD_S**2
    assert np.all(accelerations <= SPEC.acceleration_max * 1.05)


def test_it_follows_a_moving_leader_with_the_lag_of_the_filter_and_without_overshoot():
    robot = Follower(SO101)
    leader = START.copy()
    for _ in range(150):
        leader[0] = START[0] + 0.4 * (robot.now_s - 100.0)
        robot.step(joint_position=leader.copy())
    lag_s = (leader[0] - robot.position[0]) / 0.4
    assert lag_s == pytest.approx(1.0 / (np.pi * 4.0) - PERIOD_S, abs=0.025)
    top = leader[0]
    for _ in range(60):
        robot.step(joint_position=leader.copy())
    assert np.max(np.array(robot.positions)[:, 0]) <= top + 2e-3
    assert robot.position[0] == pytest.approx(top, abs=1e-3)


def test_a_jerk_of_the_leader_is_followed_at_bounded_speed():
    robot = Follower(SO101)
    robot.step(joint_position=START)
    for _ in range(100):
        coupled = robot.step(joint_position=START + np.array([1.5, 0, 0, 0, 0, 0]))
        assert np.all(np.abs(robot.velocity) <= 0.5 * SPEC.velocity_max + 1e-9)
        assert np.all(np.abs(coupled.reference.velocity) <= 0.5 * SPEC.velocity_max + 1e-9)
    assert robot.position[0] == pytest.approx(START[0] + 1.5, abs=0.02)


def test_a_leader_outside_the_range_is_followed_to_the_range():
    robot = Follower(SO101)
    robot.step(joint_position=START)
    for _ in range(300):
        robot.step(joint_position=START + 10.0)
    np.testing.assert_allclose(robot.position, SPEC.position_max, atol=5e-3)
    assert np.all(robot.position <= SPEC.position_max)


def test_letting_go_means_aligning_again():
    robot = Follower(SO101)
    for _ in range(10):
        robot.step(joint_position=START)
    robot.step(enabled=False, joint_position=AWAY)
    assert robot.step(joint_position=AWAY).message.startswith("aligning")


def test_a_leader_of_another_robot_is_refused_in_words():
    robot = Follower(SO101)
    coupled = robot.step(joint_position=np.zeros(7))
    assert (coupled.reference, coupled.message) == (None, "the leader has 7 joints, so101 has 6")
