"""Registers and units of both servo models from hand-written tables; calibration files; configurations."""

from __future__ import annotations

import math
import struct

import numpy as np
import pytest

from hardware.errors import ConfigError, UnknownNameError
from hardware.serial_port import SerialPort
from hardware.servo_bus.arm import ServoArmConfig
from hardware.servo_bus.calibration import ArmCalibration, JointCalibration, JointMap, joint_map
from hardware.servo_bus.config import ServoBusConfig
from hardware.servo_bus.leader import LeaderArm, LeaderArmConfig
from hardware.servo_bus.packet import Status
from hardware.servo_bus.servo_model import family_model, sign_magnitude, signed
from hardware.so101 import SO101

STS, XM = family_model("feetech"), family_model("dynamixel")


def sts_block(position=2048, speed=0, current=0, temperature=30, status=0) -> bytes:
    return struct.pack("<HHHBBBBBHH", position, speed, 0, 121, temperature, 0, status, 0, 0, current)


def xm_block(position=2048, velocity=0, current=0, temperature=30) -> bytes:
    return struct.pack("<hiiiiHB", current, velocity, position, 0, 0, 121, temperature)


def test_sts_reading():
    reading = STS.decode(Status(1, 0, sts_block(3072, 0x8000 | 1024, 0x8000 | 100, 41)))
    assert reading.tick == 3072
    assert reading.velocity == pytest.approx(-math.pi / 2)  # 1024 of 4096 steps a second, backwards
    assert reading.effort == pytest.approx(-100 * 0.0065 * 30 * 0.0980665 / 2.7)
    assert (reading.voltage, reading.temperature) == (pytest.approx(12.1), 41.0)
    assert (reading.faults, reading.alert) == ((), False)


def test_sts_faults_come_with_the_packet_or_the_status_register():
    assert STS.decode(Status(1, 1 << 5, sts_block())).faults == ("overload",)
    assert STS.decode(Status(1, 0, sts_block(status=1 << 2))).faults == ("overheating",)
    assert STS.decode(Status(1, 0b101011, sts_block())).faults == (
        "supply voltage",
        "position sensor",
        "overcurrent",
        "overload",
    )


def test_xm_reading():
    reading = XM.decode(Status(1, 0, xm_block(-5, -100, -200, 44)))
    assert reading.tick == -5
    assert reading.velocity == pytest.approx(-22.9 * 2 * math.pi / 60)
    assert reading.effort == pytest.approx(-200 * 2.69e-3 * 4.1 / 2.3)
    assert (reading.voltage, reading.temperature, reading.alert) == (pytest.approx(12.1), 44.0, False)
    assert XM.decode(Status(1, 0x80, xm_block())).alert
    assert XM.decode(Status(1, 0x07, xm_block())).faults == ("refuses to be read (error 7)",)
    assert XM.fault_words(0b100100) == ("overheating", "overload")


def test_registers_hold_what_the_makers_say():
    assert STS.goal_register.bytes_of(2048) == b"\x00\x08" and STS.goal_register.address == 42
    assert XM.goal_register.bytes_of(2048) == b"\x00\x08\x00\x00" and XM.goal_register.address == 116
    assert STS.speed(math.pi / 2) == 1024 and STS.speed(0.0) == 1
    assert XM.speed(0.229 * 2 * math.pi / 60 * 99.5) == 100
    assert (STS.limit(0.6), XM.limit(1.0)) == (600, 885)
    assert (XM.watchdog(0.2), XM.watchdog(0.0), XM.watchdog(60.0)) == (10, 1, 127)
    for model, size in ((STS, len(sts_block())), (XM, len(xm_block()))):
        assert model.feedback.size == size


def test_signs():
    assert [signed(value, 8) for value in (0, 127, 128, 255)] == [0, 127, -128, -1]
    assert [sign_magnitude(value, 15) for value in (0, 5, 0x8005, 0x7FFF)] == [0, 5, -5, 0x7FFF]


def test_joint_map_by_hand():
    joints = {name: JointCalibration(10 + i) for i, name in enumerate(SO101.joint_names)}
    joints["elbow_flex"] = JointCalibration(id=42, zero_tick=2000, direction=-1)
    made = JointMap(SO101, ArmCalibration(joints))
    assert made.ids == (10, 11, 42, 13, 14, 15)
    ticks = np.array([2048.0, 2048, 2000 - 512, 3072, 1024, 2048])
    expected = [0, 0, math.pi / 4, math.pi / 2, -math.pi / 2, 0]
    np.testing.assert_allclose(made.positions(ticks), expected, atol=1e-12)
    assert made.ticks(np.array(expected)) == ticks.astype(int).tolist()
    np.testing.assert_array_equal(made.in_joint_direction(np.ones(6)), [1, 1, -1, 1, 1, 1])


def test_positions_survive_the_way_through_ticks():
    made = joint_map(SO101, "")
    rng = np.random.default_rng(1)
    for q in rng.uniform(SO101.position_min, SO101.position_max, (50, 6)):
        assert np.abs(made.positions(np.array(made.ticks(q), dtype=float)) - q).max() <= math.pi / 4096 + 1e-12


def test_calibration_file_is_read_strictly(tmp_path):
    file = tmp_path / "arm.yaml"
    lines = [f"  {name}: {{id: {i + 1}, zero_tick: 2060, direction: -1}}" for i, name in enumerate(SO101.joint_names)]
    file.write_text("\n".join(["joints:", *lines]))
    assert joint_map(SO101, str(file)).ids == (1, 2, 3, 4, 5, 6)
    for old, new, error, words in (
        ("gripper", "griper", UnknownNameError, "Did you mean 'gripper'"),
        ("gripper", "wrist_roll", ConfigError, "given twice"),
        ("zero_tick: 2060", "zero: 2060", ConfigError, "unknown key 'joints.shoulder_pan.zero'"),
        ("direction: -1", "direction: 2", ConfigError, "one of -1, 1"),
        ("id: 2", "id: 1", ConfigError, "same servo"),
        ("id: 2", "id: 300", ConfigError, r"outside \[0, 252\]"),
        ("zero_tick: 2060", "zero_tick: 100", ConfigError, "outside the servo's turn"),
        ("zero_tick: 2060", "zero_tick: 4096", ConfigError, "zero_tick 4096"),
    ):
        bad = tmp_path / "bad.yaml"
        bad.write_text(file.read_text().replace(old, new))
        with pytest.raises(error, match=words):
            joint_map(SO101, str(bad))
    with pytest.raises(ConfigError, match="lacks joint gripper"):
        JointMap(SO101, ArmCalibration({n: JointCalibration(i) for i, n in enumerate(SO101.joint_names[:-1])}))


@pytest.mark.parametrize(
    ("config", "name", "value"),
    [
        (ServoBusConfig, "reply_timeout_s", 0.0),
        (ServoArmConfig, "late_reply_s", 2.0),
        (ServoArmConfig, "hold_power", 0.0),
        (ServoArmConfig, "temperature_max_c", 90.0),
        (ServoArmConfig, "command_timeout_s", 0.001),
        (ServoArmConfig, "first_step_max_rad", 4.0),
        (LeaderArmConfig, "rate_hz", 0.0),
    ],
)
def test_settings_out_of_range_are_refused(config, name, value):
    with pytest.raises(ConfigError, match=name):
        config(**{name: value})


def test_a_leader_names_the_joint_that_its_follower_lacks():
    with pytest.raises(UnknownNameError, match="jaw"):
        LeaderArm(LeaderArmConfig(gripper_joint="jaw"))


def test_a_baud_rate_that_is_not_offered_names_those_that_are():
    with pytest.raises(ConfigError, match="1000000"):
        SerialPort("servo bus", "/dev/null", 1_234_567)
