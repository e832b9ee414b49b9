from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from hardware.records import BaseCommand, JointCommand, RobotMode, RobotState


def test_what_a_device_does_not_measure_is_none():
    state = RobotState(capture_time_s=1.0, joint_position=np.zeros(2), joint_velocity=np.zeros(2))
    given = {"capture_time_s", "joint_position", "joint_velocity", "mode", "detail"}
    absent = {field.name for field in dataclasses.fields(state) if getattr(state, field.name) is None}
    assert absent == {field.name for field in dataclasses.fields(state)} - given
    assert state.mode is RobotMode.RUNNING


def test_an_empty_command_commands_nothing():
    assert all(getattr(JointCommand(), field.name) is None for field in dataclasses.fields(JointCommand))


def test_with_position_replaces_only_the_position():
    command = JointCommand(position=np.zeros((4, 2)), velocity=np.ones((4, 2)), stiffness=np.full(2, 3.0))
    other = command.with_position(np.full((4, 2), 9.0))
    np.testing.assert_array_equal(other.position, np.full((4, 2), 9.0))
    assert other.velocity is command.velocity
    assert other.stiffness is command.stiffness
    assert other.effort is None
    np.testing.assert_array_equal(command.position, np.zeros((4, 2)))


@pytest.mark.parametrize(
    "record",
    [
        RobotState(capture_time_s=0.0, joint_position=np.zeros(1), joint_velocity=np.zeros(1)),
        JointCommand(),
        BaseCommand(linear_velocity=np.zeros(2), yaw_rate=np.zeros(())),
    ],
)
def test_records_are_frozen_and_take_no_other_fields(record):
    first = dataclasses.fields(record)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(record, first, None)
    assert not hasattr(record, "__dict__")
