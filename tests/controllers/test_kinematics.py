"""The serial chain against MuJoCo, finite differences, and its own batched form."""

from __future__ import annotations

import array_api_strict
import mujoco
import numpy as np
import pytest
from example_arm import ARM_JOINTS, ARM_XML

from controllers.kinematics import KeptKinematics, SerialChain
from controllers.rotations import rotation_error
from hardware.errors import ConfigError, UnknownNameError


@pytest.fixture(scope="module")
def model():
    return mujoco.MjModel.from_xml_string(ARM_XML)


@pytest.fixture(scope="module")
def chain(model):
    return SerialChain.from_model(model, ARM_JOINTS, "tool", "base")


def draw(count, seed=0):
    return np.random.default_rng(seed).uniform(-1.5, 1.5, (count, 6)) * [1, 1, 0.1, 1, 1, 1]


def mujoco_pose(model, names, q):
    data = mujoco.MjData(model)
    for name, value in zip(names, q, strict=True):
        data.joint(name).qpos = value
    mujoco.mj_kinematics(model, data)
    mujoco.mj_comPos(model, data)
    base, site = data.body("base"), data.site("tool")
    rotation = base.xmat.reshape(3, 3)
    jacobian = np.zeros((2, 3, model.nv))
    mujoco.mj_jacSite(model, data, jacobian[0], jacobian[1], site.id)
    columns = [model.joint(name).dofadr[0] for name in names]
    jacobian = np.concatenate([rotation.T @ jacobian[0], rotation.T @ jacobian[1]])[:, columns]
    return rotation.T @ (site.xpos - base.xpos), rotation.T @ site.xmat.reshape(3, 3), jacobian


@pytest.mark.parametrize("names", [ARM_JOINTS, (*reversed(ARM_JOINTS), "grip")])
def test_equals_mujoco_in_any_joint_order(model, names):
    chain = SerialChain.from_model(model, names, "tool", "base")
    for row in draw(20):
        q = np.zeros(len(names))
        q[[names.index(joint) for joint in ARM_JOINTS]] = row
        position, rotation, jacobian = chain.forward_and_jacobian(q)
        expected = mujoco_pose(model, names, q)
        np.testing.assert_allclose(position, expected[0], atol=1e-12)
        np.testing.assert_allclose(rotation, expected[1], atol=1e-12)
        np.testing.assert_allclose(jacobian, expected[2], atol=1e-12)


def test_jacobian_is_the_derivative_of_forward(chain):
    step = 1e-6
    for q in draw(5, seed=1):
        numeric = np.empty((6, 6))
        for index in range(6):
            high, low = q.copy(), q.copy()
            high[index] += step
            low[index] -= step
            (p1, r1), (p0, r0) = chain.forward(high), chain.forward(low)
            numeric[:3, index] = (p1 - p0) / (2 * step)
            numeric[3:, index] = rotation_error(r1, r0) / (2 * step)
        np.testing.assert_allclose(chain.jacobian(q), numeric, atol=1e-6)


def test_batch_equals_loop_and_keeps_shape(chain):
    q = draw(12, seed=2).reshape(3, 4, 6)
    position, rotation, jacobian = chain.forward_and_jacobian(q)
    assert position.shape == (3, 4, 3) and rotation.shape == (3, 4, 3, 3) and jacobian.shape == (3, 4, 6, 6)
    single = chain.forward_and_jacobian(q[1, 2])
    for batched, one in zip((position[1, 2], rotation[1, 2], jacobian[1, 2]), single, strict=True):
        np.testing.assert_allclose(batched, one, atol=1e-14)


def test_a_kept_answer_is_that_of_the_joints_asked_for(chain):
    kept, q = KeptKinematics(chain), draw(1)[0]
    first = kept(q)
    assert kept(q.copy()) is first
    q += 0.1  # in place, as a simulation changes its state
    assert kept(q) is not first
    for found, expected in zip(kept(q), chain.forward_and_jacobian(q), strict=True):
        np.testing.assert_array_equal(found, expected)
    foreign = array_api_strict.asarray(q)
    np.testing.assert_allclose(np.asarray(kept(foreign)[0]), kept(q)[0], atol=1e-12)


def test_works_on_the_strict_array_api(chain):
    q = draw(4, seed=3)
    strict = chain.forward_and_jacobian(array_api_strict.asarray(q))
    for ours, numpy in zip(strict, chain.forward_and_jacobian(q), strict=True):
        np.testing.assert_allclose(np.asarray(ours), numpy, atol=1e-14)
    position, rotation = chain.forward(array_api_strict.asarray(q))
    solved, converged = chain.inverse(position, rotation, array_api_strict.asarray(q + 0.05))
    assert bool(array_api_strict.all(converged))
    np.testing.assert_allclose(np.asarray(chain.forward(solved)[0]), np.asarray(position), atol=1e-6)


def test_inverse_reaches_batched_poses_inside_the_limits(chain):
    rng = np.random.default_rng(4)
    q = rng.uniform(-1.0, 1.0, (50, 6)) * [1, 1, 0.1, 1, 1, 1]
    position, rotation = chain.forward(q)
    solved, converged = chain.inverse(position, rotation, q + rng.normal(0, 0.1, q.shape) * [1, 1, 0.1, 1, 1, 1])
    assert converged.mean() > 0.9
    reached = chain.forward(solved)
    np.testing.assert_allclose(reached[0][converged], position[converged], atol=2e-6)
    np.testing.assert_allclose(reached[1][converged], rotation[converged], atol=2e-6)
    assert np.all(solved >= chain.position_min) and np.all(solved <= chain.position_max)


def test_inverse_says_when_it_did_not_converge(chain):
    q, converged = chain.inverse(np.array([5.0, 0.0, 0.0]), np.eye(3), np.zeros(6))
    assert not converged and np.all(np.isfinite(q))


def test_errors_name_what_exists(model):
    with pytest.raises(UnknownNameError, match="lift"):
        SerialChain.from_model(model, ("pan", "lfit"), "tool", "base")
    with pytest.raises(ConfigError, match="roll"):
        SerialChain.from_model(model, ("pan", "lift", "reach", "bend", "twist"), "tool", "base")
    with pytest.raises(ConfigError, match="does not hang below"):
        SerialChain.from_model(model, ARM_JOINTS, "tool", "finger")
    with pytest.raises(ConfigError, match="no joint moves"):
        SerialChain.from_model(model, ARM_JOINTS, "tool", "hand")


def test_reads_a_file(tmp_path, chain):
    path = tmp_path / "arm.xml"
    path.write_text(ARM_XML)
    loaded = SerialChain.from_mjcf(path, ARM_JOINTS, "tool", "base")
    np.testing.assert_array_equal(loaded.forward(np.ones(6))[0], chain.forward(np.ones(6))[0])
