"""The gamepad, fed with events as the kernel writes them (24 recorded bytes below), through a named pipe."""

from __future__ import annotations

import os
import struct

import numpy as np
import pytest

from hardware.clock import VirtualClock
from hardware.errors import ConfigError, DeviceNotConnectedError, UnknownNameError
from hardware.teleoperation.gamepad import AXES, BUTTONS, Gamepad, GamepadConfig
from hardware.teleoperation.twist_config import past_dead_zone
from hardware.teleoperator import OperatorEvent

RECORDED = bytes.fromhex("1027000001000105" + "2027000001800201" + "3027000000000105")
"""RB pressed at 10 s, left stick pushed fully away, RB released."""


@pytest.fixture
def pad(tmp_path):
    path = tmp_path / "js0"
    os.mkfifo(path)
    writer = os.open(path, os.O_RDWR)  # also for reading, so that the pipe never ends
    clock = VirtualClock(5.0)
    device = Gamepad(GamepadConfig(device=str(path)), clock)
    device.connect()
    yield device, writer, clock
    device.disconnect()
    os.close(writer)


def event(kind: str, name: str, value: float, initial: bool = False) -> bytes:
    number = (AXES if kind == "axis" else BUTTONS).index(name)
    code = {"button": 1, "axis": 2}[kind] | (0x80 if initial else 0)
    return struct.pack("<IhBB", 0, int(value * 32767) if kind == "axis" else int(value), code, number)


def test_recorded_bytes_move_the_tool_while_the_shoulder_button_is_held(pad):
    device, writer, _ = pad
    os.write(writer, RECORDED[:16])
    command = device.read()
    assert command.enabled
    np.testing.assert_allclose(command.tool_linear_velocity, [0.1, 0.0, 0.0], atol=1e-12)
    os.write(writer, RECORDED[16:])
    command = device.read()
    assert not command.enabled, "the stick alone moves nothing"
    assert command.tool_linear_velocity[0] == pytest.approx(0.1)
    assert command.sequence == 2


def test_sticks_pad_and_triggers_go_where_they_should(pad):
    device, writer, _ = pad
    for name, value in (("x", -1.0), ("ry", -1.0), ("rx", -0.5), ("hat_x", 1.0), ("hat_y", 1.0), ("rz", 1.0)):
        os.write(writer, event("axis", name, value))
    command = device.read()
    np.testing.assert_allclose(command.tool_linear_velocity, [0.0, 0.1, 0.1], atol=1e-9)
    turn = 0.5 * (0.5 - 0.12) / 0.88
    np.testing.assert_allclose(command.tool_angular_velocity, [0.5, -0.5, turn], atol=1e-4)
    assert command.gripper == 0.0
    os.write(writer, event("axis", "rz", -1.0) + event("axis", "z", 1.0))
    assert device.read().gripper == 1.0
    os.write(writer, event("axis", "z", -1.0))
    assert device.read().gripper is None


def test_an_event_cut_in_two_is_read_once_whole(pad):
    device, writer, _ = pad
    os.write(writer, RECORDED[:5])
    assert not device.read().enabled
    os.write(writer, RECORDED[5:8])
    assert device.read().enabled


def test_buttons_speak_when_pressed_and_not_when_the_device_is_opened(pad):
    device, writer, _ = pad
    os.write(writer, event("button", "b", 1, initial=True))
    assert device.read().events == ()
    for name in ("a", "x", "select", "start", "b", "y"):
        os.write(writer, event("button", name, 1) + event("button", name, 0))
    assert device.read().events == (
        OperatorEvent.SUCCESS,
        OperatorEvent.FAILURE,
        OperatorEvent.RERECORD,
        OperatorEvent.FINISH,
        OperatorEvent.STOP,
        OperatorEvent.RESET,
    )
    assert device.read().events == ()


def test_a_pad_that_is_silent_for_long_counts_as_let_go(pad):
    device, writer, clock = pad
    os.write(writer, RECORDED[:16])
    assert device.read().enabled
    clock.advance(1.9)
    assert device.read().enabled
    clock.advance(0.2)
    assert not device.read().enabled
    os.write(writer, event("axis", "y", -0.9))
    assert device.read().enabled


def test_a_pad_that_is_pulled_out_is_a_lost_device(tmp_path):
    path = tmp_path / "js0"
    os.mkfifo(path)
    device = Gamepad(GamepadConfig(device=str(path)))
    device.connect()  # nobody writes: a pipe without writers is at its end
    with pytest.raises(DeviceNotConnectedError, match="gamepad"):
        device.read()
    device.disconnect()
    device.disconnect()
    with pytest.raises(DeviceNotConnectedError, match="connect"):
        device.read()


def test_settings_and_a_missing_device_are_refused(tmp_path):
    with pytest.raises(DeviceNotConnectedError, match="group `input`"):
        Gamepad(GamepadConfig(device=str(tmp_path / "none"))).connect()
    with pytest.raises(ConfigError, match="dead_zone"):
        GamepadConfig(dead_zone=1.0)
    with pytest.raises(ConfigError, match="linear_speed"):
        GamepadConfig(linear_speed=0.0)
    with pytest.raises(UnknownNameError, match="thumb_l"):
        GamepadConfig(dead_man="trigger")


def test_the_dead_zone_has_no_step_at_its_edge():
    values = past_dead_zone(np.array([0.0, 0.1, 0.1001, 1.0, -1.0, -0.55]), 0.1)
    np.testing.assert_allclose(values, [0.0, 0.0, 0.0001 / 0.9, 1.0, -1.0, -0.5], atol=1e-12)
