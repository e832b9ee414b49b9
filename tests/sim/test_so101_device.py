"""The virtual servos without a client: packets, tables, protection, the line's byte timing, and the mechanics."""

from __future__ import annotations

import os
import select
import termios
import time

import numpy as np
import pytest

from hardware.errors import AddressInUseError, ConfigError
from hardware.so101 import SO101
from sim.devices.so101.arm import STEP_S, Arm, Drive
from sim.devices.so101.chain import Chain
from sim.devices.so101.config import ArmDynamics
from sim.devices.so101.line import Line
from sim.devices.so101.servo import Measurement, Stall
from sim.devices.so101.sts_servo import StsServo
from sim.devices.so101.wire import Request, StsWire, XWire
from sim.devices.so101.x_servo import XServo


def hexed(text: str) -> bytes:
    return bytes.fromhex(text)


def measured(tick=2048, tick_speed=0.0, power=0.0, temperature=30.0) -> Measurement:
    return Measurement(tick, tick_speed, power, temperature)


# --- packets, from the makers' manuals


def test_feetech_requests_and_answers():
    wire = StsWire()
    assert wire.requests(hexed("00 FF FF 01 02 01 FB FF FF 01 04 02")) == [Request(1, 1, b"")]
    assert wire.requests(hexed("38 02 BE")) == [Request(1, 2, hexed("38 02"))]
    assert wire.requests(hexed("FF FF 01 02 01 FA")) == [] and wire.damaged == 1
    wire.forget()
    assert wire.answer(1, 0) == hexed("FF FF 01 02 00 FC")
    assert wire.answer(1, 0, hexed("18 05")) == hexed("FF FF 01 04 00 18 05 DD")


def test_dynamixel_requests_and_answers():
    wire = XWire()
    assert wire.requests(hexed("FF FF FD 00 01 03 00 01 19")) == []
    assert wire.requests(hexed("4E")) == [Request(1, 1, b"")]
    assert wire.requests(hexed("FF FF FD 00 01 03 00 01 19 4F")) == [] and wire.damaged == 1
    wire.forget()
    assert wire.answer(1, 0, hexed("06 04 26")) == hexed("FF FF FD 00 01 07 00 55 00 06 04 26 65 5D")
    stuffed = wire.answer(1, 0, hexed("FF FF FD 07"))
    assert hexed("FF FF FD FD 07") in stuffed


def test_a_row_of_answers_ends_at_the_first_servo_that_is_absent():
    servos = [StsServo(servo_id) for servo_id in (1, 2, 3)]
    chain = Chain(StsWire(), servos, ())
    read = hexed("FF FF FE 07 82 3F 01 01 02 03 32")
    assert len(chain.obey(read, 0.0)) == 3
    assert len(chain.obey(read + read, 0.0)) == 3  # two requests at once: the first was given up
    chain.absent = {2}
    assert len(chain.obey(read, 0.0)) == 1


# --- tables


def test_sts_table_holds_what_the_sensors_see():
    servo = StsServo(4)
    servo.measure(measured(-3, -100.0, -0.25, 41.4), 0.0)
    assert servo.read(56, 8) == hexed("03 80 64 80 FA 04 79 29")
    assert servo.read(5, 1) == b"\x04" and servo.read(86, 2) is None
    servo.write(56, b"\x00\x00", 0.0)
    assert servo.read(56, 2) == hexed("03 80")  # present values are read-only


def test_sts_overload_leaves_a_fifth_of_the_torque_until_it_is_switched_off():
    servo = StsServo(1)
    servo.write(40, b"\x01\x00\x00\x08", 0.0)
    assert (servo.wish().power, servo.wish().tick, servo.wish().tick_speed) == (1.0, 2048.0, 3073.0)
    servo.measure(measured(power=0.9), 1.0)
    servo.measure(measured(power=0.9), 2.9)
    assert servo.error == 0
    servo.measure(measured(power=0.9), 3.1)
    assert servo.error == 1 << 5 and servo.wish().power == pytest.approx(0.2)
    servo.write(40, b"\x00", 3.2)
    servo.write(40, b"\x01", 3.2)
    assert servo.error == 0 and servo.wish().power == 1.0
    servo.measure(measured(temperature=71.0), 4.0)
    assert servo.error == 1 << 2


def test_a_stall_is_one_without_pause():
    stall = Stall(0.8, 2.0)
    assert [stall.noticed(p, t) for p, t in ((0.9, 0.0), (0.7, 1.9), (0.9, 2.0), (-0.9, 3.9), (0.9, 4.1))] == [
        False,
        False,
        False,
        False,
        True,
    ]


def test_x_watchdog_stops_the_servo_and_refuses_goals_until_cleared():
    servo = XServo(1)
    goal = (3000).to_bytes(4, "little")
    assert servo.write(116, goal, 0.0) == 0 and servo.write(64, b"\x01", 0.0) == 0
    assert servo.write(98, b"\x0a", 0.0) == 0  # 200 ms
    servo.heard(0.1)
    servo.measure(measured(2100), 0.29)
    assert servo.wish().tick == 3000.0
    servo.measure(measured(2150), 0.31)
    assert servo.table[98] == 0xFF and servo.wish().tick == 2150.0 and servo.wish().power == 1.0
    assert servo.write(116, goal, 0.4) == 4
    assert servo.write(98, b"\x00", 0.4) == 0 and servo.write(116, goal, 0.4) == 0


def test_x_shuts_down_at_overload_until_it_is_restarted():
    servo = XServo(1)
    servo.write(64, b"\x01", 0.0)
    servo.trip("overload")
    assert (servo.error, servo.wish().power, servo.read(70, 1)) == (0x80, 0.0, b"\x20")
    assert servo.write(64, b"\x01", 0.0) == 0x87
    servo.reboot(1.0)
    assert servo.error == 0 and servo.write(64, b"\x01", 1.0) == 0


# --- the line


@pytest.fixture
def line(tmp_path):
    line = Line(str(tmp_path / "bus"), 1_000_000)
    line.claim()
    line.plug()
    yield line
    line.unplug()
    line.release()


@pytest.fixture
def client(line):
    descriptor = os.open(line.path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    attributes = termios.tcgetattr(descriptor)
    attributes[4] = attributes[5] = termios.B1000000
    termios.tcsetattr(descriptor, termios.TCSANOW, attributes)
    yield descriptor
    os.close(descriptor)


def test_bytes_take_their_time(line, client):
    os.write(client, bytes(14))
    assert line.receive(1.0) == bytes(14)
    line.send(bytes(21), 20e-6)
    line.send(bytes(21), 20e-6)
    assert line.next_s() == pytest.approx(1.0 + (14 + 21) * 1e-5 + 20e-6)
    assert line.deliver(line.next_s() - 1e-6) == 0
    assert line.deliver(line.next_s()) == 1
    assert os.read(client, 100) == bytes(21)
    assert line.next_s() == pytest.approx(1.0 + (14 + 42) * 1e-5 + 40e-6)


def test_who_talks_while_a_servo_does_spoils_both(line, client):
    os.write(client, b"ab")
    assert line.receive(1.0) == b"ab"
    line.send(b"answer", 0.0)
    os.write(client, b"cd")
    assert line.receive(1.00001) == b""
    assert line.collisions == 1 and line.next_s() is None


def test_an_adapter_that_holds_answers_back_does_not_keep_the_line_busy(line, client):
    line.late_s = 0.03
    os.write(client, b"ab")
    line.receive(1.0)
    line.send(b"answer", 0.0)
    os.write(client, b"cd")
    assert line.receive(1.01) == b"cd" and line.collisions == 0
    assert line.next_s() == pytest.approx(1.03, abs=1e-3)


def test_a_path_belongs_to_one_device(line, tmp_path):
    with pytest.raises(AddressInUseError):
        Line(str(line.path), 1_000_000).claim()
    (tmp_path / "file").write_text("")
    with pytest.raises(AddressInUseError):
        Line(str(tmp_path / "file"), 1_000_000).claim()
    with pytest.raises(ConfigError, match="1000000"):
        Line(str(tmp_path / "other"), 123)


def test_a_line_that_is_taken_away_while_it_is_waited_for(line, monkeypatch):
    real, asked = select.select, []

    def taken_away(descriptors, *rest):
        asked.extend(descriptors)
        line.unplug()  # as a fault from another thread does
        return real(descriptors, *rest)

    monkeypatch.setattr(select, "select", taken_away)
    line.wait(0.0)
    assert len(asked) == 1 and not line.is_open


# --- the mechanics


def drive(goal, power=1.0, speed=3.0) -> Drive:
    return Drive(np.asarray(goal, dtype=float), np.full(6, speed), np.full(6, power))


def test_the_arm_goes_to_its_goal_no_faster_than_told():
    arm = Arm(ArmDynamics(), SO101.default_position, 0, carried=True)
    goal = SO101.default_position + np.array([0.5, 0, 0, 0, 0, 0])
    speeds = []
    for _ in range(round(1.5 / STEP_S)):
        arm.step(drive(goal, speed=1.0))
        speeds.append(arm.velocity[0])
    np.testing.assert_allclose(arm.position, goal, atol=5e-3)
    # The makers' gains leave the servo underdamped: its speed swings about the limit, and has settled by half way.
    assert np.mean(speeds[125:225]) == pytest.approx(1.0, abs=0.05)


def test_without_torque_it_falls_unless_carried():
    for carried, moved in ((True, False), (False, True)):
        arm = Arm(ArmDynamics(), SO101.default_position, 0, carried=carried)
        for _ in range(200):
            arm.step(drive(SO101.default_position, power=0.0))
        assert (np.abs(arm.position - SO101.default_position).max() > 0.1) == moved


def test_a_soft_heavy_arm_sags_more_and_answers_later():
    def sag(dynamics: ArmDynamics) -> float:
        arm = Arm(dynamics, SO101.default_position, 0, carried=True)
        for _ in range(500):
            arm.step(drive(SO101.default_position))
        return float(np.abs(arm.position - SO101.default_position).max())

    assert sag(ArmDynamics(stiffness_factor=0.1, payload_kg=0.1, mass_factor=1.2)) > 5 * sag(ArmDynamics())
    arm = Arm(ArmDynamics(command_delay_s=0.02), SO101.default_position, 0, carried=True)
    steps = 0
    while arm.data.ctrl[0] == 0.0 and steps < 100:
        arm.step(drive(SO101.default_position + 0.1))
        steps += 1
    assert steps == round(0.02 / STEP_S) + 1


def test_a_motor_that_works_gets_warm():
    arm = Arm(ArmDynamics(), SO101.default_position, 0, carried=True)
    arm.external[0] = 2.5
    cold = arm.temperature.copy()
    began_s = time.monotonic()
    while arm.data.time < 10.0 and time.monotonic() - began_s < 20.0:
        arm.step(drive(SO101.default_position))
    assert arm.temperature[0] > cold[0] + 1.0 and arm.temperature[4] < cold[4] + 0.01
