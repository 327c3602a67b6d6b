"""How far poses are apart, and the usual mistakes in writing them.

Each mistake is a function that undoes it; a check tries them all and names the one after which
everything agrees.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from gimbal_multicar.opv2v.axes import B, to_opencv, to_unreal, world_to_x, x_to_world
from gimbal_vision.poses import invert_pose

Doubles = np.ndarray[Any, np.dtype[np.floating[Any]]]
Bools = np.ndarray[Any, np.dtype[np.bool_]]

TOLERANCE_M = 0.05
TOLERANCE_DEG = 0.5
"""CARLA writes in single precision, far below this; a wrong pose is far above."""


def distance_m(a: Doubles, b: Doubles) -> float:
    """Return the largest distance of the positions of [..., 4, 4] matrices."""
    return float(np.linalg.norm(a[..., :3, 3] - b[..., :3, 3], axis=-1).max())


def angle_deg(a: Doubles, b: Doubles) -> float:
    """Return the largest angle between the rotations of [..., 4, 4] matrices, 180 if not rigid."""
    return float(_angles_deg(a, b).max())


def _angles_deg(a: Doubles, b: Doubles) -> Doubles:
    relative = np.swapaxes(a[..., :3, :3], -1, -2) @ b[..., :3, :3]
    apart = np.linalg.norm(a[..., :3, :3] - b[..., :3, :3], axis=(-2, -1))
    angles = np.degrees(2.0 * np.arcsin(np.clip(apart / np.sqrt(8.0), 0.0, 1.0)))
    finite = np.isfinite(relative).all(axis=(-2, -1))
    rigid = finite & (np.linalg.det(np.nan_to_num(relative)) >= 0)
    return np.asarray(np.where(rigid, angles, 180.0))


def agreeing(a: Doubles, b: Doubles) -> Bools:
    """Return [...] which of [..., 4, 4] matrices are the same poses."""
    finite = np.isfinite(a).all(axis=(-2, -1)) & np.isfinite(b).all(axis=(-2, -1))
    apart_m = np.linalg.norm(a[..., :3, 3] - b[..., :3, 3], axis=-1)
    same: Bools = finite & (apart_m < TOLERANCE_M) & (_angles_deg(a, b) < TOLERANCE_DEG)
    return same


def agree(a: Doubles, b: Doubles) -> bool:
    """Return whether all [..., 4, 4] matrices are the same poses."""
    return bool(agreeing(a, b).all())


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


def looks_transposed(written: Doubles, posed: Doubles) -> Bools:
    """Return which of [N, 4, 4] matrices were written with rows for columns.

    What is left of such a matrix after it was inverted and read as a pose is the rotation of the
    inverse and no translation, which had gone to the last row.
    """
    left = np.array(invert_pose(posed))
    left[..., :3, 3] = 0.0
    return agreeing(written, left) & ~agreeing(posed, left)


def _rotation_transposed(W: Doubles) -> Doubles:
    camera_from_lidar = np.array(invert_pose(W))
    camera_from_lidar[..., :3, :3] = np.swapaxes(camera_from_lidar[..., :3, :3], -1, -2)
    return invert_pose(camera_from_lidar)


def _scaled(W: Doubles, factor: float) -> Doubles:
    scaled = np.array(W)
    scaled[..., :3, 3] *= factor
    return scaled


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
