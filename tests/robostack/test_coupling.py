"""Dead-man switch, staleness, ramps and limits of the coupling, on a virtual clock and a robot that follows exactly."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from controllers.kinematics import SerialChain
from hardware.errors import ConfigError
from hardware.records import RobotState
from hardware.robot import ROBOTS
from hardware.teleoperator import OperatorCommand
from robostack.teleoperation.coupling import CouplingConfig, OperatorCoupling, shortened
from robostack.teleoperation.gripper import OperatorGripper

PERIOD_S = 0.02
UR5E = ROBOTS.load("ur5e")
SO101 = ROBOTS.load("so101")
FORWARD = np.array([0.1, 0.0, 0.0])


def command(now_s: float, sequence: int, **values) -> OperatorCommand:
    return OperatorCommand(now_s, sequence, **{"enabled": True, **values})


class Follower:
    """A robot that does exactly what it is told, under one coupling."""

    def __init__(self, entry, start=None, config: CouplingConfig | None = None) -> None:
        self.coupling = OperatorCoupling(entry, config)
        self.position = np.array(entry.spec.default_position if start is None else start, dtype=np.float64)
        self.velocity = np.zeros_like(self.position)
        self.now_s, self.sequence = 100.0, 0
        self.positions = [self.position.copy()]

    def step(self, read: OperatorCommand | None = None, **values):
        self.now_s += PERIOD_S
        self.sequence += 1
        given = command(self.now_s, self.sequence, **values) if read is None else read
        coupled = self.coupling.step(given, self.state(), self.now_s)
        reference = coupled.reference
        before = self.position
        if reference is not None and reference.mode == "velocity":
            self.position = before + PERIOD_S * reference.value
        elif reference is not None:
            self.position = reference.value - (reference.horizon_s - PERIOD_S) * reference.velocity
        self.velocity = (self.position - before) / PERIOD_S
        self.positions.append(self.position.copy())
        return coupled

    def state(self) -> RobotState:
        return RobotState(self.now_s, self.position, self.velocity)


def test_nothing_moves_without_the_dead_man_switch():
    robot = Follower(UR5E)
    for _ in range(5):
        coupled = robot.step(enabled=False, tool_linear_velocity=FORWARD)
        assert (coupled.reference, coupled.enabled) == (None, False)


def test_the_tool_takes_up_the_operators_speed_in_a_ramp_and_keeps_direction_and_orientation():
    robot = Follower(UR5E)
    chain = SerialChain.from_mjcf(UR5E.model, UR5E.spec.joint_names, "tool0", "base")
    tools, turns = [], []
    for _ in range(50):
        assert robot.step(tool_linear_velocity=FORWARD).enabled
        position, rotation = chain.forward(robot.position)
        tools.append(position)
        turns.append(rotation)
    speeds = np.diff(np.array(tools), axis=0) / PERIOD_S
    # The factor rises from 1/15 to 1 in 0.3 s = 15 periods.
    np.testing.assert_allclose(speeds[:14, 0], 0.1 * np.arange(2, 16) / 15, atol=2e-3)
    np.testing.assert_allclose(speeds[20:], np.tile(FORWARD, (29, 1)), atol=1e-3)
    np.testing.assert_allclose(turns[-1], turns[0], atol=2e-3)


def test_the_first_period_begins_at_the_measured_pose():
    robot = Follower(UR5E)
    value = robot.step(tool_linear_velocity=FORWARD).reference.value
    assert np.max(np.abs(value)) * PERIOD_S < 1e-3


def test_speeds_are_bounded_for_the_tool_and_for_every_joint():
    config = CouplingConfig(ramp_s=0.0, joint_speed_share=0.2)
    robot = Follower(UR5E, config=config)
    chain = SerialChain.from_mjcf(UR5E.model, UR5E.spec.joint_names, "tool0", "base")
    before = chain.forward(robot.position)[0]
    robot.step(tool_linear_velocity=np.array([0.0, 3.0, 0.0]))
    assert np.linalg.norm(chain.forward(robot.position)[0] - before) / PERIOD_S <= 0.25 + 1e-3
    for _ in range(20):
        robot.step(tool_angular_velocity=np.array([0.0, 0.0, 50.0]))
        assert np.all(np.abs(robot.velocity) <= 0.2 * UR5E.spec.velocity_max + 1e-6)


def test_it_comes_to_rest_in_front_of_a_wall_of_the_workspace():
    robot = Follower(UR5E)
    chain = SerialChain.from_mjcf(UR5E.model, UR5E.spec.joint_names, "tool0", "base")
    for _ in range(400):
        robot.step(tool_linear_velocity=np.array([0.0, 0.0, 0.2]))
    height = chain.forward(robot.position)[0][2]
    assert UR5E.spec.workspace_max[2] - 0.03 < height < UR5E.spec.workspace_max[2]


def test_an_old_command_lets_the_robot_hold_and_a_new_one_ramps_again():
    robot = Follower(UR5E)
    for _ in range(20):
        robot.step(tool_linear_velocity=FORWARD)
    last = command(robot.now_s, robot.sequence, tool_linear_velocity=FORWARD)
    held = [robot.step(last) for _ in range(14)]
    assert all(coupled.enabled for coupled in held[:12])
    assert not held[-1].enabled
    assert "ms old" in held[-1].message
    robot.sequence += 5
    again = robot.step(tool_linear_velocity=FORWARD)
    assert again.enabled
    assert np.max(np.abs(again.reference.value)) < 0.05, "the ramp begins anew"


def test_a_device_that_cannot_be_read_is_silence():
    robot = Follower(UR5E)
    robot.step(tool_linear_velocity=FORWARD)
    for _ in range(20):
        robot.now_s += PERIOD_S
        coupled = robot.coupling.step(None, robot.state(), robot.now_s)
    assert not coupled.enabled


def test_lost_repeated_and_overtaken_commands_are_counted():
    robot = Follower(UR5E)
    coupling = robot.coupling
    for time_s, sequence in ((1.0, 1), (1.02, 2), (1.08, 5), (1.08, 5), (1.06, 4), (1.1, 6)):
        coupling.step(command(time_s, sequence, tool_linear_velocity=FORWARD), robot.state(), time_s)
    assert (coupling.lost, coupling.repeated) == (2, 2)


@pytest.mark.parametrize("field", ["tool_linear_velocity", "tool_angular_velocity", "gripper", "joint_position"])
def test_what_is_not_finite_moves_nothing(field):
    robot = Follower(SO101)
    bad = np.nan if field == "gripper" else np.full(6 if field == "joint_position" else 3, np.inf)
    coupled = robot.step(**{"tool_linear_velocity": FORWARD, field: bad})
    assert (coupled.reference, coupled.message) == (None, "the operator's command is not finite")


def test_an_arm_of_five_joints_follows_in_position():
    robot = Follower(SO101)
    spec = SO101.spec
    chain = SerialChain.from_mjcf(SO101.model, spec.joint_names, str(spec.tool_frame), spec.base_frame)
    before = chain.forward(robot.position)[0]
    for _ in range(50):
        robot.step(tool_linear_velocity=np.array([0.0, 0.0, 0.05]))
    moved = chain.forward(robot.position)[0] - before
    assert moved[2] == pytest.approx(0.05 * (50 - 7) * PERIOD_S, rel=0.1)  # the ramp costs half of 15 periods
    assert np.linalg.norm(moved[:2]) < 0.01


def test_the_gripper_goes_where_it_is_told_at_bounded_speed_and_stays_otherwise():
    robot = Follower(SO101)
    index = SO101.spec.joint_names.index("gripper")
    joint = SO101.spec.joints[index]
    span = joint.position_max - joint.position_min
    for _ in range(10):
        robot.step(tool_linear_velocity=FORWARD * 0.1)
    assert robot.position[index] == joint.default_position
    for _ in range(100):
        robot.step(gripper=1.0)
        assert abs(robot.velocity[index]) <= 0.8 * span + 1e-9
    assert robot.position[index] == pytest.approx(joint.position_max, abs=0.02)
    for _ in range(150):
        robot.step(gripper=0.0)
    assert robot.position[index] == pytest.approx(joint.position_min, abs=0.02)
    assert OperatorGripper(UR5E.spec, CouplingConfig()).velocity(1.0, Follower(UR5E).state(), 1.0) == 0.0


def test_a_robot_on_wheels_drives_and_turns():
    create2 = ROBOTS.load("create2")
    coupling = OperatorCoupling(create2, CouplingConfig(ramp_s=0.0))
    state = RobotState(1.0, np.zeros(0), np.zeros(0))
    driven = coupling.step(command(1.0, 1, tool_linear_velocity=np.array([0.05, 0.02, 0.0])), state, 1.0).reference
    assert driven.linear_velocity == pytest.approx(0.15)
    assert driven.yaw_rate == pytest.approx(0.1)
    fast = command(1.02, 2, tool_linear_velocity=np.array([-9.0, 0, 0]), tool_angular_velocity=np.array([0, 0, 99.0]))
    driven = coupling.step(fast, state, 1.02).reference
    assert driven.linear_velocity == -create2.spec.base.backward_max
    assert driven.yaw_rate == create2.spec.base.yaw_rate_max


def test_a_robot_without_a_tool_is_refused_in_words():
    coupling = OperatorCoupling(ROBOTS.load("go1"))
    state = RobotState(1.0, np.zeros(12), np.zeros(12))
    with pytest.raises(ConfigError, match="go1 has no tool"):
        coupling.step(command(1.0, 1, tool_linear_velocity=FORWARD), state, 1.0)
    bare = dataclasses.replace(UR5E, spec=dataclasses.replace(UR5E.spec, joints=()))
    with pytest.raises(ConfigError, match="nothing to move"):
        OperatorCoupling(bare)


def test_vectors_are_shortened_and_settings_checked():
    np.testing.assert_allclose(shortened(np.array([3.0, 4.0]), 2.5), [1.5, 2.0])
    np.testing.assert_allclose(shortened(np.zeros(3), 1.0), np.zeros(3))
    with pytest.raises(ConfigError, match="rate_hz"):
        CouplingConfig(rate_hz=1000.0)
