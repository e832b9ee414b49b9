"""The serial port and the planar odometry that bases share."""

from __future__ import annotations

import contextlib
import math
import os
import threading
import tty

import numpy as np
import pytest

from hardware.errors import DeviceNotConnectedError
from hardware.planar_odometry import PlanarOdometry
from hardware.serial_port import SerialPort


@pytest.fixture
def line():
    near, far = os.openpty()
    tty.setraw(far)
    yield near, os.ttyname(far)
    for end in (near, far):
        with contextlib.suppress(OSError):
            os.close(end)


def test_bytes_go_both_ways_untouched_and_reading_never_waits(line):
    near, path = line
    port = SerialPort("toy", path)
    assert port.read() == b""
    every = bytes(range(256))
    port.write(every)
    assert os.read(near, 512) == every  # no echo, no translation of line ends
    os.write(near, every)
    assert port.read() == every
    port.close()
    port.close()
    with pytest.raises(DeviceNotConnectedError, match=r"connect\(\) was called"):
        port.read()


def test_reading_can_wait_for_the_first_byte(line):
    near, path = line
    port = SerialPort("toy", path)
    assert port.read(timeout_s=0.01) == b""
    writer = threading.Timer(0.02, os.write, (near, b"late"))
    writer.start()
    assert port.read(timeout_s=20.0)[:1] == b"l"
    writer.join()
    port.close()


def test_a_port_belongs_to_one_program_and_has_no_modem_lines_on_a_pseudo_terminal(line):
    port = SerialPort("toy", line[1])
    with pytest.raises(DeviceNotConnectedError, match="no other program"):
        SerialPort("toy", line[1])
    assert port.set_rts(True) is False
    port.close()
    SerialPort("toy", line[1]).close()


def test_what_is_no_port_says_what_to_check(tmp_path):
    with pytest.raises(DeviceNotConnectedError, match="toy is not connected at .*ttyNONE.*/dev/serial/by-id"):
        SerialPort("toy", str(tmp_path / "ttyNONE"))
    file = tmp_path / "file"
    file.write_text("")
    with pytest.raises(DeviceNotConnectedError, match="that it is a serial port"):
        SerialPort("toy", str(file))


def test_a_pulled_cable_is_an_error_of_reading_and_writing():
    near, far = os.openpty()
    port = SerialPort("toy", os.ttyname(far))
    os.close(far)
    os.close(near)
    with pytest.raises(DeviceNotConnectedError):
        port.read()
    with pytest.raises(DeviceNotConnectedError):
        port.write(b"x")
    port.close()


def test_odometry_on_a_line_an_arc_and_on_the_spot():
    odometry = PlanarOdometry()
    odometry.advance(2.0, 0.0)
    np.testing.assert_allclose(odometry.position, (2.0, 0.0, 0.0))
    odometry.advance(0.5 * math.pi, 0.5 * math.pi)  # a quarter of a circle of 1 m radius to the left
    np.testing.assert_allclose(odometry.position, (3.0, 1.0, 0.0), atol=1e-12)
    np.testing.assert_allclose(odometry.quaternion, (math.sqrt(0.5), 0.0, 0.0, math.sqrt(0.5)), atol=1e-12)
    odometry.advance(0.0, math.pi)
    assert odometry.heading == pytest.approx(-0.5 * math.pi)
    odometry.advance(1.0, 0.0)
    np.testing.assert_allclose(odometry.position, (3.0, 0.0, 0.0), atol=1e-12)


def test_odometry_of_many_small_steps_is_that_of_one_arc():
    fine, coarse = PlanarOdometry(), PlanarOdometry()
    for _ in range(1000):
        fine.advance(0.002, 0.0015)
    coarse.advance(2.0, 1.5)
    np.testing.assert_allclose(fine.position, coarse.position, atol=1e-12)
