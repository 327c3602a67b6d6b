"""How far poses are apart, and the usual mistakes in writing them.

Each mistake is a function that undoes it; a check tries them all and names the one after which
everything agrees.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import permutations
from typing import Any

import numpy as np

from gimbal_multicar.opv2v.axes import B, to_opencv, to_unreal, world_to_x, x_to_world
from gimbal_vision.poses import invert_pose

Doubles = np.ndarray[Any, np.dtype[np.floating[Any]]]

TOLERANCE_M = 0.05
TOLERANCE_DEG = 0.5
"""CARLA writes in single precision, far below this; a wrong pose is far above."""


def distance_m(a: Doubles, b: Doubles) -> float:
    """Return the largest distance of the positions of [..., 4, 4] matrices."""
    return float(np.linalg.norm(a[..., :3, 3] - b[..., :3, 3], axis=-1).max())


def angle_deg(a: Doubles, b: Doubles) -> float:
    """Return the largest angle between the rotations of [..., 4, 4] matrices, 180 if not rigid."""
    relative = np.swapaxes(a[..., :3, :3], -1, -2) @ b[..., :3, :3]
    if not np.isfinite(relative).all() or np.any(np.linalg.det(relative) < 0):
        return 180.0
    apart = np.linalg.norm(a[..., :3, :3] - b[..., :3, :3], axis=(-2, -1))
    return float(np.degrees(2.0 * np.arcsin(np.clip(apart / np.sqrt(8.0), 0.0, 1.0))).max())


def agree(a: Doubles, b: Doubles) -> bool:
    """Return whether [..., 4, 4] matrices are the same poses."""
    finite = np.isfinite(a).all() and np.isfinite(b).all()
    return bool(finite) and distance_m(a, b) < TOLERANCE_M and angle_deg(a, b) < TOLERANCE_DEG


def extrinsic_mistakes() -> Mapping[str, Callable[[Doubles], Doubles]]:
    """Return what undoes each mistake in [N, 4, 4] `lidar_from_cameras_written`."""
    half = np.eye(4)
    half[:3, :3] = B
    return {
        "extrinsic inverted: it is written as T_lidar<-camera, not T_camera<-lidar": invert_pose,
        "the rotation of extrinsic is transposed": _rotation_transposed,
        "extrinsic is in OpenCV axes already, not in Unreal's": to_unreal,
        "the camera side of extrinsic is in OpenCV axes, not in Unreal's": lambda W: W @ half,
        "extrinsic is in centimetres": lambda W: _scaled(W, 0.01),
    }


def is_transposed(written: Doubles, posed: Doubles) -> bool:
    """Return whether [N, 4, 4] matrices were written with rows for columns.

    What is left of such a matrix after it was inverted and read as a pose is the rotation of the
    inverse and no translation, which had gone to the last row.
    """
    left = np.array(invert_pose(posed))
    left[..., :3, 3] = 0.0
    return agree(written, left) and not agree(posed, left)


def _rotation_transposed(W: Doubles) -> Doubles:
    camera_from_lidar = np.array(invert_pose(W))
    camera_from_lidar[..., :3, :3] = np.swapaxes(camera_from_lidar[..., :3, :3], -1, -2)
    return invert_pose(camera_from_lidar)


def _scaled(W: Doubles, factor: float) -> Doubles:
    scaled = np.array(W)
    scaled[..., :3, 3] *= factor
    return scaled


def camera_order(written: Doubles, posed: Doubles) -> tuple[int, ...] | None:
    """Return for each camera whose extrinsic it has, if only the order is mixed up."""
    for order in permutations(range(len(written))):
        if agree(written[list(order)], posed):
            return order
    return None


def pose_mistakes() -> Mapping[str, Callable[[Doubles], Doubles]]:
    """Return what undoes each mistake in [..., 4, 4] poses as read, all poses of the files alike.

    The six numbers are x, y, z, roll, yaw, pitch in Unreal's axes.
    """
    return {
        "the sign of yaw is flipped in all poses": _changed(lambda p: p * [1, 1, 1, 1, -1, 1]),
        "yaw and pitch have changed places in all poses": _changed(
            lambda p: p[..., [0, 1, 2, 3, 5, 4]]
        ),
        "roll and yaw have changed places in all poses": _changed(
            lambda p: p[..., [0, 1, 2, 4, 3, 5]]
        ),
        "angles of all poses are in radians": _changed(
            lambda p: np.concatenate([p[..., :3], np.degrees(p[..., 3:])], axis=-1)
        ),
        "positions of all poses are in centimetres": _changed(
            lambda p: p * [0.01, 0.01, 0.01, 1, 1, 1]
        ),
        "y is flipped in all poses: positions are right-handed": _changed(
            lambda p: p * [1, -1, 1, 1, 1, 1]
        ),
    }


def _changed(change: Callable[[Doubles], Doubles]) -> Callable[[Doubles], Doubles]:
    return lambda T: to_opencv(x_to_world(change(world_to_x(to_unreal(T)))))
