"""Cartesian impedance control: its law against hand-computed values and finite differences, its limits."""

from __future__ import annotations

import array_api_strict
import numpy as np
import pytest

from controllers.impedance import (
    CartesianImpedanceController,
    ImpedanceConfig,
    ToolPoseReference,
    between_poses,
    impedance_spec,
)
from controllers.kinematics import SerialChain
from controllers.rotations import matrix_from_quaternion, quaternion_from_matrix, quaternion_from_rotation_vector
from controllers.tracking import JointTrackingController
from hardware.errors import ConfigError, NonFiniteError
from hardware.panda import MODEL, PANDA

CONFIG = ImpedanceConfig()
UNLIMITED = np.full(8, np.inf)


@pytest.fixture(scope="module")
def chain() -> SerialChain:
    return SerialChain.from_mjcf(MODEL, PANDA.joint_names, PANDA.tool_frame, PANDA.base_frame)


def target_at(chain: SerialChain, q: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    position, rotation = chain.forward(q)
    return position, quaternion_from_matrix(rotation)


def test_springs_are_clipped_per_axis_and_dampers_are_not():
    controller = CartesianImpedanceController(CONFIG, UNLIMITED)
    still, identity = np.zeros(6), np.eye(3)
    near = controller.wrench(np.zeros(3), identity, still, np.array([0.01, 0.0, -0.02]), identity)
    np.testing.assert_allclose(near, [15.0, 0.0, -30.0, 0.0, 0.0, 0.0])
    far = controller.wrench(np.zeros(3), identity, still, np.array([1.0, 0.005, -9.0]), identity)
    np.testing.assert_allclose(far, [45.0, 7.5, -45.0, 0.0, 0.0, 0.0])
    np.testing.assert_allclose(CONFIG.force_max[:3], 45.0)
    moving = controller.wrench(np.zeros(3), identity, np.array([0.0, 2.0, 0.0, 0.0, 0.0, 1.0]), np.zeros(3), identity)
    np.testing.assert_allclose(moving, [0.0, -300.0, 0.0, 0.0, 0.0, -12.0])


def test_the_axes_are_those_of_the_target():
    config = ImpedanceConfig(stiffness=(1000.0, 100.0, 100.0, 10.0, 10.0, 10.0), clip=(1.0,) * 6)
    controller = CartesianImpedanceController(config, UNLIMITED)
    quarter = matrix_from_quaternion(quaternion_from_rotation_vector(np.array([0.0, 0.0, np.pi / 2])))
    wrench = controller.wrench(np.zeros(3), quarter, np.zeros(6), np.array([0.1, 0.1, 0.0]), quarter)
    np.testing.assert_allclose(wrench[:3], [10.0, 100.0, 0.0], atol=1e-12)  # the target's stiff x axis is the base's y
    tilt = matrix_from_quaternion(quaternion_from_rotation_vector(np.array([0.2, 0.0, 0.0])))
    turned = controller.wrench(np.zeros(3), np.eye(3), np.zeros(6), np.zeros(3), tilt)
    np.testing.assert_allclose(turned[3:], [2.0, 0.0, 0.0], atol=1e-12)  # towards the target, about the shared axis


def test_linearisation_is_the_derivative_of_the_torques(chain):
    controller = CartesianImpedanceController(CONFIG, UNLIMITED)
    q, step = PANDA.default_position + 0.1, 1e-6
    controller.reset(q)
    target = target_at(chain, q)
    gains = controller.linearisation(chain.forward_and_jacobian(q), target)
    for joint in range(7):
        shift = np.zeros(8)
        shift[joint] = step
        plus, minus = (
            controller.effort(where, np.zeros(8), chain.forward_and_jacobian(where), target)
            for where in (q + shift, q - shift)
        )
        np.testing.assert_allclose((plus - minus) / (2 * step), gains.position_gain[:, joint], rtol=1e-4, atol=1e-3)
        faster = controller.effort(q, shift, chain.forward_and_jacobian(q), target) / step
        np.testing.assert_allclose(faster, gains.velocity_gain[:, joint], rtol=1e-6, atol=1e-6)


def test_a_clipped_axis_stiffens_no_more(chain):
    controller = CartesianImpedanceController(CONFIG, UNLIMITED)
    q = PANDA.default_position.copy()
    position, quaternion = target_at(chain, q)
    tool = chain.forward_and_jacobian(q)
    free = controller.linearisation(tool, (position + np.array([0.0, 0.0, 1.0]), quaternion)).position_gain
    held = controller.linearisation(tool, (position, quaternion)).position_gain
    row = tool[2][2]
    np.testing.assert_allclose(free - held, CONFIG.stiffness[2] * np.outer(row, row), atol=1e-9)


def test_torques_are_limited_in_size_and_in_rate(chain):
    limit, rate = np.full(8, 5.0), np.full(8, 1000.0)
    controller = CartesianImpedanceController(CONFIG, limit, rate, period_s=0.001)
    q = PANDA.default_position.copy()
    controller.reset(q)
    position, quaternion = target_at(chain, q)
    tool, before = chain.forward_and_jacobian(q), np.zeros(8)
    for _ in range(12):
        effort = controller.effort(q, np.zeros(8), tool, (position + np.array([0.0, 0.0, 1.0]), quaternion))
        assert np.abs(effort - before).max() <= 1.0 + 1e-12
        before = effort
    assert np.abs(before).max() == pytest.approx(5.0)
    # 45 N upwards take more than 5 Nm from the second joint, whose lever is 0.3 m and more.
    assert abs(CONFIG.force_max[2] * tool[2][2, 1]) > 5.0


def test_bias_is_added_and_a_posture_is_needed(chain):
    controller = CartesianImpedanceController(CONFIG, UNLIMITED)
    q = PANDA.default_position.copy()
    with pytest.raises(ConfigError, match="reset"):
        controller.effort(q, np.zeros(8), chain.forward_and_jacobian(q), target_at(chain, q))
    controller.reset(q + 0.2)
    bias = np.arange(8.0)
    effort = controller.effort(q, np.zeros(8), chain.forward_and_jacobian(q), target_at(chain, q), bias)
    np.testing.assert_allclose(effort, bias + 0.2 * CONFIG.posture_stiffness, atol=1e-9)


def test_a_batch_and_another_array_library_give_the_same(chain):
    rng = np.random.default_rng(0)
    q = PANDA.default_position + 0.2 * rng.normal(size=(4, 8))
    velocity = rng.normal(size=(4, 8))
    target = target_at(chain, q + 0.05)
    controller = CartesianImpedanceController(CONFIG, PANDA.effort_max)
    controller.reset(q)
    together = controller.effort(q, velocity, chain.forward_and_jacobian(q), target)
    for row in range(4):
        controller.reset(q[row])
        alone = controller.effort(
            q[row], velocity[row], chain.forward_and_jacobian(q[row]), (target[0][row], target[1][row])
        )
        np.testing.assert_allclose(together[row], alone, atol=1e-9)
    xp = array_api_strict
    strict_q, strict_velocity = xp.asarray(q), xp.asarray(velocity)
    controller.reset(strict_q)
    strict = controller.effort(
        strict_q, strict_velocity, chain.forward_and_jacobian(strict_q), (xp.asarray(target[0]), xp.asarray(target[1]))
    )
    np.testing.assert_allclose(np.asarray(strict), together, atol=1e-9)


def test_the_way_between_poses_is_straight_and_turns_evenly():
    start = np.array([0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0])
    turn = quaternion_from_rotation_vector(np.array([0.0, 0.0, 1.0]))
    end = np.concatenate([[0.4, -0.2, 0.0], turn])
    path = between_poses(start, end, np.array([0.25, 1.0]))
    quarter = quaternion_from_rotation_vector(np.array([0.0, 0.0, 0.25]))
    np.testing.assert_allclose(path[0], np.concatenate([[0.1, -0.05, 0.0], quarter]), atol=1e-12)
    np.testing.assert_allclose(path[1], end, atol=1e-12)
    # The other sign of a quaternion is the same orientation: the shorter way round is taken.
    other = between_poses(start, np.concatenate([end[:3], -turn]), np.array([0.25]))
    np.testing.assert_allclose(np.abs(other[0, 3:]), np.abs(quarter), atol=1e-12)


def test_the_robot_gets_posture_gains_and_its_gripper_keeps_its_own():
    spec = impedance_spec(PANDA, CONFIG)
    np.testing.assert_array_equal(spec.stiffness[:7], CONFIG.posture_stiffness)
    np.testing.assert_array_equal(spec.damping[:7], CONFIG.posture_damping)
    assert (spec.stiffness[7], spec.damping[7]) == (PANDA.stiffness[7], PANDA.damping[7])
    assert spec.joint_names == PANDA.joint_names


def test_a_joint_controller_refuses_the_pose_of_a_tool():
    value = np.append(np.full(7, np.nan), 0.08)
    reference = ToolPoseReference("position", value, 0.1, position=np.zeros(3), quaternion=np.array([1.0, 0, 0, 0]))
    with pytest.raises(NonFiniteError, match="not finite"):
        JointTrackingController(PANDA).set_reference(reference)


def test_settings_are_checked():
    with pytest.raises(ConfigError, match="six positive"):
        ImpedanceConfig(stiffness=(0.0, 1.0, 1.0, 1.0, 1.0, 1.0))
    with pytest.raises(ConfigError, match="negative"):
        ImpedanceConfig(posture_damping=-1.0)
