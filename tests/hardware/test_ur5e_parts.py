"""The parts of the UR5e driver that need no connection: time mapping, state words, program text, configuration."""

from __future__ import annotations

import re

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from hardware.errors import ConfigError
from hardware.host_time import DRIFT_MAX, HostTime
from hardware.records import RobotMode
from hardware.ur5e import status
from hardware.ur5e.config import UR5eConfig
from hardware.ur5e.servo_link import quaternion_from_rotation_vector
from hardware.ur5e.servo_program import TEMPLATE, servo_program

NORMAL = 1
RUNNING = 7


def test_host_time_removes_the_delay_beyond_the_smallest():
    host_time, rng = HostTime(), np.random.default_rng(0)
    true_offset_s, smallest_s = 123.4, 2e-4
    captured_s = np.arange(0, 2.0, 0.002)
    delays_s = smallest_s + rng.exponential(2e-3, captured_s.size)
    errors_s = [
        host_time.capture_time(t, t + true_offset_s + delay) - (t + true_offset_s)
        for t, delay in zip(captured_s, delays_s, strict=True)
    ]
    assert min(errors_s) >= smallest_s - 1e-12  # a measurement never looks older than it is
    assert max(errors_s[200:]) < smallest_s + 2e-4
    assert max(delays_s[200:]) > 5e-3  # which the raw arrival times would have shown


def test_host_time_is_never_after_the_arrival():
    host_time = HostTime()
    for robot_s, arrival_s in [(0.0, 10.0), (0.1, 10.3), (0.2, 10.2), (0.3, 10.9)]:
        assert host_time.capture_time(robot_s, arrival_s) <= arrival_s


def test_host_time_follows_drift_and_a_restart():
    host_time = HostTime()
    drift = DRIFT_MAX / 2
    for t in np.arange(0.0, 1000.0, 1.0):
        captured = host_time.capture_time(t * (1 - drift), t)
    assert captured == pytest.approx(999.0, abs=1e-9)
    assert host_time.capture_time(0.5, 1001.0) == pytest.approx(1001.0)


@pytest.mark.parametrize(
    ("bits", "robot_mode", "expected", "words"),
    [
        (NORMAL, RUNNING, RobotMode.RUNNING, ""),
        (1 << 1, RUNNING, RobotMode.RUNNING, ""),  # reduced mode moves
        (1 << 2, RUNNING, RobotMode.PROTECTIVE_STOP, "protective stop"),
        (1 << 4, RUNNING, RobotMode.FAULT, "safeguard stop"),
        (1 << 6 | 1 << 7 | 1 << 10, 3, RobotMode.EMERGENCY_STOP, "robot emergency stop"),
        (1 << 6 | 1 << 2, RUNNING, RobotMode.EMERGENCY_STOP, "robot emergency stop"),
        (1 << 10, RUNNING, RobotMode.FAULT, "stopped for safety"),
        (NORMAL, 3, RobotMode.IDLE, "power off"),
        (NORMAL, 5, RobotMode.IDLE, "brakes closed"),
    ],
)
def test_arm_mode(bits, robot_mode, expected, words):
    mode, detail = status.arm_mode(bits, robot_mode)
    assert mode is expected and words in detail


@pytest.mark.parametrize(
    ("runtime", "servo", "own", "expected", "words"),
    [
        (2, 1, True, RobotMode.RUNNING, ""),
        (2, 1, False, RobotMode.FAULT, "another program"),
        (1, 1, True, RobotMode.FAULT, "died"),
        (1, 2, True, RobotMode.FAULT, "silent"),
        (1, 3, True, RobotMode.IDLE, "stopped by the host"),
        (1, 4, True, RobotMode.FAULT, "first target"),
        (1, 77, True, RobotMode.FAULT, "state 77"),
        (4, 1, True, RobotMode.IDLE, "paused"),
    ],
)
def test_program_mode(runtime, servo, own, expected, words):
    mode, detail = status.program_mode(runtime, servo, own)
    assert mode is expected and words in detail


def test_every_mode_names_a_way_out():
    assert set(status.RECOVERY) == set(RobotMode)


@pytest.mark.parametrize("vector", [(0, 0, 0), (1e-9, 0, 0), (np.pi, 0, 0), (-2.2, 2.2, 0.1), (0.1, -0.2, 0.3)])
def test_rotation_vector_becomes_a_quaternion(vector):
    quaternion = quaternion_from_rotation_vector(np.array(vector, dtype=float))
    expected = Rotation.from_rotvec(vector).as_quat(scalar_first=True)
    np.testing.assert_allclose(quaternion * np.sign(quaternion @ expected), expected, atol=1e-12)


def program(**changes: float) -> str:
    settings = {
        "run": 7,
        "watchdog_s": 0.1,
        "lookahead_s": 0.03,
        "gain": 300.0,
        "deceleration": 10.0,
        "first_step_max_rad": 0.1,
    }
    return servo_program(**{**settings, **changes})  # type: ignore[arg-type]


def test_program_has_its_settings_and_no_leftovers():
    text = program()
    assert "$" not in text and "#" not in text
    assert text.startswith("def robostack_servo():\n") and text.endswith("\nend\n")
    assert "silent_cycles_max = 50\n" in text  # 0.1 s of 2 ms cycles
    assert "write_output_integer_register(26, 7)" in text
    assert "silent_cycles_max = 2\n" in program(watchdog_s=0.001)


def test_program_uses_only_registers_for_external_clients():
    registers = re.findall(r"_register\((\d+)", TEMPLATE.read_text(encoding="utf-8"))
    assert registers and all(24 <= int(register) <= 47 for register in registers)


def test_every_block_of_the_program_is_closed():
    code = program()
    opened = re.findall(r"^\s*(?:def|while|if)\b", code, re.MULTILINE)
    closed = re.findall(r"^\s*end\s*$", code, re.MULTILINE)
    assert len(opened) == len(closed)


@pytest.mark.parametrize("field", ["lookahead_s", "gain", "watchdog_s", "stop_deceleration", "first_step_max_rad"])
def test_settings_outside_the_controllers_range_are_refused(field):
    with pytest.raises(ConfigError, match=field):
        UR5eConfig(**{field: 1e6})
    with pytest.raises(ConfigError, match=field):
        UR5eConfig(**{field: float("nan")})


@pytest.mark.parametrize(
    ("joint", "value", "words"),
    [
        (2, 3.2, ""),  # the elbow's range is half a turn each way, and a tenth of a radian more is believed
        (2, 3.3, "joint 'elbow_joint' reads 3.300 rad, beyond its stops"),
        (0, -6.5, "joint 'shoulder_pan_joint' reads -6.500 rad, beyond its stops"),
        (5, float("nan"), "joint 'wrist_3_joint' reads nan rad, beyond its stops"),
    ],
)
def test_readings_beyond_the_stops_are_a_fault(joint, value, words):
    position = [0.0] * 6
    position[joint] = value
    assert status.reading_fault(position) == words
