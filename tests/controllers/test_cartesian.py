"""Differential inverse kinematics on the small arm: arrives, keeps limits, and says when it cannot."""

from __future__ import annotations

import dataclasses

import mujoco
import numpy as np
import pytest
from example_arm import ARM_JOINTS, ARM_XML
from fake_robot import REST, SPEC

from controllers.cartesian import CartesianConfig, DifferentialInverseKinematics
from controllers.kinematics import SerialChain
from controllers.reference import ToolReference
from controllers.rotations import quaternion_from_matrix, rotation_error
from hardware.errors import ConfigError, UnknownNameError

CHAIN = SerialChain.from_model(mujoco.MjModel.from_xml_string(ARM_XML), ARM_JOINTS, "tool", "base")
STEP = 0.04


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("arm") / "arm.xml"
    path.write_text(ARM_XML)
    return path


@pytest.fixture(scope="module")
def kinematics(path):
    return DifferentialInverseKinematics(path, SPEC)


def test_reaches_a_pose_at_bounded_speed(kinematics):
    goal = REST + np.array([0.2, -0.2, 0.05, 0.3, 0.2, -0.3])
    position, rotation = CHAIN.forward(goal)
    q = REST.copy()
    for _ in range(150):
        result = kinematics.toward(position, quaternion_from_matrix(rotation), q, STEP)
        assert result.reason is None and result.reference.mode == "velocity" and result.reference.horizon_s == STEP
        tool_speed = np.linalg.norm((CHAIN.jacobian(q) @ result.reference.value)[:3])
        assert tool_speed <= 0.25 * 1.02
        q = q + STEP * result.reference.value
    reached = CHAIN.forward(q)
    assert np.linalg.norm(reached[0] - position) < 1e-4
    assert np.linalg.norm(rotation_error(rotation, reached[1])) < 1e-3


def test_tool_velocity_is_the_one_asked_for_in_the_base_frame(kinematics):
    twist = np.array([0.05, -0.03, 0.02, 0.1, 0.0, -0.2])
    result = kinematics.follow(ToolReference(twist[:3], twist[3:], 1e-3, created_s=7.0), REST)
    np.testing.assert_allclose(CHAIN.jacobian(REST) @ result.reference.value, twist, atol=2e-3)
    assert result.reference.created_s == 7.0


def test_velocity_and_position_limits_hold_to_the_boundary(kinematics):
    q, config = REST.copy(), CartesianConfig()
    for _ in range(300):
        result = kinematics.follow(ToolReference(np.array([3.0, 0.0, 2.0]), np.zeros(3), STEP), q)
        assert result.reason is None
        assert np.all(np.abs(result.reference.value) <= 0.8 * SPEC.velocity_max + 1e-9)
        q = q + STEP * result.reference.value
        margin = config.position_margin - 1e-9
        assert np.all((q >= SPEC.position_min + margin) & (q <= SPEC.position_max - margin))
    assert np.isclose(q[2], 0.2 - config.position_margin, atol=1e-3)  # the slide is at its end


def test_tool_pose_equals_the_chain(kinematics):
    for ours, theirs in zip(kinematics.tool_pose(REST), CHAIN.forward(REST), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-12)


def test_without_a_solution_the_robot_stands_still_and_says_why(kinematics):
    outside = REST.copy()
    outside[2] = 1.0  # 0.8 m beyond the slide's end: no allowed speed leads back within one step
    result = kinematics.follow(ToolReference(np.zeros(3), np.zeros(3), STEP), outside)
    assert "joint limits" in result.reason
    np.testing.assert_array_equal(result.reference.value, np.zeros(6))
    result = kinematics.follow(ToolReference(np.array([np.nan, 0, 0]), np.zeros(3), STEP), REST)
    assert "finite" in result.reason and np.all(result.reference.value == 0.0)
    result = kinematics.toward(np.full(3, np.nan), np.array([1.0, 0, 0, 0]), REST, STEP)
    assert "finite" in result.reason


def test_refuses_a_robot_that_does_not_fit_the_model(path):
    with pytest.raises(ConfigError, match="tool frame"):
        DifferentialInverseKinematics(path, dataclasses.replace(SPEC, tool_frame=None))
    with pytest.raises(UnknownNameError, match="fore"):
        DifferentialInverseKinematics(path, dataclasses.replace(SPEC, base_frame="forearm"))
    with pytest.raises(UnknownNameError, match="tool"):
        DifferentialInverseKinematics(path, dataclasses.replace(SPEC, tool_frame="tcp"))
