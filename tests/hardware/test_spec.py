from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from hardware.errors import ConfigError, LimitViolationError, UnknownNameError
from hardware.spec import JointSpec, RobotSpec


def joint(name: str, scale: float, **changes) -> JointSpec:
    """A joint whose limits are told apart by `scale`."""
    base = JointSpec(name, -1.0 * scale, 2.0 * scale, 3.0 * scale, 4.0 * scale, 5.0 * scale, 6.0 * scale)
    return dataclasses.replace(
        base, default_position=0.5 * scale, stiffness=7.0 * scale, damping=8.0 * scale, **changes
    )


SPEC = RobotSpec(
    name="two",
    joints=(joint("a", 1.0), joint("b", 10.0), joint("c", 100.0, kind="prismatic")),
    control_rate_hz=100.0,
    command_modes=("position",),
    base_frame="base",
)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("position_min", -1.0),
        ("position_max", 2.0),
        ("velocity_max", 3.0),
        ("acceleration_max", 4.0),
        ("jerk_max", 5.0),
        ("effort_max", 6.0),
        ("default_position", 0.5),
        ("stiffness", 7.0),
        ("damping", 8.0),
    ],
)
def test_arrays_are_the_joints_fields_in_order_and_read_only(field, value):
    array = getattr(SPEC, field)
    np.testing.assert_array_equal(array, [value, 10.0 * value, 100.0 * value])
    assert array.dtype == np.float64
    assert getattr(SPEC, field) is array
    with pytest.raises(ValueError, match="read-only"):
        array[0] = 0.0


def test_joints_are_found_by_name_in_any_order():
    assert SPEC.joint_names == ("a", "b", "c")
    np.testing.assert_array_equal(SPEC.indices(["c", "a"]), [2, 0])
    assert SPEC.indices([]).shape == (0,)


def test_an_unknown_joint_is_named_with_the_valid_ones():
    with pytest.raises(UnknownNameError, match=r"unknown joint of 'two' 'd'.*Available: a, b, c"):
        SPEC.indices(["a", "d"])
    with pytest.raises(UnknownNameError):
        SPEC.ordered(["d"], [1.0])


def test_values_by_name_are_put_into_the_robots_order():
    np.testing.assert_array_equal(SPEC.ordered(["c", "a"], [3.0, 1.0], fill=0.0), [1.0, 0.0, 3.0])
    np.testing.assert_array_equal(SPEC.ordered(["b"], [2.0]), [np.nan, 2.0, np.nan])
    with pytest.raises(ValueError, match="2 joint names but 1 values"):
        SPEC.ordered(["a", "b"], [1.0])


def test_a_spec_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        SPEC.name = "three"  # type: ignore[misc]
    with pytest.raises(dataclasses.FrozenInstanceError):
        SPEC.joints[0].effort_max = 1e9  # type: ignore[misc]


def test_a_joint_whose_range_is_empty_or_misses_its_default_is_refused():
    values = {"velocity_max": 1.0, "acceleration_max": 1.0, "jerk_max": 1.0, "effort_max": 1.0}
    with pytest.raises(ConfigError, match="must be below"):
        JointSpec("bend", position_min=1.0, position_max=1.0, **values)
    with pytest.raises(LimitViolationError, match="'bend' default position = 6 is outside"):
        JointSpec("bend", position_min=-2.2, position_max=2.2, default_position=6.0, **values)
