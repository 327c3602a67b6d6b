"""Rotations and rigid transforms, for numpy and torch alike, batched over leading axes.

Quaternions are (x, y, z, w). A pose is a [..., 4, 4] matrix; `a_from_b` maps coordinates of b to
coordinates of a, and `cam2world` is `world_from_camera`. Exponential and logarithm are in
`gimbal_vision.lie`, other libraries' axes in `gimbal_vision.conventions`.
"""

from __future__ import annotations

from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from gimbal_vision._arrays import Array, concat, like, namespace, stack, transpose
from gimbal_vision.errors import PoseError

FloatArray = np.ndarray[Any, np.dtype[np.floating[Any]]]

_PARALLEL = 1e-9
"""Sine of the angle to `up` below which a view direction leaves the roll open."""


def normalise_quaternion(quaternion: Array) -> Array:
    """Return unit quaternions with w >= 0, one of the two that mean the same rotation.

    Zero quaternions give NaN in torch, where a check would wait for the device; numpy raises.
    """
    xp: Any = namespace(quaternion)
    norm = xp.sqrt((quaternion * quaternion).sum(-1))[..., None]
    if xp is np and np.any(~(np.isfinite(norm) & (norm > 0))):
        raise PoseError(
            "A quaternion is zero or not finite", "Give quaternions (x, y, z, w) of any length > 0."
        )
    unit = quaternion / norm
    one = xp.ones_like(unit[..., 3:])
    result: Array = unit * xp.where(unit[..., 3:] < 0, -one, one)
    return result


def quaternion_to_matrix(quaternion: Array) -> Array:
    """Return [..., 3, 3] rotations of [..., 4] quaternions (x, y, z, w) of any non-zero length."""
    q: Any = normalise_quaternion(quaternion)
    x, y, z, w = (q[..., i] for i in range(4))
    rows = [
        stack([1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)]),
        stack([2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)]),
        stack([2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)]),
    ]
    result: Array = stack(rows, axis=-2)
    return result


def matrix_to_quaternion(rotation: Array) -> Array:
    """Return unit quaternions (x, y, z, w), w >= 0, of [..., 3, 3] rotations.

    Each of the four rows of 4 q qᵀ is the quaternion times one of its own components; the row with
    the largest diagonal is taken, so no angle divides by a small number (Shepperd, 1978).
    """
    m: Any = rotation
    xp: Any = namespace(m)
    xx, yy, zz = m[..., 0, 0], m[..., 1, 1], m[..., 2, 2]
    xy, xz, yz = (
        m[..., 0, 1] + m[..., 1, 0],
        m[..., 0, 2] + m[..., 2, 0],
        m[..., 1, 2] + m[..., 2, 1],
    )
    xw, yw, zw = (
        m[..., 2, 1] - m[..., 1, 2],
        m[..., 0, 2] - m[..., 2, 0],
        m[..., 1, 0] - m[..., 0, 1],
    )
    diagonal = stack([1 + xx - yy - zz, 1 - xx + yy - zz, 1 - xx - yy + zz, 1 + xx + yy + zz])
    candidates = stack(
        [
            stack([diagonal[..., 0], xy, xz, xw]),
            stack([xy, diagonal[..., 1], yz, yw]),
            stack([xz, yz, diagonal[..., 2], zw]),
            stack([xw, yw, zw, diagonal[..., 3]]),
        ],
        axis=-2,
    )
    best = diagonal.argmax(-1)[..., None, None]
    take: Any = xp.take_along_axis if xp is np else xp.take_along_dim
    chosen: Any = take(candidates, best, -2)[..., 0, :]
    result: Array = normalise_quaternion(chosen)
    return result


def multiply_quaternions(first: Array, second: Array) -> Array:
    """Return the Hamilton product: rotate by `second`, then by `first`."""
    a: Any = first
    b: Any = second
    xp: Any = namespace(a)
    av, aw, bv, bw = a[..., :3], a[..., 3:], b[..., :3], b[..., 3:]
    av, bv = xp.broadcast_arrays(av, bv) if xp is np else xp.broadcast_tensors(av, bv)
    cross = np.cross(av, bv) if xp is np else xp.linalg.cross(av, bv)
    vector = aw * bv + bw * av + cross
    scalar = aw * bw - (av * bv).sum(-1)[..., None]
    result: Array = concat([vector, scalar], axis=-1)
    return result


def make_pose(rotation: Array, translation: Array) -> Array:
    """Return [..., 4, 4] poses of [..., 3, 3] rotations and [..., 3] translations."""
    upper: Any = concat([rotation, translation[..., None]], axis=-1)
    last: Any = like([0.0, 0.0, 0.0, 1.0], upper)
    xp: Any = namespace(upper)
    result: Array = concat([upper, xp.zeros_like(upper[..., :1, :]) + last], axis=-2)
    return result


def invert_pose(pose: Array) -> Array:
    """Return the inverse of rigid [..., 4, 4] poses: transpose, no solving."""
    Rt: Any = transpose(pose[..., :3, :3])
    result: Array = make_pose(Rt, -(Rt @ pose[..., :3, 3:])[..., 0])
    return result


def compose(*poses: Array) -> Array:
    """Return the product of poses; `a_from_b` and `b_from_c` give `a_from_c`."""
    if not poses:
        raise PoseError("No poses to compose", "Give at least one.")
    return reduce(lambda left, right: left @ right, poses)


def relative_pose(reference: Array, pose: Array) -> Array:
    """Return `pose` as seen from `reference`: reference⁻¹ · pose."""
    result: Array = invert_pose(reference) @ pose
    return result


def transform_points(pose: Array, points: Array) -> Array:
    """Map [..., P, 3] points by [..., 4, 4] poses."""
    mapped: Any = points @ transpose(pose[..., :3, :3])
    result: Array = mapped + pose[..., None, :3, 3]
    return result


def is_rigid(pose: ArrayLike, tolerance: float = 1e-4) -> bool:
    """Tell whether every [..., 4, 4] matrix is a rotation and a translation, nothing else."""
    p = np.asarray(pose, dtype=np.float64)
    R = p[..., :3, :3]
    return bool(
        np.isfinite(p).all()
        and np.all(np.abs(R @ R.mT - np.eye(3)) < tolerance)
        and np.all(np.linalg.det(R) > 0)
        and np.all(p[..., 3, :] == (0.0, 0.0, 0.0, 1.0))
    )


def look_at(
    eye: ArrayLike, target: ArrayLike = (0.0, 0.0, 0.0), up: ArrayLike = (0.0, 0.0, 1.0)
) -> FloatArray:
    """Return OpenCV camera poses at `eye` whose optical axis passes through `target`.

    Looking along `up` leaves the roll open; there the world axis furthest from the line of sight
    takes the place of `up`, so every eye has exactly one pose.

    Args:
        eye: [..., 3] optical centres.
        target: [..., 3] or one point.
        up: [..., 3] or one direction that is to point upwards in the image.

    Returns:
        [..., 4, 4] float64 cam2world.

    Raises:
        PoseError: An eye lies on its target, `up` is zero, or something is not finite.
    """
    e, t, u = np.broadcast_arrays(*(np.asarray(a, np.float64) for a in (eye, target, up)))
    forward, reach = _unit(t - e)
    u, length = _unit(u)
    if e.shape[-1:] != (3,) or not (reach.all() and length.all() and np.isfinite(e).all()):
        raise PoseError(
            "A camera looks at its own position, has no up direction, or is not finite",
            "Move the eye off the target and give finite [..., 3] points.",
        )
    right, level = _unit(np.cross(forward, u), _PARALLEL)
    spare = np.eye(3)[np.abs(forward).argmin(axis=-1)]
    right = np.where(level, right, _unit(np.cross(forward, spare))[0])
    return make_pose(np.stack([right, np.cross(forward, right), forward], axis=-1), e)


def _unit(vectors: FloatArray, at_least: float = 0.0) -> tuple[FloatArray, Any]:
    """Return unit vectors and where [..., 1] the length is finite and above `at_least`."""
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    valid = np.isfinite(length) & (length > at_least)
    return vectors / np.where(valid, length, 1.0), valid
