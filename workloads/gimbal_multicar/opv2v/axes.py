"""Between Unreal's axes, in which OPV2V is written, and OpenCV's, in which we compute.

Unreal: x forward, y right, z up, left-handed. OpenCV: x right, y down, z forward, right-handed.
B = [[0,1,0],[0,0,-1],[1,0,0]] maps the one to the other, for the world as for a car or a camera.
Its determinant is -1, so a pose must be conjugated, B T B⁻¹. Multiplying by B on one side only
leaves a reflection, of which no quaternion exists. All functions work on batches.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from gimbal_vision.poses import make_pose

FloatArray = np.ndarray[Any, np.dtype[np.floating[Any]]]

B = np.array([[0.0, 1.0, 0.0], [0.0, 0.0, -1.0], [1.0, 0.0, 0.0]])
"""[3, 3] OpenCV from Unreal: (x, y, z) becomes (y, -z, x)."""
B.setflags(write=False)

GIMBAL_LOCK = 1e-9
"""Cosine of the pitch below which roll and yaw turn about the same axis; roll is then set to 0."""


def x_to_world(pose: ArrayLike) -> FloatArray:
    """Return the matrix of a pose as CARLA writes it, in Unreal's axes.

    R = Rz(yaw) Ry(-pitch) Rx(-roll): in Unreal a positive pitch lifts the nose and a positive roll
    lowers the right side, both against the right-hand rule that the matrices follow.

    Args:
        pose: [..., 6] x, y, z in metres and roll, yaw, pitch in degrees.

    Returns:
        [..., 4, 4] float64 `world_from_x`.
    """
    p = np.asarray(pose, np.float64)
    roll, yaw, pitch = (np.radians(p[..., i]) for i in (3, 4, 5))
    cr, sr, cy, sy, cp, sp = (f(angle) for angle in (roll, yaw, pitch) for f in (np.cos, np.sin))
    rows = [
        [cp * cy, cy * sp * sr - sy * cr, -cy * sp * cr - sy * sr],
        [sy * cp, sy * sp * sr + cy * cr, -sy * sp * cr + cy * sr],
        [sp, -cp * sr, cp * cr],
    ]
    R: FloatArray = np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)
    return make_pose(R, p[..., :3])


def world_to_x(world_from_x: ArrayLike) -> FloatArray:
    """Return the pose as CARLA writes it, the inverse of `x_to_world`.

    Args:
        world_from_x: [..., 4, 4] in Unreal's axes.

    Returns:
        [..., 6] x, y, z in metres and roll, yaw, pitch in degrees; roll and yaw in [-180, 180],
        pitch in [-90, 90]. Where the nose points straight up or down, roll is 0.
    """
    T = np.asarray(world_from_x, np.float64)
    level = np.hypot(T[..., 0, 0], T[..., 1, 0])
    locked = level < GIMBAL_LOCK
    pitch = np.arctan2(T[..., 2, 0], level)
    roll = np.where(locked, 0.0, np.arctan2(-T[..., 2, 1], T[..., 2, 2]))
    yaw = np.where(
        locked,
        np.arctan2(-T[..., 0, 1], T[..., 1, 1]),
        np.arctan2(T[..., 1, 0], T[..., 0, 0]),
    )
    angles_deg = np.degrees(np.stack([roll, yaw, pitch], axis=-1))
    return np.concatenate([T[..., :3, 3], angles_deg], axis=-1)


def to_opencv(pose_unreal: ArrayLike) -> FloatArray:
    """Return the same motion with both of its frames in OpenCV's axes, [..., 4, 4]."""
    T = np.asarray(pose_unreal, np.float64)
    return make_pose(B @ T[..., :3, :3] @ B.T, points_to_opencv(T[..., :3, 3]))


def to_unreal(pose_opencv: ArrayLike) -> FloatArray:
    """Return the same motion with both of its frames in Unreal's axes, [..., 4, 4]."""
    T = np.asarray(pose_opencv, np.float64)
    return make_pose(B.T @ T[..., :3, :3] @ B, points_to_unreal(T[..., :3, 3]))


def points_to_opencv(points_unreal: ArrayLike) -> FloatArray:
    """Return [..., 3] points (x, y, z) as (y, -z, x); float32 stays float32."""
    p = np.asarray(points_unreal)
    return np.stack([p[..., 1], -p[..., 2], p[..., 0]], axis=-1)


def points_to_unreal(points_opencv: ArrayLike) -> FloatArray:
    """Return [..., 3] points (x, y, z) as (z, x, -y); float32 stays float32."""
    p = np.asarray(points_opencv)
    return np.stack([p[..., 2], p[..., 0], -p[..., 1]], axis=-1)


def extent_to_opencv(half_extent_unreal: ArrayLike) -> FloatArray:
    """Return [..., 3] half length, width, height as half width, height, length: no signs."""
    return np.abs(points_to_opencv(half_extent_unreal))


def extent_to_unreal(half_extent_opencv: ArrayLike) -> FloatArray:
    """Return [..., 3] half width, height, length as half length, width, height: no signs."""
    return np.abs(points_to_unreal(half_extent_opencv))
