"""A person's device as a corrector: the policy's own action, the dead-man switch, silence, and the keys as a judge."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from controllers.kinematics import SerialChain
from hardware.clock import VirtualClock
from hardware.errors import ConfigError, DeviceFaultError, DeviceNotConnectedError, StaleDataError
from hardware.records import RobotState
from hardware.teleoperator import OperatorCommand, OperatorEvent
from hardware.ur5e import SCENE, UR5E
from robostack.tasks.panda_pick_cube import PandaPickCube, PandaPickCubeConfig
from robostack.tasks.panda_tool import ToolMotionConfig
from robostack.tasks.ur5e_reach import Ur5eReach, Ur5eReachConfig
from robostack.teleoperation import device_operator
from robostack.teleoperation.device_operator import DeviceOperator


class Device:
    """Says what it is told to say, at the time of the clock."""

    def __init__(self, clock: VirtualClock) -> None:
        self.clock, self.sequence, self.gone = clock, 0, False
        self.say(enabled=False)

    def say(self, enabled: bool, events: tuple[OperatorEvent, ...] = (), **parts: object) -> None:
        self.sequence += 1
        self.newest = OperatorCommand(self.clock.now(), self.sequence, enabled, events=events, **parts)

    def read(self) -> OperatorCommand:
        if self.gone:
            raise DeviceNotConnectedError("device", "nowhere", "the cable")
        command, self.newest = self.newest, dataclasses.replace(self.newest, events=())
        return command


def at(task, clock: VirtualClock) -> tuple[np.ndarray, np.ndarray, RobotState, dict]:
    position = np.array(task.spec.default_position)
    action = np.zeros(sum(len(term.elements) for term in task.action))
    return np.zeros(1), action, RobotState(clock.now(), position, np.zeros_like(position)), {}


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(50.0)


def test_a_tool_velocity_becomes_the_displacement_of_one_period_and_the_gripper_its_level(clock):
    task = PandaPickCube(PandaPickCubeConfig(motion=ToolMotionConfig(step_m=0.03, turn_rad=0.1)))
    device = Device(clock)
    operator = DeviceOperator(device, task, clock)
    assert operator.correct(*at(task, clock)) is None
    linear, angular = np.array([0.15, -0.03, 0.9]), np.array([5.0, 5.0, -0.4])
    device.say(True, tool_linear_velocity=linear, tool_angular_velocity=angular, gripper=0.0)
    # 0.1 s of 0.15 m/s are half a step of 0.03 m; upwards the bound is met; -0.04 rad of 0.1; hand shut is +1.
    np.testing.assert_allclose(operator.correct(*at(task, clock)), [0.5, -0.1, 1.0, -0.4, 1.0])
    device.say(True, tool_linear_velocity=linear, gripper=1.0)
    np.testing.assert_allclose(operator.correct(*at(task, clock)), [0.5, -0.1, 1.0, 0.0, -1.0])
    device.say(True, tool_linear_velocity=linear)
    assert operator.correct(*at(task, clock))[-1] == 0.0
    assert (operator.steps, operator.corrected, operator.share) == (4, 3, 0.75)


def test_velocities_are_scaled_without_the_period_and_turned_into_the_tools_frame(clock):
    task = Ur5eReach()
    device = Device(clock)
    velocity = np.array([0.06, 0.12, -0.03])
    device.say(True, tool_linear_velocity=velocity)
    np.testing.assert_allclose(DeviceOperator(device, task, clock).correct(*at(task, clock)), velocity / 0.3)
    task.action = (dataclasses.replace(task.action[0], frame=str(UR5E.tool_frame)),)
    chain = SerialChain.from_mjcf(SCENE, UR5E.joint_names, str(UR5E.tool_frame), UR5E.base_frame)
    found = DeviceOperator(device, task, clock).correct(*at(task, clock))
    np.testing.assert_allclose(chain.forward(UR5E.default_position)[1] @ found, velocity / 0.3, atol=1e-12)
    assert not np.allclose(found, velocity / 0.3)


def test_the_policy_has_control_at_the_first_step_after_the_switch_was_let_go(clock):
    task, device = Ur5eReach(), Device(clock)
    operator = DeviceOperator(device, task, clock)
    device.say(True, tool_linear_velocity=np.ones(3))
    assert operator.correct(*at(task, clock)) is not None
    clock.advance(0.2)
    assert operator.correct(*at(task, clock)) is not None  # one reading missed
    device.say(False, tool_linear_velocity=np.ones(3))
    assert operator.correct(*at(task, clock)) is None


def test_silence_ends_the_episode_only_while_the_switch_is_held(clock):
    task, device = Ur5eReach(), Device(clock)
    operator = DeviceOperator(device, task, clock)
    device.gone = True
    clock.advance(5.0)
    assert operator.correct(*at(task, clock)) is None
    device.gone = False
    device.say(True, tool_linear_velocity=np.ones(3))
    assert operator.correct(*at(task, clock)) is not None
    device.gone = True
    clock.advance(0.3)
    with pytest.raises(StaleDataError, match="in control"):
        operator.correct(*at(task, clock))
    assert operator.correct(*at(task, clock)) is None  # the next episode is the policy's
    device.gone = False
    device.say(True, tool_linear_velocity=np.array([0.0, np.nan, 0.0]))
    assert operator.correct(*at(task, clock)) is None


def test_keys_judge_once_and_a_stop_holds_until_reset(clock):
    task, device = Ur5eReach(), Device(clock)
    operator = DeviceOperator(device, task, clock)
    assert operator.verdict() is None
    device.say(False, (OperatorEvent.SUCCESS,))
    assert [operator.verdict(), operator.verdict()] == [True, None]
    device.say(False, (OperatorEvent.FAILURE,))
    operator.correct(*at(task, clock))
    assert operator.verdict() is False
    device.say(False, (OperatorEvent.SUCCESS, OperatorEvent.STOP))
    with pytest.raises(DeviceFaultError, match="stop"):
        operator.correct(*at(task, clock))
    operator.reset()  # the next episode
    assert operator.verdict() is None
    with pytest.raises(DeviceFaultError, match="stop"):
        operator.correct(*at(task, clock))
    device.say(False, (OperatorEvent.RESET,))
    assert operator.correct(*at(task, clock)) is None
    device.say(False, (OperatorEvent.RESET, OperatorEvent.STOP))
    operator.listen()
    assert operator.stopped


def test_a_leader_arm_cannot_correct(clock):
    device = Device(clock)
    device.say(True, joint_position=np.zeros(6))
    with pytest.raises(DeviceFaultError, match="leader arm"):
        DeviceOperator(device, Ur5eReach(), clock).correct(*at(Ur5eReach(), clock))


def test_an_action_that_no_device_moves_is_refused(clock):
    with pytest.raises(ConfigError, match="joint_velocity"):
        DeviceOperator(Device(clock), Ur5eReach(Ur5eReachConfig(action="joint_velocity")), clock)


def test_devices_are_opened_by_name_at_the_tasks_robot(clock, monkeypatch):
    @dataclasses.dataclass(frozen=True)
    class Config:
        robot: str = ""

    class Entry:
        def config_type(self):
            return Config

        def open(self, config):
            opened.append(config.robot)
            device = Device(clock)
            device.connect = lambda: opened.append("connected")
            device.disconnect = lambda: opened.append("closed")
            return device

    opened: list[str] = []
    monkeypatch.setattr(device_operator.TELEOPERATORS, "load", lambda name: Entry())
    operator = device_operator.open_operator("puck", Ur5eReach())
    operator.close()
    assert opened == ["ur5e", "connected", "closed"]
