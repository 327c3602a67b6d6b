"""Rotations and rigid transforms."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from gimbal_vision._arrays import Array, transpose
from gimbal_vision.errors import PoseError

FloatArray = np.ndarray[Any, np.dtype[np.floating[Any]]]


def invert_pose(pose: Array) -> Array:
    """Return the inverse of rigid [..., 4, 4] transforms, without solving."""
    inverse = pose.copy() if isinstance(pose, np.ndarray) else pose.clone()
    Rt = transpose(pose[..., :3, :3])
    inverse[..., :3, :3] = Rt
    inverse[..., :3, 3] = -(Rt @ pose[..., :3, 3:])[..., 0]
    return inverse


def look_at(
    eye: ArrayLike, target: ArrayLike = (0.0, 0.0, 0.0), up: ArrayLike = (0.0, 0.0, 1.0)
) -> FloatArray:
    """Return OpenCV camera poses at `eye` whose optical axis passes through `target`.

    Looking along `up` leaves the roll open; there the image's up direction is taken from the
    world axis that is furthest from the line of sight, so a pose is always returned.

    Args:
        eye: [..., 3] optical centres.
        target: [..., 3] or one point.
        up: [..., 3] or one direction that is to point upwards in the image.

    Returns:
        [..., 4, 4] float64 cam2world.
    """
    e, t, u = np.broadcast_arrays(*(np.asarray(a, np.float64) for a in (eye, target, up)))
    forward = t - e
    distance = np.linalg.norm(forward, axis=-1, keepdims=True)
    if not np.isfinite(distance).all() or np.any(distance == 0):
        raise PoseError("A camera looks at its own position", "Move the eye off the target.")
    forward = forward / distance
    right = np.cross(forward, u / np.linalg.norm(u, axis=-1, keepdims=True))
    spare = np.eye(3)[np.abs(forward).argmin(axis=-1)]
    parallel = np.linalg.norm(right, axis=-1, keepdims=True) < 1e-6
    right = np.where(parallel, np.cross(forward, spare), right)
    right = right / np.linalg.norm(right, axis=-1, keepdims=True)
    pose = np.zeros((*e.shape[:-1], 4, 4))
    pose[..., :3, 0] = right
    pose[..., :3, 1] = np.cross(forward, right)
    pose[..., :3, 2] = forward
    pose[..., :3, 3] = e
    pose[..., 3, 3] = 1.0
    return pose
