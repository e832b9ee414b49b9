"""What commands the driver accepts and completes, and what it reads out of a state."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hardware.clock import VirtualClock
from hardware.errors import ConfigError, LimitViolationError, NonFiniteError
from hardware.go1 import GO1
from hardware.go1.commands import COMMANDS
from hardware.go1.health import HIGH_LEVEL_OWNS, owner_fault, power, reading_fault, recovery_of
from hardware.go1.packets import LowState
from hardware.go1.posture import FOLDED, lie_down, move_to, ramp, stand_up
from hardware.records import JointCommand, RobotMode, RobotState

ONES = np.ones(12)


def low_state(**changes: object) -> LowState:
    state = LowState(
        level_flag=0xFF,
        tick_s=1.0,
        position=GO1.default_position,
        velocity=np.zeros(12),
        effort=np.zeros(12),
        mode=np.zeros(12, dtype=np.uint8),
        temperature=np.full(12, 40.0),
        quaternion=np.array([1.0, 0.0, 0.0, 0.0]),
        angular_velocity=np.zeros(3),
        acceleration=np.array([0.0, 0.0, 9.81]),
        foot_force=np.zeros(4),
        charge=80,
    )
    return replace(state, **changes)


def test_a_position_gets_the_gains_of_the_specification():
    targets = COMMANDS.checked(JointCommand(position=GO1.default_position))
    np.testing.assert_array_equal(targets.stiffness, GO1.stiffness)
    np.testing.assert_array_equal(targets.damping, GO1.damping)
    np.testing.assert_array_equal(targets.velocity, np.zeros(12))
    np.testing.assert_array_equal(targets.effort, np.zeros(12))


def test_gains_in_the_command_win():
    targets = COMMANDS.checked(JointCommand(position=ONES, stiffness=20.0 * ONES, damping=0.5 * ONES))
    assert set(targets.stiffness) == {20.0} and set(targets.damping) == {0.5}


def test_an_effort_alone_is_a_pure_torque():
    targets = COMMANDS.checked(JointCommand(effort=2.0 * ONES, stiffness=20.0 * ONES))
    assert targets.position is None
    assert set(targets.effort) == {2.0} and set(targets.stiffness) == {0.0} and set(targets.damping) == {0.0}


def test_a_velocity_alone_is_damped_towards():
    targets = COMMANDS.checked(JointCommand(velocity=ONES))
    assert set(targets.stiffness) == {0.0}
    np.testing.assert_array_equal(targets.damping, GO1.damping)


def test_malformed_commands_are_refused():
    with pytest.raises(ConfigError, match="this one has none"):
        COMMANDS.checked(JointCommand(stiffness=ONES))
    with pytest.raises(ConfigError, match=r"12 values as position, not an array of shape \(3,\)"):
        COMMANDS.checked(JointCommand(position=np.zeros(3)))
    with pytest.raises(NonFiniteError, match="effort is not finite"):
        COMMANDS.checked(JointCommand(position=ONES, effort=np.full(12, np.nan)))


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (JointCommand(position=GO1.position_max + 0.01), "'FR_hip_joint' position"),
        (JointCommand(velocity=31.0 * ONES), "velocity"),
        (JointCommand(effort=24.0 * ONES), r"effort \[Nm\] = 24"),
        (JointCommand(position=GO1.default_position, stiffness=-ONES), "stiffness"),
        (JointCommand(position=GO1.default_position, damping=5000.0 * ONES), "damping"),
    ],
)
def test_values_out_of_range_are_refused(command, words):
    with pytest.raises(LimitViolationError, match=words):
        COMMANDS.check_ranges(COMMANDS.checked(command), GO1.position_min, GO1.position_max)


def test_a_sound_robot_has_no_fault():
    assert owner_fault(low_state(), servo_commanded=False) == ""
    assert reading_fault(low_state()) == ""


def test_who_owns_the_motors():
    assert owner_fault(low_state(level_flag=0xEE), servo_commanded=True) == HIGH_LEVEL_OWNS
    servo = np.array([10] + 11 * [0], dtype=np.uint8)
    assert owner_fault(low_state(mode=servo), servo_commanded=False) == HIGH_LEVEL_OWNS
    assert owner_fault(low_state(mode=servo), servo_commanded=True) == ""
    assert "L1+L2+START" in recovery_of(HIGH_LEVEL_OWNS)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"position": np.where(np.arange(12) == 4, 5.0, GO1.default_position)}, "'FL_thigh_joint' at 5 rad"),
        ({"position": np.full(12, np.nan)}, "not finite"),
        ({"velocity": np.where(np.arange(12) == 2, 99.0, 0.0)}, "'FR_calf_joint' at 99 rad/s"),
        ({"quaternion": np.zeros(4)}, "no rotation"),
        ({"mode": np.where(np.arange(12) == 11, 8, 10).astype(np.uint8)}, "'RL_calf_joint' is too hot"),
    ],
)
def test_readings_that_cannot_be_true(changes, words):
    assert words in reading_fault(low_state(**changes))


def test_a_folded_robot_on_its_stops_is_sound():
    resting = np.tile([0.4, 1.3, -2.83], 4)
    assert reading_fault(low_state(position=resting)) == ""


def test_power_counts_driving_and_braking():
    assert power(low_state(effort=2.0 * ONES, velocity=np.tile([1.0, -1.0], 6))) == pytest.approx(24.0)


class Puppet:
    """Stands where it was last told to; after `fail_after` commands it reports a fault."""

    def __init__(self, fail_after: int = 10**9) -> None:
        self.spec, self.commands, self.stops, self._fail_after = GO1, [], 0, fail_after

    def read(self) -> RobotState:
        position = self.commands[-1].position if self.commands else FOLDED + 0.05
        mode = RobotMode.RUNNING if len(self.commands) < self._fail_after else RobotMode.FAULT
        return RobotState(0.0, position, np.zeros(12), mode=mode, detail="" if mode is RobotMode.RUNNING else "smoke")

    def send(self, command: JointCommand) -> None:
        self.commands.append(command)

    def stop(self) -> None:
        self.stops += 1


def test_ramp_begins_and_ends_at_rest():
    start, target = np.zeros(12), GO1.default_position
    for share, position in ((0.0, start), (1.0, target), (1.7, target), (0.5, 0.5 * target)):
        np.testing.assert_allclose(ramp(start, target, share)[0], position, atol=1e-12)
    for share in (0.0, 1.0, 1.7):
        np.testing.assert_allclose(ramp(start, target, share)[1], 0.0, atol=1e-12)
    step = 1e-6
    numeric = (ramp(start, target, 0.3 + step)[0] - ramp(start, target, 0.3 - step)[0]) / (2 * step)
    np.testing.assert_allclose(ramp(start, target, 0.3)[1], numeric, atol=1e-8)


def test_standing_up_goes_by_the_folded_pose_in_small_steps():
    puppet, clock = Puppet(), VirtualClock()
    stand_up(puppet, 1.0, clock=clock)
    assert clock.now() == pytest.approx(2.0, abs=0.01)
    poses = np.array([command.position for command in puppet.commands])
    assert np.abs(poses - FOLDED).max(axis=1).min() < 1e-3
    np.testing.assert_allclose(poses[-1], GO1.default_position, atol=1e-3)
    assert np.abs(np.diff(poses, axis=0)).max() < 0.01
    COMMANDS.check_ranges(COMMANDS.checked(puppet.commands[-1]), GO1.position_min, GO1.position_max)


def test_lying_down_ends_in_damping_even_after_a_fault():
    puppet = Puppet()
    lie_down(puppet, 0.2, clock=VirtualClock())
    assert puppet.stops == 1
    failing = Puppet(fail_after=10)
    with pytest.raises(Exception, match="smoke"):
        lie_down(failing, 0.2, clock=VirtualClock())
    assert failing.stops == 1 and len(failing.commands) == 10


def test_holding_sends_the_pose_at_rest():
    puppet = Puppet()
    move_to(puppet, FOLDED, 0.1, 0.1, VirtualClock())
    np.testing.assert_array_equal(puppet.commands[-1].position, FOLDED)
    np.testing.assert_array_equal(puppet.commands[-1].velocity, np.zeros(12))
