"""What commands the Go2's driver accepts and completes, and which readings it does not believe."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hardware.errors import ConfigError, LimitViolationError, NonFiniteError
from hardware.go2 import GO2
from hardware.go2.commands import COMMANDS
from hardware.go2.health import OWNED, reading_fault, recovery_of
from hardware.go2.packets import LowState
from hardware.records import JointCommand

ONES = np.ones(12)
STATE = LowState(
    tick_s=1.0,
    mode=np.zeros(12, dtype=np.uint8),
    position=GO2.default_position,
    velocity=np.zeros(12),
    effort=np.zeros(12),
    temperature=np.full(12, 40, dtype=np.uint8),
    quaternion=np.array([1.0, 0.0, 0.0, 0.0]),
    angular_velocity=np.zeros(3),
    acceleration=np.array([0.0, 0.0, 9.81]),
    foot_force=np.zeros(4, dtype=np.int16),
    charge=80,
)


def at(joint: str, value: float, array: np.ndarray) -> np.ndarray:
    changed = np.array(array, dtype=float)
    changed[GO2.joint_names.index(joint)] = value
    return changed


def test_what_a_command_leaves_out_is_completed():
    position = COMMANDS.checked(JointCommand(position=GO2.default_position))
    assert set(position.stiffness) == {60.0} and set(position.damping) == {5.0}
    assert not position.velocity.any() and not position.effort.any()
    effort = COMMANDS.checked(JointCommand(effort=2.0 * ONES, stiffness=20.0 * ONES))
    assert effort.position is None and not effort.stiffness.any() and not effort.damping.any()
    velocity = COMMANDS.checked(JointCommand(velocity=ONES))
    assert not velocity.stiffness.any() and set(velocity.damping) == {5.0}
    soft = COMMANDS.checked(JointCommand(position=ONES, stiffness=20.0 * ONES, damping=0.5 * ONES))
    assert set(soft.stiffness) == {20.0} and set(soft.damping) == {0.5}


def test_what_is_no_command_is_refused():
    with pytest.raises(ConfigError, match="this one has none"):
        COMMANDS.checked(JointCommand())
    with pytest.raises(ConfigError, match="12 values"):
        COMMANDS.checked(JointCommand(position=np.ones(10)))
    with pytest.raises(NonFiniteError, match="velocity"):
        COMMANDS.checked(JointCommand(position=ONES, velocity=at("FL_calf_joint", np.inf, ONES)))


@pytest.mark.parametrize(
    ("field", "joint", "value"),
    [
        ("position", "FR_thigh_joint", 3.6),
        ("velocity", "RL_calf_joint", 21.0),
        ("effort", "RR_hip_joint", -24.0),
        ("stiffness", "FL_hip_joint", -1.0),
        ("damping", "FL_hip_joint", 101.0),
    ],
)
def test_values_out_of_range_name_the_joint(field, joint, value):
    fields = {"position": GO2.default_position, "velocity": 0 * ONES, "effort": 0 * ONES}
    fields |= {"stiffness": 30 * ONES, "damping": ONES}
    COMMANDS.check_ranges(COMMANDS.checked(JointCommand(**fields)), GO2.position_min, GO2.position_max)
    fields[field] = at(joint, value, fields[field])
    with pytest.raises(LimitViolationError, match=f"'{joint}' {field}"):
        COMMANDS.check_ranges(COMMANDS.checked(JointCommand(**fields)), GO2.position_min, GO2.position_max)


def test_rear_thighs_have_their_own_range():
    limits = GO2.position_min, GO2.position_max
    COMMANDS.check_ranges(
        COMMANDS.checked(JointCommand(position=at("RL_thigh_joint", 4.0, GO2.default_position))), *limits
    )
    with pytest.raises(LimitViolationError, match="FL_thigh_joint"):
        COMMANDS.check_ranges(
            COMMANDS.checked(JointCommand(position=at("FL_thigh_joint", 4.0, GO2.default_position))), *limits
        )


def test_readings_that_cannot_be_true_are_faults():
    assert reading_fault(STATE) == ""
    for changes, text in (
        ({"position": at("RR_calf_joint", 0.0, STATE.position)}, "'RR_calf_joint' at 0 rad, beyond its stops"),
        ({"velocity": at("FL_hip_joint", -50.0, STATE.velocity)}, "'FL_hip_joint' at -50 rad/s"),
        ({"position": at("FL_hip_joint", np.nan, STATE.position)}, "not finite"),
        ({"quaternion": np.zeros(4)}, "no rotation"),
    ):
        assert text in reading_fault(replace(STATE, **changes))
    assert reading_fault(replace(STATE, position=at("RR_calf_joint", -0.6, STATE.position))) == ""  # play


def test_recovery_depends_on_the_fault():
    assert "remote control" in recovery_of(OWNED.format("normal"))
    assert "see to the cause" in recovery_of("readings that are not finite")
