"""The SpaceMouse, fed with its HID reports through a socket pair that keeps their borders, as hidraw does."""

from __future__ import annotations

import socket
import struct

import numpy as np
import pytest

from hardware.clock import VirtualClock
from hardware.errors import ConfigError, DeviceNotConnectedError
from hardware.teleoperation.spacemouse import SpaceMouse, SpaceMouseConfig, find_space_mouse

FORWARD = bytes.fromhex("01 0000 a2fe 0000")
"""Translation report: puck pushed away from the person, y = -350."""
TWIST = bytes.fromhex("02 0000 0000 af00")
"""Rotation report: turned clockwise seen from above, rz = 175 about the axis that points down."""


@pytest.fixture
def mouse():
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    clock = VirtualClock(3.0)
    device = SpaceMouse(SpaceMouseConfig(device=f"/proc/self/fd/{theirs.fileno()}"), clock)
    device._file = _Reports(theirs)
    yield device, ours, clock
    ours.close()
    theirs.close()


class _Reports:
    """What `DeviceFile` is to a device, on a socket: sockets cannot be opened by path."""

    def __init__(self, reports: socket.socket) -> None:
        self._reports = reports
        reports.setblocking(False)

    def read(self) -> list[bytes]:
        found = []
        while True:
            try:
                found.append(self._reports.recv(64))
            except BlockingIOError:
                return found

    def close(self) -> None:
        self._reports.close()


def test_the_puck_moves_the_tool_as_seen_by_a_person_behind_the_robot(mouse):
    device, puck, _ = mouse
    assert not device.read().enabled
    puck.send(FORWARD)
    command = device.read()
    assert command.enabled
    np.testing.assert_allclose(command.tool_linear_velocity, [0.1, 0.0, 0.0], atol=1e-12)
    puck.send(struct.pack("<Bhhh", 1, 350, 0, 350))  # to the right and down
    np.testing.assert_allclose(device.read().tool_linear_velocity, [0.0, -0.1, -0.1], atol=1e-12)


def test_turning_is_about_the_same_axes(mouse):
    device, puck, _ = mouse
    puck.send(TWIST)
    np.testing.assert_allclose(device.read().tool_angular_velocity, [0.0, 0.0, -0.5 * (0.5 - 0.08) / 0.92], atol=1e-12)


def test_newer_models_send_all_six_in_one_report(mouse):
    device, puck, _ = mouse
    puck.send(struct.pack("<B6h", 1, 0, -350, 0, 350, 0, 0))
    command = device.read()
    np.testing.assert_allclose(command.tool_linear_velocity, [0.1, 0.0, 0.0], atol=1e-12)
    np.testing.assert_allclose(command.tool_angular_velocity, [0.0, -0.5, 0.0], atol=1e-12)


def test_buttons_move_the_gripper_while_held(mouse):
    device, puck, _ = mouse
    for buttons, gripper in ((1, 0.0), (2, 1.0), (0, None)):
        puck.send(bytes([3, buttons, 0]))
        command = device.read()
        assert command.gripper == gripper
        assert command.enabled == (gripper is not None)


def test_a_deflected_puck_that_falls_silent_counts_as_let_go(mouse):
    device, puck, clock = mouse
    puck.send(FORWARD)
    assert device.read().enabled
    clock.advance(0.19)
    assert device.read().enabled
    clock.advance(0.02)
    assert not device.read().enabled


def test_other_and_short_reports_are_left_out(mouse):
    device, puck, _ = mouse
    for report in (b"\x17\x64", b"\x01\x00", b"\x02\x00\x00", b"\x03"):
        puck.send(report)
    command = device.read()
    assert not command.enabled
    assert command.sequence == 1


def listed(root, number: int, identity: str) -> None:
    folder = root / f"hidraw{number}" / "device"
    folder.mkdir(parents=True)
    (folder / "uevent").write_text(f"DRIVER=hid-generic\nHID_ID={identity}\nHID_NAME=a device\n")


def test_it_is_found_by_its_maker_among_other_devices(tmp_path):
    assert find_space_mouse(tmp_path) == ""
    listed(tmp_path, 0, "0003:0000046D:0000C077")  # an ordinary mouse of Logitech
    (tmp_path / "hidraw1").mkdir()  # gone while it was listed
    assert find_space_mouse(tmp_path) == ""
    listed(tmp_path, 3, "0003:0000256F:0000C635")
    assert find_space_mouse(tmp_path) == "/dev/hidraw3"
    listed(tmp_path, 2, "0003:0000046D:0000C62B")  # a SpaceMouse Pro from before
    assert find_space_mouse(tmp_path) == "/dev/hidraw2"


def test_a_missing_device_and_wrong_settings_are_refused(tmp_path):
    device = SpaceMouse(SpaceMouseConfig(device=str(tmp_path / "hidraw0")))
    with pytest.raises(DeviceNotConnectedError, match="udev"):
        device.connect()
    with pytest.raises(DeviceNotConnectedError, match="connect"):
        device.read()
    device.disconnect()
    with pytest.raises(ConfigError, match="silence_s"):
        SpaceMouseConfig(silence_s=0.0)
    with pytest.raises(ConfigError, match="dead_zone"):
        SpaceMouseConfig(dead_zone=-0.1)
