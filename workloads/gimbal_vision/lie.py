"""Exponential and logarithm of rotations and rigid transforms, smooth at the identity.

Near zero the closed forms divide 0 by 0; both their value and their gradient come from Taylor
series there. The unused branch is fed a harmless angle, because a NaN in it would still reach the
gradient of `where`. Numpy and torch alike, batched over leading axes.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gimbal_vision._arrays import Array, concat, namespace, stack
from gimbal_vision.poses import make_pose, matrix_to_quaternion

_SERIES_BELOW = 1e-2
"""Squared angle below which five terms of the series are exact to float64."""


def so3_exp(rotation_vector: Array) -> Array:
    """Return [..., 3, 3] rotations by |v| radians about v of [..., 3] vectors (Rodrigues)."""
    w: Any = rotation_vector
    sine, cosine, _ = _coefficients((w * w).sum(-1)[..., None, None])
    W = skew(w)
    result: Array = _identity(W) + sine * W + cosine * (W @ W)
    return result


def so3_log(rotation: Array) -> Array:
    """Return the rotation vectors [..., 3], of length at most pi, of [..., 3, 3] rotations."""
    q: Any = matrix_to_quaternion(rotation)
    xp: Any = namespace(q)
    v, w = q[..., :3], q[..., 3:]
    squared = (v * v).sum(-1)[..., None]
    small = squared < _SERIES_BELOW**2
    one = xp.ones_like(squared)
    n = xp.sqrt(xp.where(small, one, squared))
    ratio = squared / xp.where(small, w * w, one)
    series = 2 * (1 - ratio / 3 + ratio * ratio / 5 - ratio**3 / 7) / xp.where(small, w, one)
    result: Array = v * xp.where(small, series, 2 * xp.arctan2(n, w) / n)
    return result


def se3_exp(twist: Array) -> Array:
    """Return [..., 4, 4] poses of [..., 6] twists (translation part first, then rotation)."""
    rho: Any = twist[..., :3]
    w: Any = twist[..., 3:]
    _, cosine, cubic = _coefficients((w * w).sum(-1)[..., None, None])
    W = skew(w)
    V = _identity(W) + cosine * W + cubic * (W @ W)
    result: Array = make_pose(so3_exp(w), (V @ rho[..., None])[..., 0])
    return result


def se3_log(pose: Array) -> Array:
    """Return the twists [..., 6] (translation part first, then rotation) of [..., 4, 4] poses."""
    w: Any = so3_log(pose[..., :3, :3])
    W = skew(w)
    inverse = (
        _identity(W) - W / 2 + _inverse_coefficient((w * w).sum(-1)[..., None, None]) * (W @ W)
    )
    rho = (inverse @ pose[..., :3, 3:])[..., 0]
    result: Array = concat([rho, w], axis=-1)
    return result


def rotation_angle(first: Array, second: Array) -> Array:
    """Return the angle [...] in radians between [..., 3, 3] rotations; exact for tiny angles."""
    relative: Any = so3_log(first.swapaxes(-1, -2) @ second)
    xp: Any = namespace(relative)
    result: Array = xp.sqrt((relative * relative).sum(-1))
    return result


def skew(vector: Array) -> Array:
    """Return the [..., 3, 3] matrices whose product with x is v × x."""
    v: Any = vector
    x, y, z = (v[..., i] for i in range(3))
    zero = 0 * x
    rows = [stack([zero, -z, y]), stack([z, zero, -x]), stack([-y, x, zero])]
    result: Array = stack(rows, axis=-2)
    return result


def _identity(like_matrix: Any) -> Any:
    xp: Any = namespace(like_matrix)
    if xp is np:
        return np.eye(3, dtype=like_matrix.dtype)
    return xp.eye(3, dtype=like_matrix.dtype, device=like_matrix.device)


def _coefficients(t: Any) -> tuple[Any, Any, Any]:
    """Return sin θ/θ, (1 - cos θ)/θ² and (θ - sin θ)/θ³ for t = θ²."""
    xp: Any = namespace(t)
    small = t < _SERIES_BELOW
    theta = xp.sqrt(xp.where(small, xp.ones_like(t), t))
    half = xp.sin(theta / 2) / theta
    return (
        xp.where(small, _series(t, 6, 20, 42, 72), xp.sin(theta) / theta),
        xp.where(small, _series(t, 12, 30, 56, 90) / 2, 2 * half * half),
        xp.where(small, _series(t, 20, 42, 72, 110) / 6, (theta - xp.sin(theta)) / theta**3),
    )


def _series(t: Any, *divisors: int) -> Any:
    """Return 1 - t/d₀ (1 - t/d₁ (1 - …))."""
    value: Any = 1.0
    for divisor in reversed(divisors):
        value = 1 - t / divisor * value
    return value


def _inverse_coefficient(t: Any) -> Any:
    """Return (1 - θ/2 · cot(θ/2))/θ² for t = θ²."""
    xp: Any = namespace(t)
    small = t < _SERIES_BELOW
    theta = xp.sqrt(xp.where(small, xp.ones_like(t), t))
    closed = (1 - theta / 2 * xp.cos(theta / 2) / xp.sin(theta / 2)) / theta**2
    series = 1 / 12 + t * (1 / 720 + t * (1 / 30240 + t * (1 / 1209600 + t / 47900160)))
    return xp.where(small, series, closed)
