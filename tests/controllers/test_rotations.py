"""Rotations against axioms, scipy and each other."""

from __future__ import annotations

import array_api_strict
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from controllers import rotations


def draw(count=200, seed=0):
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(count, 3))
    vectors /= np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors * rng.uniform(0.0, np.pi, (count, 1))


def test_vector_quaternion_matrix_round_trip_and_scipy():
    vectors = draw()
    quaternions = rotations.quaternion_from_rotation_vector(vectors)
    matrices = rotations.matrix_from_quaternion(quaternions)
    np.testing.assert_allclose(matrices, Rotation.from_rotvec(vectors).as_matrix(), atol=1e-14)
    np.testing.assert_allclose(rotations.quaternion_from_matrix(matrices), quaternions, atol=1e-12)
    np.testing.assert_allclose(rotations.rotation_vector_from_matrix(matrices), vectors, atol=1e-7)


@pytest.mark.parametrize("angle", [0.0, 1e-12, 1e-8, 1e-4, np.pi - 1e-9, np.pi])
def test_logarithm_at_the_ends_of_its_range(angle):
    for axis in np.vstack([np.eye(3), [[0.6, 0.0, 0.8]]]):
        vector = angle * axis
        found = rotations.rotation_vector_from_matrix(rotations.matrix_from_rotation_vector(vector))
        assert min(np.abs(found - vector).max(), np.abs(found + vector).max() + (angle < 3)) < 1e-8


def test_double_cover_and_normalisation():
    quaternion = np.array([0.5, -0.5, 0.5, 0.5])
    matrix = rotations.matrix_from_quaternion(3.0 * quaternion)
    np.testing.assert_allclose(matrix, rotations.matrix_from_quaternion(-quaternion), atol=1e-15)
    np.testing.assert_allclose(rotations.quaternion_from_matrix(matrix), quaternion, atol=1e-15)
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(3), atol=1e-15)
    np.testing.assert_allclose(
        rotations.rotation_vector_from_quaternion(-quaternion), rotations.rotation_vector_from_quaternion(quaternion)
    )


def test_products_of_quaternions_are_products_of_rotations():
    rng = np.random.default_rng(1)
    a, b = (rotations.quaternion_from_rotation_vector(rng.normal(size=(5, 3))) for _ in range(2))
    product = rotations.matrix_from_quaternion(rotations.multiply_quaternions(a, b))
    np.testing.assert_allclose(
        product, rotations.matrix_from_quaternion(a) @ rotations.matrix_from_quaternion(b), atol=1e-12
    )


def test_rotation_error_takes_current_to_target():
    target, current = rotations.matrix_from_rotation_vector(draw(2, seed=1))
    error = rotations.rotation_error(target, current)
    np.testing.assert_allclose(rotations.matrix_from_rotation_vector(error) @ current, target, atol=1e-12)


def test_cross_equals_numpy():
    first, second = np.random.default_rng(2).normal(size=(2, 5, 4, 3))
    np.testing.assert_allclose(rotations.cross(first, second), np.cross(first, second), atol=1e-15)


def test_works_on_the_strict_array_api():
    vectors = draw(6)
    found = rotations.rotation_vector_from_matrix(
        rotations.matrix_from_rotation_vector(array_api_strict.asarray(vectors))
    )
    np.testing.assert_allclose(np.asarray(found), vectors, atol=1e-9)
