"""Rotations as quaternions (w, x, y, z), matrices and rotation vectors, batched over the array API.

Every function takes arrays with leading batch dimensions, `(..., k)`, and returns the library's own arrays.
"""

from __future__ import annotations

from hardware.arrays import Array, namespace

_SMALL = 1e-9
"""Below this angle [rad] the first-order expansion of a rotation is exact in double precision."""


def matrix_from_quaternion(quaternion: Array) -> Array:
    """Rotation matrix of a unit quaternion.

    Args:
        quaternion: (..., 4), w x y z; normalised here.

    Returns:
        (..., 3, 3).
    """
    xp = namespace(quaternion)
    unit = quaternion / xp.linalg.vector_norm(quaternion, axis=-1, keepdims=True)
    w, x, y, z = (unit[..., index] for index in range(4))
    rows = (
        (1.0 - 2.0 * (y * y + z * z), 2.0 * (x * y - w * z), 2.0 * (x * z + w * y)),
        (2.0 * (x * y + w * z), 1.0 - 2.0 * (x * x + z * z), 2.0 * (y * z - w * x)),
        (2.0 * (x * z - w * y), 2.0 * (y * z + w * x), 1.0 - 2.0 * (x * x + y * y)),
    )
    return xp.stack([xp.stack(row, axis=-1) for row in rows], axis=-2)


def multiply_quaternions(first: Array, second: Array) -> Array:
    """Hamilton product, (..., 4), w x y z: the rotation `second` followed by `first`."""
    xp = namespace(first)
    a, b, c, d = (first[..., index] for index in range(4))
    w, x, y, z = (second[..., index] for index in range(4))
    return xp.stack(
        [
            a * w - b * x - c * y - d * z,
            a * x + b * w + c * z - d * y,
            a * y - b * z + c * w + d * x,
            a * z + b * y - c * x + d * w,
        ],
        axis=-1,
    )


def quaternion_from_matrix(matrix: Array) -> Array:
    """Unit quaternion of a rotation matrix, with w >= 0.

    The largest row of 4 q q' is taken, so that no division by a small number occurs (Shepperd 1978).

    Args:
        matrix: (..., 3, 3).

    Returns:
        (..., 4), w x y z.
    """
    xp = namespace(matrix)
    m = [[matrix[..., row, column] for column in range(3)] for row in range(3)]
    wx, wy, wz = m[2][1] - m[1][2], m[0][2] - m[2][0], m[1][0] - m[0][1]
    xy, xz, yz = m[1][0] + m[0][1], m[0][2] + m[2][0], m[2][1] + m[1][2]
    rows = (
        (1.0 + m[0][0] + m[1][1] + m[2][2], wx, wy, wz),
        (wx, 1.0 + m[0][0] - m[1][1] - m[2][2], xy, xz),
        (wy, xy, 1.0 - m[0][0] + m[1][1] - m[2][2], yz),
        (wz, xz, yz, 1.0 - m[0][0] - m[1][1] + m[2][2]),
    )
    outer = xp.stack([xp.stack(row, axis=-1) for row in rows], axis=-2)
    diagonal = xp.stack([rows[index][index] for index in range(4)], axis=-1)
    largest = xp.arange(4) == xp.argmax(diagonal, axis=-1, keepdims=True)
    row = xp.sum(xp.where(largest[..., None], outer, xp.zeros_like(outer)), axis=-2)
    row = row / xp.linalg.vector_norm(row, axis=-1, keepdims=True)
    return xp.where(row[..., :1] < 0.0, -row, row)


def rotation_vector_from_quaternion(quaternion: Array) -> Array:
    """Logarithm of a rotation: axis times angle, the shorter way round.

    Args:
        quaternion: (..., 4), w x y z, unit length.

    Returns:
        (..., 3) [rad], length in [0, pi].
    """
    xp = namespace(quaternion)
    quaternion = xp.where(quaternion[..., :1] < 0.0, -quaternion, quaternion)
    vector = quaternion[..., 1:]
    sine = xp.linalg.vector_norm(vector, axis=-1, keepdims=True)
    small = sine < _SMALL
    angle = 2.0 * xp.atan2(sine, quaternion[..., :1])
    return xp.where(small, 2.0 * vector, vector * (angle / xp.where(small, xp.ones_like(sine), sine)))


def quaternion_from_rotation_vector(vector: Array) -> Array:
    """Exponential of a rotation vector.

    Args:
        vector: (..., 3) [rad].

    Returns:
        (..., 4), w x y z.
    """
    xp = namespace(vector)
    angle = xp.linalg.vector_norm(vector, axis=-1, keepdims=True)
    small = angle < _SMALL
    scale = xp.where(small, 0.5 * xp.ones_like(angle), xp.sin(0.5 * angle) / xp.where(small, 1.0 + angle, angle))
    return xp.concat([xp.cos(0.5 * angle), scale * vector], axis=-1)


def rotation_vector_from_matrix(matrix: Array) -> Array:
    """Logarithm of a rotation matrix (..., 3, 3): axis times angle, (..., 3) [rad], length in [0, pi].

    The skew part of the matrix is sin(angle) axis. That is exact to rounding up to two thirds of a half turn; beyond,
    the quaternion is used, which costs five times as much.
    """
    xp = namespace(matrix)
    trace = matrix[..., 0, 0] + matrix[..., 1, 1] + matrix[..., 2, 2]
    if not xp.all(trace > 0.0):
        return rotation_vector_from_quaternion(quaternion_from_matrix(matrix))
    rotated = xp.stack(
        [
            matrix[..., 2, 1] - matrix[..., 1, 2],
            matrix[..., 0, 2] - matrix[..., 2, 0],
            matrix[..., 1, 0] - matrix[..., 0, 1],
        ],
        axis=-1,
    )
    double_sine = xp.linalg.vector_norm(rotated, axis=-1)
    small = double_sine < _SMALL
    angle = xp.atan2(double_sine, trace - 1.0)
    scale = xp.where(small, 0.5 * xp.ones_like(angle), angle / xp.where(small, xp.ones_like(angle), double_sine))
    return rotated * scale[..., None]


def matrix_from_rotation_vector(vector: Array) -> Array:
    """Exponential of a rotation vector (..., 3) [rad] as a matrix, (..., 3, 3)."""
    return matrix_from_quaternion(quaternion_from_rotation_vector(vector))


def rotation_error(target: Array, current: Array) -> Array:
    """Rotation that takes `current` to `target`, seen in the frame both are given in.

    Args:
        target: (..., 3, 3).
        current: (..., 3, 3).

    Returns:
        (..., 3) [rad]: log(target current').
    """
    xp = namespace(current)
    return rotation_vector_from_matrix(target @ xp.matrix_transpose(current))


def cross(first: Array, second: Array) -> Array:
    """Cross product over the last axis; `numpy.cross` is several times slower on small arrays.

    Args:
        first: (..., 3).
        second: (..., 3).

    Returns:
        (..., 3).
    """
    xp = namespace(first)
    order = xp.asarray([1, 2, 0])
    rotated = first * xp.take(second, order, axis=-1) - xp.take(first, order, axis=-1) * second
    return xp.take(rotated, order, axis=-1)
